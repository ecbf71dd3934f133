//! Credentials of the wrong kind are none (threat T7): people's and things' never cross.

use std::time::Duration;

use registry::{Expect, NewToken};

use crate::{
    app::{Engine, ROOT_PASSWORD, Reply, Send, start_open},
    persona::Persona,
    row::{At, Row},
    rows::rows,
    stage::Stage,
};

/// Every operation that is not public, with everything that must not do.
pub async fn never_cross(engine: Engine) {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let person = &stage.org_owner;
    let access = stage.token(person, true, None).await.1;
    let (id, deleted) = stage.token(person, true, None).await;
    server.registry.delete_token(&person.call(), id, &Expect::any()).await.unwrap();
    let expired = NewToken {
        name: registry::text::TokenName::try_from("short").unwrap(),
        can_write: true,
        within: None,
        expires_at: Some(server.clock.now().after(Duration::from_secs(1))),
    };
    let expired = server.registry.create_token(&person.call(), &expired).await.unwrap().value.unwrap();
    server.clock.advance(Duration::from_secs(2));
    let ended = server.log_in(person.email.as_str(), ROOT_PASSWORD).await;
    let call = registry::Call::new(ended.actor(&server.registry).await, "test");
    server.registry.end_session(&call).await.unwrap();

    let (session, key) = (person.token.expose(), stage.thing_key.expose());
    let (access, external) = (access.expose(), stage.external_key.as_str());
    let for_people = [
        format!("Thing {key}"),
        format!("External {external}"),
        format!("Bearer {key}"),
        format!("Bearer {external}"),
        format!("Thing {session}"),
        format!("External {session}"),
        format!("Thing {access}"),
        format!("Basic {session}"),
        format!("bearer {session}"),
        format!("Bearer {}", deleted.expose()),
        format!("Bearer {}", expired.expose()),
        format!("Bearer {}", ended.token()),
        format!("Bearer {}", session.replace("ses_", "pat_")),
        "Bearer".to_owned(),
    ];
    let for_things = [
        format!("Bearer {session}"),
        format!("Bearer {access}"),
        format!("Bearer {key}"),
        format!("Thing {session}"),
        format!("Thing {access}"),
        format!("Thing {external}"),
        format!("External {key}"),
        format!("External {session}"),
        format!("thing {key}"),
        "Thing".to_owned(),
    ];
    for row in rows().iter().filter(|row| !row.is_public()) {
        let (wrong, challenge) = if row.is_for_things() {
            (&for_things[..], "Thing realm=\"things\", External realm=\"things\"")
        } else {
            (&for_people[..], "Bearer realm=\"things\"")
        };
        // As it would succeed, but for the credential.
        let at = At::of(row, &stage, Persona::Owner, stage.home).await;
        let entries = server.database.number(JOURNAL).await;
        let without = ask(row, &stage, &at, None).await;
        assert_eq!(without.status, 401, "{} without any", row.operation);
        assert_eq!(without.header("www-authenticate"), challenge, "{}", row.operation);
        for credential in wrong {
            let reply = ask(row, &stage, &at, Some(credential)).await;
            assert_eq!(reply.status, 401, "{} with {credential}", row.operation);
            assert_eq!(reply.text, without.text, "{} with {credential}", row.operation);
            assert_eq!(reply.headers, without.headers, "{} with {credential}", row.operation);
        }
        assert_eq!(server.database.number(JOURNAL).await, entries, "{} changes nothing", row.operation);
    }
}

const JOURNAL: &str = "SELECT count(*) FROM journal";

/// Asks, always under the same request id, which then is the same in all answers.
async fn ask(row: &Row, stage: &Stage<'_>, at: &At, credential: Option<&str>) -> Reply {
    let mut reply = row.request(stage, at, credential).header("x-request-id", "the-same").reply().await;
    reply.headers.remove("date");
    reply
}
