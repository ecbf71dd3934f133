//! `protomfx.ThingsService`, every rpc by every name.

use prost::Message;
use serde_json::json;
use tonic::{Code, Request};

use crate::{
    app::engines,
    wire::protomfx::*,
    world::{NOBODY, World, code, text},
};

fn key(value: &str, kind: &str) -> ThingKey {
    ThingKey { value: value.to_owned(), r#type: kind.to_owned() }
}

#[tokio::test]
async fn a_key_names_a_thing_and_its_configuration() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let thing = &world.sensor;
        for shown in [thing.internal(), thing.external(), key(&thing.key, "")] {
            let found = things.identify(shown.clone()).await.unwrap().into_inner();
            assert_eq!(found.value, thing.id);
            let new = things.get_pub_config_by_key(shown.clone()).await.unwrap().into_inner();
            let old = things.get_pub_conf_by_key(shown).await.unwrap().into_inner();
            assert_eq!(new, old);
            assert_eq!(new.publisher_id, thing.id);
            let config = new.profile_config.unwrap();
            assert_eq!(config.content_type, "application/senml+json");
            assert_eq!(
                (config.write_enabled, config.webhook_enabled, config.rule_enabled),
                (true, false, true)
            );
            let transformer = config.transformer.unwrap();
            assert_eq!(transformer.data_filters, ["a", "b"]);
            let texts = [
                transformer.data_field,
                transformer.time_field,
                transformer.time_format,
                transformer.time_location,
            ];
            assert_eq!(texts, ["data", "t", "unix", "UTC"]);
        }
        for wrong in [
            key(&thing.key, "external"),
            key(&thing.external_key, "internal"),
            key("nobody-has-this-key", "internal"),
            key("", "internal"),
        ] {
            assert_eq!(code(things.identify(wrong.clone()).await), Code::NotFound);
            assert_eq!(code(things.get_pub_config_by_key(wrong.clone()).await), Code::NotFound);
            assert_eq!(code(things.get_pub_conf_by_key(wrong).await), Code::NotFound);
        }
        assert_eq!(code(things.identify(key(&thing.key, "x")).await), Code::InvalidArgument);
        // What is revoked is so at once.
        let rotated = world.owner.post(&format!("/things/{}/key/rotate", thing.id), &json!({})).await;
        let new = text(&rotated.expect(201)["key"]);
        assert_eq!(code(things.identify(thing.internal()).await), Code::NotFound);
        assert_eq!(things.identify(key(&new, "internal")).await.unwrap().into_inner().value, thing.id);
    }
}

#[tokio::test]
async fn the_flags_of_a_configuration_are_always_sent() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let path = format!("/groups/{}/profiles", world.group);
        for (n, (config, sent)) in [
            (json!({}), Some((true, true, true))),
            (json!({ "write_enabled": false, "rule_enabled": false }), Some((false, true, false))),
            (json!(null), None),
        ]
        .into_iter()
        .enumerate()
        {
            let mut new = json!([{ "name": format!("profile {n}") }]);
            if !config.is_null() {
                new[0]["config"] = config;
            }
            let made = world.owner.post(&path, &new).await.expect(201);
            let profile = text(&made["profiles"][0]["id"]);
            let new = json!([{ "name": format!("thing {n}") }]);
            let made = world.owner.post(&format!("/profiles/{profile}/things"), &new).await.expect(201);
            let (id, shown) = (text(&made["things"][0]["id"]), text(&made["things"][0]["key"]));
            let by_key = things.get_pub_config_by_key(key(&shown, "internal")).await.unwrap().into_inner();
            let by_id = things.get_config_by_thing(ThingId { value: id.clone() }).await.unwrap().into_inner();
            let old = things.get_config_by_thing_id(ThingId { value: id }).await.unwrap().into_inner();
            assert_eq!(by_id, old);
            assert_eq!(by_key.profile_config, by_id.config);
            let flags = by_id
                .config
                .map(|config| (config.write_enabled, config.webhook_enabled, config.rule_enabled));
            // Without a configuration of its own a profile may have got the usual one.
            match sent {
                Some(_) => assert_eq!(flags, sent),
                None => assert!(flags.is_none_or(|flags| flags == (true, true, true)), "{flags:?}"),
            }
        }
        let unknown = ThingId { value: NOBODY.to_owned() };
        assert_eq!(code(things.get_config_by_thing(unknown).await), Code::NotFound);
        let no_id = ThingId { value: "x".to_owned() };
        assert_eq!(code(things.get_config_by_thing(no_id).await), Code::InvalidArgument);
    }
}

/// By these numbers, and no others, the configuration travels.
#[test]
fn the_numbers_are_mainfluxs() {
    let config = Config {
        content_type: "c".to_owned(),
        transformer: Some(Transformer { data_filters: vec!["f".to_owned()], ..Default::default() }),
        write_enabled: true,
        webhook_enabled: true,
        rule_enabled: true,
    };
    let res = PubConfigByKeyRes { publisher_id: "p".to_owned(), profile_config: Some(config) };
    let bytes =
        [&[0x0a, 1, b'p', 0x12, 14][..], &[0x0a, 1, b'c', 0x12, 3, 0x0a, 1, b'f', 0x18, 1, 0x20, 1, 0x28, 1]];
    assert_eq!(res.encode_to_vec(), bytes.concat());
    let access = UserAccessReq { token: "t".to_owned(), id: "i".to_owned(), action: "a".to_owned() };
    assert_eq!(access.encode_to_vec(), [0x0a, 1, b't', 0x12, 1, b'i', 0x1a, 1, b'a']);
    let member = GroupMembership { user_id: "u".to_owned(), group_id: "g".to_owned(), role: "r".to_owned() };
    assert_eq!(member.encode_to_vec(), [0x0a, 1, b'u', 0x12, 1, b'g', 0x1a, 1, b'r']);
}

#[tokio::test]
async fn what_users_may_do_is_what_their_roles_say() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let ask = |token: &str, id: &str, action: &str| UserAccessReq {
            token: token.to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
        };
        for (who, action, told) in [
            (world.owner.token(), "admin", None),
            (world.viewer.token(), "viewer", None),
            (world.viewer.token(), "editor", Some(Code::PermissionDenied)),
            (world.stranger.token(), "viewer", Some(Code::NotFound)),
            (world.root.token(), "editor", None),
            (world.owner.token(), "owner", Some(Code::InvalidArgument)),
            (world.owner.token(), "", Some(Code::InvalidArgument)),
            ("", "viewer", Some(Code::Unauthenticated)),
            (&*world.sensor.key, "viewer", Some(Code::Unauthenticated)),
        ] {
            let thing = things.can_user_access_thing(ask(who, &world.sensor.id, action)).await;
            let profile = things.can_user_access_profile(ask(who, &world.profile, action)).await;
            let group = things.can_user_access_group(ask(who, &world.group, action)).await;
            for answer in [thing, profile, group] {
                assert_eq!(answer.err().map(|status| status.code()), told, "{action}");
            }
        }
        let unknown = things.can_user_access_group(ask(world.owner.token(), NOBODY, "viewer")).await;
        assert_eq!(code(unknown), Code::NotFound);
    }
}

#[tokio::test]
async fn things_command_as_their_types_allow() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let command = |from: &str, to: &str| ThingCommandReq {
            publisher_id: from.to_owned(),
            recipient_id: to.to_owned(),
        };
        let group = |from: &str, to: &str| ThingGroupCommandReq {
            publisher_id: from.to_owned(),
            group_id: to.to_owned(),
        };
        let (controller, sensor) = (&*world.controller.id, &*world.sensor.id);
        things.can_thing_command(command(controller, sensor)).await.unwrap();
        let back = things.can_thing_command(command(sensor, controller)).await;
        assert_eq!(code(back), Code::PermissionDenied);
        assert_eq!(code(things.can_thing_command(command(controller, NOBODY)).await), Code::NotFound);
        assert_eq!(code(things.can_thing_command(command("", sensor)).await), Code::InvalidArgument);
        things.can_thing_group_command(group(controller, &world.group)).await.unwrap();
        for (from, to) in [(controller, &world.other_group), (sensor, &world.group)] {
            assert_eq!(code(things.can_thing_group_command(group(from, to)).await), Code::PermissionDenied);
        }

        let access = |key: &str, id: &str| ThingAccessReq { key: key.to_owned(), id: id.to_owned() };
        for shown in [&world.sensor.key, &world.sensor.external_key] {
            things.can_thing_access_group(access(shown, &world.group)).await.unwrap();
            let other = things.can_thing_access_group(access(shown, &world.other_group)).await;
            assert_eq!(code(other), Code::PermissionDenied);
        }
        assert!(world.server.registry.device_checks().failed.iter().all(|(_, times)| *times == 0));
        let nobody = things.can_thing_access_group(access("nobody-has-this-key", &world.group)).await;
        assert_eq!(code(nobody), Code::NotFound);

        // A session that was opened before the thing was disabled commands nothing any more.
        world.owner.post(&format!("/things/{controller}/disable"), &json!(null)).await.expect(200);
        assert_eq!(code(things.can_thing_command(command(controller, sensor)).await), Code::PermissionDenied);
        let to_its_group = things.can_thing_group_command(group(controller, &world.group)).await;
        assert_eq!(code(to_its_group), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn where_things_are_is_told_by_both_names() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let thing = ThingId { value: world.sensor.id.clone() };
        let profile = ProfileId { value: world.profile.clone() };
        let found = [
            things.get_group_id_by_thing(thing.clone()).await,
            things.get_group_id_by_thing_id(thing).await,
            things.get_group_id_by_profile(profile.clone()).await,
            things.get_group_id_by_profile_id(profile.clone()).await,
        ];
        for found in found {
            assert_eq!(found.unwrap().into_inner().value, world.group);
        }
        let nobody = ThingId { value: NOBODY.to_owned() };
        assert_eq!(code(things.get_group_id_by_thing(nobody).await), Code::NotFound);

        let ids = things.get_thing_i_ds_by_profile(profile).await.unwrap().into_inner().ids;
        assert_eq!(ids, [world.controller.id.clone(), world.sensor.id.clone()]);
        let nobody = ProfileId { value: NOBODY.to_owned() };
        assert_eq!(code(things.get_thing_i_ds_by_profile(nobody).await), Code::NotFound);

        let of = |token: &str| OrgAccessReq { org_id: world.org.clone(), token: token.to_owned() };
        let both = [world.group.clone(), world.other_group.clone()];
        for (who, groups) in
            [(&world.owner, &both[..]), (&world.root, &both[..]), (&world.viewer, &both[..1])]
        {
            let found = things.get_group_i_ds_by_org(of(who.token())).await.unwrap().into_inner();
            assert_eq!(found.ids, groups);
        }
        let stranger = things.get_group_i_ds_by_org(of(world.stranger.token())).await;
        assert_eq!(code(stranger), Code::NotFound);

        let group = GetGroupReq { group_id: world.group.clone() };
        let found = things.get_group(group).await.unwrap().into_inner();
        assert_eq!((found.id, found.org_id, &*found.name), (world.group.clone(), world.org.clone(), "group"));
    }
}

#[tokio::test]
async fn a_key_is_told_to_services_where_copies_are_kept_and_the_journal_has_it() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let mut asked = Request::new(ThingId { value: world.sensor.id.clone() });
        asked.metadata_mut().insert("x-request-id", "reveal-1".parse().unwrap());
        let answer = things.get_key_by_thing_id(asked).await.unwrap();
        assert_eq!(answer.metadata().get("x-request-id").unwrap(), "reveal-1");
        assert_eq!(answer.into_inner(), world.sensor.internal());
        let path = format!("/journal?action=thing.key_revealed&subject={}", world.sensor.id);
        let journal = world.owner.get(&path).await.expect(200);
        assert_eq!(journal["total"], 1, "{journal}");
        let entry = &journal["entries"][0];
        assert_eq!(entry["via"], "system", "{entry}");
        assert_eq!(entry["request_id"], "reveal-1");
        let nobody = ThingId { value: NOBODY.to_owned() };
        assert_eq!(code(things.get_key_by_thing_id(nobody).await), Code::NotFound);

        world.server.database.execute("DELETE FROM thing_key_material".to_owned()).await;
        let gone = ThingId { value: world.sensor.id.clone() };
        assert_eq!(code(things.get_key_by_thing_id(gone).await), Code::FailedPrecondition);
        let journal = world.owner.get(&path).await.expect(200);
        assert_eq!(journal["total"], 1, "what was not told is not in it");
    }
}

#[tokio::test]
async fn services_make_members_by_the_rules_of_admins() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut things = world.things();
        let (viewer, stranger) = (world.id_of(&world.viewer).await, world.id_of(&world.stranger).await);
        let one = |user: &str, group: &str, role: &str| GroupMembership {
            user_id: user.to_owned(),
            group_id: group.to_owned(),
            role: role.to_owned(),
        };
        let (group, other) = (&*world.group, &*world.other_group);
        for (memberships, told) in [
            (vec![one(&viewer, other, "editor"), one(&viewer, group, "editor")], Code::AlreadyExists),
            (vec![one(&viewer, other, "editor"), one(&stranger, other, "viewer")], Code::FailedPrecondition),
            (vec![one(&viewer, other, "owner")], Code::InvalidArgument),
            (vec![one(&viewer, other, "x")], Code::InvalidArgument),
            (vec![one(&viewer, other, "viewer"), one(&viewer, other, "editor")], Code::InvalidArgument),
            (vec![one(NOBODY, other, "viewer")], Code::InvalidArgument),
            (vec![one(&viewer, other, "viewer"), one(&viewer, NOBODY, "viewer")], Code::NotFound),
            (Vec::new(), Code::InvalidArgument),
        ] {
            let refused = things.create_group_memberships(CreateGroupMembershipsReq { memberships }).await;
            assert_eq!(code(refused), told);
        }
        let path = format!("/groups/{other}/memberships");
        assert_eq!(world.owner.get(&path).await.expect(200)["total"], 1, "all or none");
        let memberships = vec![one(&viewer, other, "editor")];
        things.create_group_memberships(CreateGroupMembershipsReq { memberships }).await.unwrap();
        let members = world.owner.get(&path).await.expect(200);
        let found = members["group_memberships"].as_array().unwrap().iter();
        let roles: Vec<_> =
            found.filter(|member| member["member_id"] == *viewer).map(|member| &member["role"]).collect();
        assert_eq!(roles, ["editor"]);
        let journal =
            world.owner.get(&format!("/journal?group={other}&action=member.added")).await.expect(200);
        assert_eq!((&journal["total"], &journal["entries"][0]["via"]), (&json!(1), &json!("system")));
    }
}

#[tokio::test]
async fn what_our_own_invites_do_is_not_done_twice() {
    let world = World::on(crate::app::Engine::Sqlite).await;
    let mut things = world.things();
    let dormant = things.create_dormant_group_invites(CreateDormantGroupInvitesReq::default()).await;
    let status = dormant.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("POST /orgs/{id}/invites"), "{status:?}");
    let active = things.activate_group_invites(ActivateGroupInvitesReq::default()).await;
    assert_eq!(code(active), Code::Unimplemented);
}
