//! `protomfx.AuthService` and `protomfx.UsersService`, every rpc by every name.

use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::{
    app::engines,
    wire::protomfx::*,
    world::{NOBODY, World, code, text},
};

#[tokio::test]
async fn tokens_tell_who_somebody_is_and_what_they_may_do() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut auth = world.auth();
        let token = |value: &str| Token { value: value.to_owned() };
        let found = auth.identify(token(world.viewer.token())).await.unwrap().into_inner();
        assert_eq!((found.id, &*found.email), (world.id_of(&world.viewer).await, "viewer@example.com"));
        for wrong in ["", "ses_x", &world.sensor.key] {
            assert_eq!(code(auth.identify(token(wrong)).await), Code::Unauthenticated);
        }
        let scopes = json!(["read", "write", format!("group:{}", world.group)]);
        let bound = json!({ "name": "bound", "scopes": scopes });
        let bound = text(&world.owner.post("/keys", &bound).await.expect(201)["token"]);
        assert_eq!(code(auth.identify(token(&bound)).await), Code::PermissionDenied);

        let ask = |token: &str, subject: &str, object: &str, action: &str| AuthorizeReq {
            token: token.to_owned(),
            object: object.to_owned(),
            subject: subject.to_owned(),
            action: action.to_owned(),
        };
        let org = &*world.org;
        for (who, subject, object, action, told) in [
            (&world.root, "root", "", "", None),
            (&world.owner, "root", "", "", Some(Code::PermissionDenied)),
            (&world.root, "org", org, "owner", None),
            (&world.owner, "org", org, "owner", None),
            (&world.viewer, "org", org, "viewer", None),
            (&world.viewer, "org", org, "editor", Some(Code::PermissionDenied)),
            (&world.stranger, "org", org, "viewer", Some(Code::NotFound)),
            (&world.owner, "org", NOBODY, "viewer", Some(Code::NotFound)),
            (&world.owner, "org", "x", "viewer", Some(Code::InvalidArgument)),
            (&world.owner, "org", org, "x", Some(Code::InvalidArgument)),
            (&world.owner, "x", org, "viewer", Some(Code::InvalidArgument)),
        ] {
            let answer = auth.authorize(ask(who.token(), subject, object, action)).await;
            assert_eq!(answer.err().map(|status| status.code()), told, "{subject} {action}");
        }
        let nobody = auth.authorize(ask("", "root", "", "")).await;
        assert_eq!(code(nobody), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn organisations_are_told_in_both_forms() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut auth = world.auth();
        let (owner, viewer) = (world.id_of(&world.owner).await, world.id_of(&world.viewer).await);
        let org = OrgId { value: world.org.clone() };
        let found =
            [auth.get_owner_id_by_org(org.clone()).await, auth.get_owner_id_by_org_id(org.clone()).await];
        for found in found {
            assert_eq!(found.unwrap().into_inner().value, owner);
        }
        let nobody = OrgId { value: NOBODY.to_owned() };
        assert_eq!(code(auth.get_owner_id_by_org(nobody).await), Code::NotFound);

        let view = |token: &str, org: Vec<u8>| ViewOrgReq { token: token.to_owned(), org };
        for form in [world.org.clone().into_bytes(), org.encode_to_vec()] {
            let found = auth.view_org(view(world.viewer.token(), form.clone())).await.unwrap().into_inner();
            assert_eq!((found.id, found.owner_id), (world.org.clone(), owner.clone()));
            assert_eq!(found.name, "An organisation");
            let stranger = auth.view_org(view(world.stranger.token(), form)).await;
            assert_eq!(code(stranger), Code::NotFound);
        }
        for wrong in [b"".to_vec(), b"x".to_vec(), vec![0x0a], vec![0x0a, 1, b'x'], vec![0xff]] {
            let refused = auth.view_org(view(world.viewer.token(), wrong)).await;
            assert_eq!(code(refused), Code::InvalidArgument);
        }

        let membership = |token: &str, member: &str| ViewOrgMembershipReq {
            token: token.to_owned(),
            member_id: member.to_owned(),
            org_id: world.org.clone(),
        };
        let found = auth.view_org_membership(membership(world.owner.token(), &viewer)).await.unwrap();
        let found = found.into_inner();
        assert_eq!((found.member_id, found.org_id, &*found.role), (viewer, world.org.clone(), "viewer"));
        let other = auth.view_org_membership(membership(world.owner.token(), NOBODY)).await;
        assert_eq!(code(other), Code::NotFound);

        let role = |id: String| RetrieveRoleReq { id };
        for (who, told) in [(&world.root, "root"), (&world.owner, "")] {
            let found = auth.retrieve_role(role(world.id_of(who).await)).await.unwrap().into_inner();
            assert_eq!(found.role, told);
        }
        assert_eq!(code(auth.retrieve_role(role(NOBODY.to_owned())).await), Code::NotFound);
    }
}

#[tokio::test]
async fn accounts_are_found_by_ids_and_addresses() {
    for engine in engines() {
        let world = World::on(engine).await;
        let mut users = world.users();
        let (owner, viewer) = (world.id_of(&world.owner).await, world.id_of(&world.viewer).await);
        let stranger = world.id_of(&world.stranger).await;
        world.root.post(&format!("/users/{stranger}/disable"), &json!(null)).await.expect(204);
        let ids = vec![viewer.clone(), NOBODY.to_owned(), stranger, owner.clone()];
        let page = |order: &str, dir: &str, offset, limit, email: &str| {
            Some(PageMetadata {
                total: 0,
                offset,
                limit,
                email: email.to_owned(),
                order: order.to_owned(),
                dir: dir.to_owned(),
            })
        };
        for (page, wanted, total) in [
            (None, vec![&owner, &viewer], 2),
            (page("email", "desc", 0, 0, ""), vec![&viewer, &owner], 2),
            (page("id", "asc", 1, 1, ""), vec![&viewer], 2),
            (page("", "", 0, 0, "OWNER@"), vec![&owner], 1),
        ] {
            let asked = UsersByIDsReq { ids: ids.clone(), page_metadata: page };
            let found = users.get_users_by_i_ds(asked).await.unwrap().into_inner();
            assert_eq!(found.users.iter().map(|user| &user.id).collect::<Vec<_>>(), wanted);
            assert!(found.users.iter().all(|user| user.status == "enabled"));
            assert_eq!(found.page_metadata.unwrap().total, total);
        }
        let wrong = UsersByIDsReq { ids, page_metadata: page("name", "", 0, 0, "") };
        assert_eq!(code(users.get_users_by_i_ds(wrong).await), Code::InvalidArgument);
        let none = users.get_users_by_i_ds(UsersByIDsReq::default()).await.unwrap().into_inner();
        assert!(none.users.is_empty());

        let by = |emails: &[&str]| UsersByEmailsReq {
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
        };
        let found = users.get_users_by_emails(by(&["viewer@example.com", "owner@example.com"])).await;
        let found: Vec<_> = found.unwrap().into_inner().users.into_iter().map(|user| user.id).collect();
        assert_eq!(found, [viewer, owner]);
        for missing in ["nobody@example.com", "stranger@example.com", "no address"] {
            let refused = users.get_users_by_emails(by(&["owner@example.com", missing])).await;
            assert_eq!(code(refused), Code::NotFound);
        }
    }
}
