//! `things.v1`, our own contract.

use serde_json::{Value, json};
use tonic::{Code, Streaming, transport::Endpoint};

use crate::{
    app::engines,
    wire::v1::{
        check_request::{Object, Subject},
        registry_client::RegistryClient,
        *,
    },
    world::{NOBODY, World, code, text},
};

fn by_key(key: &str) -> AuthenticateRequest {
    let credential = Some(authenticate_request::Credential::Key(key.to_owned()));
    AuthenticateRequest { credential, source: String::new() }
}

#[tokio::test]
async fn a_credential_tells_all_that_a_gateway_needs() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut registry = world.contract();
        let found = registry.authenticate(by_key(&world.controller.key)).await.unwrap().into_inner();
        assert_eq!((&found.thing_id, &*found.thing_type), (&world.controller.id, "controller"));
        let place = [&found.group_id, &found.org_id, &found.profile_id];
        assert_eq!(place, [&world.group, &world.org, &world.profile]);
        let config: Value = serde_json::from_str(found.config.as_deref().unwrap()).unwrap();
        assert_eq!(config["retain"]["days"], 7, "members that nobody here knows are there");
        assert_eq!(config["rule_enabled"], true);
        assert_eq!(found.credential(), CredentialKind::Key);
        assert!((1..=600_000).contains(&found.keep_for_ms), "{}", found.keep_for_ms);
        assert!(found.commands_things);
        let messages = format!("things/{}/messages/#", world.controller.id);
        assert!(found.publish.contains(&messages) && found.subscribe.contains(&messages), "{found:?}");
        assert!(found.publish.contains(&format!("groups/{}/commands/#", world.group)), "{found:?}");
        assert!(found.subscribe.contains(&format!("things/{}/commands/#", world.controller.id)), "{found:?}");

        let external = authenticate_request::Credential::ExternalKey(world.sensor.external_key.clone());
        let asked = AuthenticateRequest { credential: Some(external), source: "192.0.2.7".to_owned() };
        let found = registry.authenticate(asked).await.unwrap().into_inner();
        assert_eq!((&found.thing_id, found.credential()), (&world.sensor.id, CredentialKind::ExternalKey));
        assert!(!found.publish.iter().any(|topic| topic.contains("commands")), "a sensor commands nothing");
        assert!(!found.commands_things);

        // A previous key is worth keeping for as long as it is valid.
        let rotate = format!("/things/{}/key/rotate", world.sensor.id);
        world.owner.post(&rotate, &json!({ "overlap": 60 })).await.expect(201);
        let found = registry.authenticate(by_key(&world.sensor.key)).await.unwrap().into_inner();
        assert_eq!(found.credential(), CredentialKind::PreviousKey);
        assert!((1..=60_000).contains(&found.keep_for_ms), "{}", found.keep_for_ms);

        for wrong in [by_key("nobody-has-this-key"), by_key(&world.sensor.external_key), by_key("")] {
            assert_eq!(code(registry.authenticate(wrong).await), Code::NotFound);
        }
        let nothing = registry.authenticate(AuthenticateRequest::default()).await;
        assert_eq!(code(nothing), Code::InvalidArgument);
        let nowhere = AuthenticateRequest { source: "nowhere".to_owned(), ..by_key(&world.sensor.key) };
        assert_eq!(code(registry.authenticate(nowhere).await), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut registry = world.contract();
        let user = |who: &crate::app::Client| Some(Subject::UserToken(who.token().to_owned()));
        let thing = |id: &str| Some(Subject::ThingId(id.to_owned()));
        let on_thing = Some(Object::OnThingId(world.sensor.id.clone()));
        let on_profile = Some(Object::OnProfileId(world.profile.clone()));
        let on_group = Some(Object::OnGroupId(world.group.clone()));
        let on_org = Some(Object::OnOrgId(world.org.clone()));
        let nothing = Some(Object::OnGroupId(NOBODY.to_owned()));
        let (controller, sensor) = (&*world.controller.id, &*world.sensor.id);
        for (subject, action, object, told) in [
            (user(&world.viewer), Action::View, &on_thing, true),
            (user(&world.viewer), Action::View, &on_profile, true),
            (user(&world.viewer), Action::Edit, &on_thing, false),
            (user(&world.viewer), Action::Command, &on_thing, false),
            (user(&world.owner), Action::Command, &on_group, true),
            (user(&world.owner), Action::Own, &on_group, true),
            (user(&world.viewer), Action::View, &on_org, true),
            (user(&world.viewer), Action::Administer, &on_org, false),
            (user(&world.stranger), Action::View, &on_group, false),
            (user(&world.owner), Action::View, &nothing, false),
            (thing(controller), Action::Command, &on_thing, true),
            (thing(sensor), Action::Command, &on_thing, false),
            (thing(controller), Action::Command, &on_group, true),
            (thing(NOBODY), Action::Command, &on_group, false),
        ] {
            let asked = CheckRequest { subject, action: action.into(), object: object.clone() };
            let found = registry.check(asked).await.unwrap().into_inner();
            assert_eq!(found.allowed, told, "{action:?} {object:?}");
            assert_eq!(found.reason.is_empty(), told);
        }
        for (subject, action, object, told) in [
            (None, Action::View, &on_thing, Code::InvalidArgument),
            (user(&world.owner), Action::Unspecified, &on_thing, Code::InvalidArgument),
            (user(&world.owner), Action::View, &None, Code::InvalidArgument),
            (user(&world.owner), Action::Command, &on_org, Code::InvalidArgument),
            (thing(controller), Action::View, &on_thing, Code::InvalidArgument),
            (thing(controller), Action::Command, &on_org, Code::InvalidArgument),
            (thing("x"), Action::Command, &on_group, Code::InvalidArgument),
            (Some(Subject::UserToken(String::new())), Action::View, &on_thing, Code::Unauthenticated),
        ] {
            let asked = CheckRequest { subject, action: action.into(), object: object.clone() };
            assert_eq!(code(registry.check(asked).await), told);
        }
    }
}

fn changed(id: &str, credential_added: bool) -> WatchCredentialsResponse {
    WatchCredentialsResponse { reset: false, changed: vec![id.to_owned()], credential_added }
}

fn reset() -> WatchCredentialsResponse {
    WatchCredentialsResponse { reset: true, ..Default::default() }
}

fn added() -> WatchCredentialsResponse {
    WatchCredentialsResponse { credential_added: true, ..Default::default() }
}

/// The next message that says something.
async fn next(stream: &mut Streaming<WatchCredentialsResponse>) -> WatchCredentialsResponse {
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if message != WatchCredentialsResponse::default() {
            return message;
        }
    }
}

#[tokio::test]
async fn watchers_are_told_what_is_no_longer_true() {
    for engine in engines() {
        let mut world = World::on(engine).await;
        let asked = world.contract().watch_credentials(WatchCredentialsRequest {}).await;
        let mut stream = asked.unwrap().into_inner();
        assert_eq!(next(&mut stream).await, reset());
        // Without anything to tell it still lives.
        for _ in 0..2 {
            assert_eq!(stream.message().await.unwrap().unwrap(), WatchCredentialsResponse::default());
        }
        let sensor = format!("/things/{}", world.sensor.id);
        world.owner.post(&format!("{sensor}/key/rotate"), &json!({})).await.expect(201);
        assert_eq!(next(&mut stream).await, changed(&world.sensor.id, true));
        let profile = json!({ "name": "profile", "config": { "content_type": "application/json" } });
        world.owner.put(&format!("/profiles/{}", world.profile), &profile).await.expect(200);
        assert_eq!(next(&mut stream).await, changed(&world.profile, false));
        let new = json!([{ "name": "new" }, { "name": "newer" }]);
        let made = world.owner.post(&format!("/profiles/{}/things", world.profile), &new).await.expect(201);
        assert_eq!(next(&mut stream).await, added());
        // What devices do not depend on is not told: the deletion comes next.
        let id = text(&made["things"][0]["id"]);
        world.owner.put(&format!("/things/{id}"), &json!({ "name": "renamed" })).await.expect(200);
        world.owner.delete(&sensor).await.expect(204);
        assert_eq!(next(&mut stream).await.changed, [world.sensor.id.clone()]);
        world.owner.delete(&format!("/groups/{}", world.group)).await.expect(204);
        assert_eq!(next(&mut stream).await, changed(&world.group, false));

        assert!(world.server.stop().await, "streams end when the process stops");
        let end = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    }
}

#[tokio::test]
async fn so_many_watch_at_once() {
    let world = World::on(crate::app::Engine::Sqlite).await;
    let mut registry = world.contract();
    let mut streams = Vec::new();
    for _ in 0..things::grpc::WATCHERS {
        streams.push(registry.watch_credentials(WatchCredentialsRequest {}).await.unwrap());
    }
    let refused = registry.watch_credentials(WatchCredentialsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("256"), "{refused}");
    // Whoever leaves makes room.
    drop(streams);
    while registry.watch_credentials(WatchCredentialsRequest {}).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_is_too_slow_drops_everything() {
    let world = World::on(crate::app::Engine::Sqlite).await;
    // What is sent and not read has so much room on the way.
    const WINDOW: u32 = 65_535;
    let endpoint = Endpoint::from_shared(format!("http://{}", world.server.grpc)).unwrap();
    let channel =
        endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).connect_lazy();
    let asked = RegistryClient::new(channel).watch_credentials(WatchCredentialsRequest {}).await;
    let mut stream = asked.unwrap().into_inner();
    assert_eq!(next(&mut stream).await, reset());
    // Unread: 38 bytes for each of these are more than that room, and what comes then waits in the feed.
    for batch in 0..2 {
        let new: Vec<Value> = (0..1000).map(|n| json!({ "name": format!("thing {batch} {n}") })).collect();
        let path = format!("/profiles/{}/things", world.profile);
        let made = world.owner.post(&path, &json!(new)).await.expect(201);
        let ids: Vec<&Value> = made["things"].as_array().unwrap().iter().map(|thing| &thing["id"]).collect();
        world.owner.patch("/things", &json!({ "thing_ids": ids })).await.expect(204);
    }
    let call = registry::Call::new(world.owner.actor(&world.server.registry).await, "test");
    let id: registry::ThingId = world.sensor.id.parse().unwrap();
    let rotate = async || world.server.registry.rotate_key(&call, id, Default::default()).await.unwrap();
    const COMMITS: usize = 1_200;
    for _ in 0..COMMITS {
        rotate().await;
    }
    let mut seen = 0;
    while next(&mut stream).await != reset() {
        seen += 1;
    }
    assert!(seen < COMMITS, "{seen}");
    // And goes on from there: what is still in the feed is told, and so is what comes next.
    rotate().await;
    assert_eq!(next(&mut stream).await.changed, std::slice::from_ref(&world.sensor.id));
}
