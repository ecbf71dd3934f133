//! The rows of gRPC: every rpc, by its code. Those that take a user's token are tried by everybody; the others
//! trust whoever reaches the port, and are tried once.

use std::fmt::Write;

use prost::Message;

use crate::{
    app::{Engine, start_open},
    persona::Persona,
    stage::Stage,
    wire::{protomfx::*, v1},
};

/// One rpc, or one way of using it.
pub struct Rpc {
    pub path: &'static str,
    note: &'static str,
    trusted: bool,
    /// The message, for a stage and a token.
    message: fn(&Stage<'_>, &str) -> Vec<u8>,
}

/// A row for each.
pub fn rpcs() -> Vec<Rpc> {
    [things_by_users(), things_by_services(), accounts(), contract()].into_iter().flatten().collect()
}

fn by_user(path: &'static str, note: &'static str, message: fn(&Stage<'_>, &str) -> Vec<u8>) -> Rpc {
    Rpc { path, note, trusted: false, message }
}

fn trusted(path: &'static str, message: fn(&Stage<'_>, &str) -> Vec<u8>) -> Rpc {
    Rpc { path, note: "", trusted: true, message }
}

fn access(id: String, token: &str, action: &str) -> Vec<u8> {
    UserAccessReq { token: token.to_owned(), id, action: action.to_owned() }.encode_to_vec()
}

fn things_by_users() -> Vec<Rpc> {
    const THING: &str = "/protomfx.ThingsService/CanUserAccessThing";
    const PROFILE: &str = "/protomfx.ThingsService/CanUserAccessProfile";
    const GROUP: &str = "/protomfx.ThingsService/CanUserAccessGroup";
    vec![
        by_user(THING, "viewer", |on, token| access(on.home.thing.to_string(), token, "viewer")),
        by_user(THING, "editor", |on, token| access(on.home.thing.to_string(), token, "editor")),
        by_user(THING, "admin", |on, token| access(on.home.thing.to_string(), token, "admin")),
        by_user(PROFILE, "viewer", |on, token| access(on.home.profile.to_string(), token, "viewer")),
        by_user(PROFILE, "editor", |on, token| access(on.home.profile.to_string(), token, "editor")),
        by_user(GROUP, "viewer", |on, token| access(on.home.group.to_string(), token, "viewer")),
        by_user(GROUP, "admin", |on, token| access(on.home.group.to_string(), token, "admin")),
        by_user("/protomfx.ThingsService/GetGroupIDsByOrg", "", |on, token| {
            OrgAccessReq { org_id: on.home.org.to_string(), token: token.to_owned() }.encode_to_vec()
        }),
    ]
}

fn key(on: &Stage<'_>) -> Vec<u8> {
    ThingKey { value: on.thing_key.expose().to_owned(), r#type: String::new() }.encode_to_vec()
}

fn thing(on: &Stage<'_>) -> Vec<u8> {
    ThingId { value: on.home.thing.to_string() }.encode_to_vec()
}

fn profile(on: &Stage<'_>) -> Vec<u8> {
    ProfileId { value: on.home.profile.to_string() }.encode_to_vec()
}

fn things_by_services() -> Vec<Rpc> {
    vec![
        trusted("/protomfx.ThingsService/GetPubConfigByKey", |on, _| key(on)),
        trusted("/protomfx.ThingsService/GetPubConfByKey", |on, _| key(on)),
        trusted("/protomfx.ThingsService/GetConfigByThing", |on, _| thing(on)),
        trusted("/protomfx.ThingsService/GetConfigByThingID", |on, _| thing(on)),
        trusted("/protomfx.ThingsService/CanThingAccessGroup", |on, _| {
            ThingAccessReq { key: on.thing_key.expose().to_owned(), id: on.home.group.to_string() }
                .encode_to_vec()
        }),
        trusted("/protomfx.ThingsService/CanThingCommand", |on, _| {
            let id = on.home.thing.to_string();
            ThingCommandReq { publisher_id: id.clone(), recipient_id: id }.encode_to_vec()
        }),
        trusted("/protomfx.ThingsService/CanThingGroupCommand", |on, _| {
            ThingGroupCommandReq {
                publisher_id: on.home.thing.to_string(),
                group_id: on.home.group.to_string(),
            }
            .encode_to_vec()
        }),
        trusted("/protomfx.ThingsService/Identify", |on, _| key(on)),
        trusted("/protomfx.ThingsService/GetGroupIDByThing", |on, _| thing(on)),
        trusted("/protomfx.ThingsService/GetGroupIDByThingID", |on, _| thing(on)),
        trusted("/protomfx.ThingsService/GetGroupIDByProfile", |on, _| profile(on)),
        trusted("/protomfx.ThingsService/GetGroupIDByProfileID", |on, _| profile(on)),
        trusted("/protomfx.ThingsService/GetThingIDsByProfile", |on, _| profile(on)),
        trusted("/protomfx.ThingsService/CreateGroupMemberships", |on, _| {
            let membership = GroupMembership {
                user_id: on.newcomer.id.to_string(),
                group_id: on.home.group.to_string(),
                role: "viewer".to_owned(),
            };
            CreateGroupMembershipsReq { memberships: vec![membership] }.encode_to_vec()
        }),
        trusted("/protomfx.ThingsService/GetGroup", |on, _| {
            GetGroupReq { group_id: on.home.group.to_string() }.encode_to_vec()
        }),
        trusted("/protomfx.ThingsService/GetKeyByThingID", |on, _| thing(on)),
        trusted("/protomfx.ThingsService/CreateDormantGroupInvites", |_, _| Vec::new()),
        trusted("/protomfx.ThingsService/ActivateGroupInvites", |_, _| Vec::new()),
    ]
}

fn authorize(on: &Stage<'_>, token: &str, subject: &str, action: &str) -> Vec<u8> {
    AuthorizeReq {
        token: token.to_owned(),
        object: on.home.org.to_string(),
        subject: subject.to_owned(),
        action: action.to_owned(),
    }
    .encode_to_vec()
}

fn org(on: &Stage<'_>) -> Vec<u8> {
    OrgId { value: on.home.org.to_string() }.encode_to_vec()
}

fn accounts() -> Vec<Rpc> {
    const AUTHORIZE: &str = "/protomfx.AuthService/Authorize";
    const VIEW_ORG: &str = "/protomfx.AuthService/ViewOrg";
    vec![
        by_user("/protomfx.AuthService/Identify", "", |_, token| {
            Token { value: token.to_owned() }.encode_to_vec()
        }),
        by_user(AUTHORIZE, "root", |on, token| authorize(on, token, "root", "")),
        by_user(AUTHORIZE, "org, viewer", |on, token| authorize(on, token, "org", "viewer")),
        by_user(AUTHORIZE, "org, editor", |on, token| authorize(on, token, "org", "editor")),
        by_user(AUTHORIZE, "org, owner", |on, token| authorize(on, token, "org", "owner")),
        by_user(VIEW_ORG, "an id", |on, token| {
            ViewOrgReq { token: token.to_owned(), org: on.home.org.to_string().into_bytes() }.encode_to_vec()
        }),
        by_user(VIEW_ORG, "a message", |on, token| {
            ViewOrgReq { token: token.to_owned(), org: org(on) }.encode_to_vec()
        }),
        by_user("/protomfx.AuthService/ViewOrgMembership", "", |on, token| {
            ViewOrgMembershipReq {
                token: token.to_owned(),
                member_id: on.member.id.to_string(),
                org_id: on.home.org.to_string(),
            }
            .encode_to_vec()
        }),
        trusted("/protomfx.AuthService/GetOwnerIDByOrg", |on, _| org(on)),
        trusted("/protomfx.AuthService/GetOwnerIDByOrgID", |on, _| org(on)),
        trusted("/protomfx.AuthService/RetrieveRole", |on, _| {
            RetrieveRoleReq { id: on.member.id.to_string() }.encode_to_vec()
        }),
        trusted("/protomfx.UsersService/GetUsersByIDs", |on, _| {
            UsersByIDsReq { ids: vec![on.member.id.to_string()], page_metadata: None }.encode_to_vec()
        }),
        trusted("/protomfx.UsersService/GetUsersByEmails", |on, _| {
            UsersByEmailsReq { emails: vec![on.member.email.as_str().to_owned()] }.encode_to_vec()
        }),
    ]
}

fn check(on: &Stage<'_>, token: &str, action: v1::Action) -> Vec<u8> {
    v1::CheckRequest {
        subject: Some(v1::check_request::Subject::UserToken(token.to_owned())),
        action: action.into(),
        object: Some(v1::check_request::Object::OnThingId(on.home.thing.to_string())),
    }
    .encode_to_vec()
}

fn contract() -> Vec<Rpc> {
    const CHECK: &str = "/things.v1.Registry/Check";
    vec![
        trusted("/things.v1.Registry/Authenticate", |on, _| {
            let key = v1::authenticate_request::Credential::Key(on.thing_key.expose().to_owned());
            v1::AuthenticateRequest { credential: Some(key), source: String::new() }.encode_to_vec()
        }),
        by_user(CHECK, "a thing, view", |on, token| check(on, token, v1::Action::View)),
        by_user(CHECK, "a thing, command", |on, token| check(on, token, v1::Action::Command)),
        by_user(CHECK, "a thing, administer", |on, token| check(on, token, v1::Action::Administer)),
        by_user(CHECK, "a thing, own", |on, token| check(on, token, v1::Action::Own)),
        trusted("/things.v1.Registry/WatchCredentials", |_, _| Vec::new()),
    ]
}

const LEGEND: &str = "\
gRPC's codes. An rpc that takes no user's token trusts whoever reaches the port: one answer for all.
Check answers `yes` or `no`; of the others 0 is OK, 3 INVALID_ARGUMENT, 5 NOT_FOUND,
7 PERMISSION_DENIED, 12 UNIMPLEMENTED, 16 UNAUTHENTICATED

";

/// The whole table on one engine, as text.
pub async fn table(engine: Engine) -> String {
    let server = start_open(engine).await;
    let stage = Stage::on(&server).await;
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let mut text = LEGEND.to_owned() + &line("", &Persona::ALL.map(|(_, title)| title.to_owned()));
    for rpc in rpcs() {
        let mut cells = Vec::new();
        for (persona, _) in Persona::ALL {
            let credential = stage.credential(persona, stage.home).await.unwrap_or_default();
            let token = credential.split_once(' ').map_or("", |(_, token)| token);
            cells.push(ask(&http, &rpc, (rpc.message)(&stage, token), &stage).await);
            if rpc.trusted {
                cells[0] = format!("{} (trusted)", cells[0]);
                break;
            }
        }
        let name = rpc.path.trim_start_matches('/');
        let what = if rpc.note.is_empty() { name.to_owned() } else { format!("{name} ({})", rpc.note) };
        text += &line(&what, &cells);
    }
    text
}

fn line(what: &str, cells: &[String]) -> String {
    let mut line = format!("{what:<52}");
    for cell in cells {
        write!(line, " {cell:<8}").unwrap();
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// The code of the answer, or what it says.
async fn ask(http: &reqwest::Client, rpc: &Rpc, message: Vec<u8>, stage: &Stage<'_>) -> String {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let url = format!("http://{}{}", stage.server.grpc, rpc.path);
    let asked = http.post(url).header("content-type", "application/grpc").header("te", "trailers").body(body);
    let mut reply = asked.send().await.unwrap();
    assert_eq!(reply.status(), 200);
    // An error is told in the head; what has none succeeds, or goes on for ever.
    if let Some(code) = reply.headers().get("grpc-status") {
        return code.to_str().unwrap().to_owned();
    }
    if rpc.path != "/things.v1.Registry/Check" {
        return "0".to_owned();
    }
    let mut told = Vec::new();
    while let Some(part) = reply.chunk().await.unwrap() {
        told.extend_from_slice(&part);
    }
    let answer = v1::CheckResponse::decode(&told[5..]).unwrap();
    if answer.allowed { "yes" } else { "no" }.to_owned()
}
