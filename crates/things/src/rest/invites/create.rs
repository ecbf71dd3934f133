//! Inviting: one person or up to a thousand, to an organisation, to a group, to the platform.

use std::collections::{BTreeSet, HashMap};

use axum::{
    Json as Out,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use registry::{
    Error, FieldError, GroupId, Invite, InviteMode, Invited, MAX_BULK, NewGroupInvite, NewOrgInvite, OrgId,
    Role,
    text::{Email, RedirectPath},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{InviteBody, InviteModeName, word};
use crate::{
    App,
    rest::{
        Problem,
        body::Json,
        check::Check,
        extract::{Caller, Id},
        many::OneOrMany,
        problem::{Answer, ItemProblem},
        query::Query,
        wire::RoleName,
    },
};

/// Somebody to be invited to an organisation.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewOrgInvite)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrgInviteBody {
    /// With an account or without; without one, a mail leads to making it.
    #[schema(value_type = String, format = Email, required)]
    email: Option<String>,
    /// `viewer`, `editor` or `admin`, and at most your own.
    #[schema(value_type = RoleName, required)]
    role: Option<String>,
    /// Groups of the organisation of which you are an admin: their invites sleep until this one is
    /// accepted. At most 1,000 in one request.
    group_invites: Option<Vec<NewGroupOfferBody>>,
    /// `ask` if left out.
    #[schema(value_type = Option<InviteModeName>)]
    mode: Option<String>,
    /// Where the invitee goes on to after answering: a path on the public address.
    #[schema(pattern = "^/([A-Za-z0-9_-][A-Za-z0-9/_-]{0,127})?$")]
    redirect_path: Option<String>,
}

/// A group to be invited to, too.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewGroupOffer)]
#[serde(deny_unknown_fields)]
struct NewGroupOfferBody {
    #[schema(value_type = Uuid, required)]
    group_id: Option<String>,
    /// `viewer`, `editor` or `admin`, and at most your own in the group.
    #[schema(value_type = RoleName, required)]
    member_role: Option<String>,
}

/// A member of the organisation to be invited to a group of it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewGroupInvite)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGroupInviteBody {
    #[schema(value_type = String, format = Email, required)]
    email: Option<String>,
    /// `viewer`, `editor` or `admin`, and at most your own.
    #[schema(value_type = RoleName, required)]
    role: Option<String>,
    /// Where the invitee goes on to from the mail: a path on the public address. Not kept.
    #[schema(pattern = "^/([A-Za-z0-9_-][A-Za-z0-9/_-]{0,127})?$")]
    redirect_path: Option<String>,
}

/// Somebody to be invited to the platform; with `org_id`, to an organisation by it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewPlatformInvite)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlatformInviteBody {
    #[schema(value_type = String, format = Email, required)]
    email: Option<String>,
    /// The organisation, if there is one.
    #[schema(value_type = Option<Uuid>)]
    org_id: Option<String>,
    /// With `org_id`: what the person is to become there.
    #[schema(value_type = Option<RoleName>)]
    role: Option<String>,
    /// With `org_id`: groups of it.
    group_invites: Option<Vec<NewGroupOfferBody>>,
    /// With `org_id`: how the groups are joined.
    #[schema(value_type = Option<InviteModeName>)]
    mode: Option<String>,
    #[schema(pattern = "^/([A-Za-z0-9_-][A-Za-z0-9/_-]{0,127})?$")]
    redirect_path: Option<String>,
}

type NewOrgInvites = OneOrMany<NewOrgInviteBody>;
type NewGroupInvites = OneOrMany<NewGroupInviteBody>;

/// A body that invites one person.
trait Invites {
    type New;
    fn check(self, check: &mut Check) -> Option<Self::New>;
    fn email(new: &Self::New) -> &Email;
}

impl Invites for NewOrgInviteBody {
    type New = NewOrgInvite;

    fn check(self, check: &mut Check) -> Option<NewOrgInvite> {
        let email = check.required("email", self.email.as_deref());
        let role = grantable(self.role.as_deref(), check);
        let groups = check.fields(offers(self.group_invites.unwrap_or_default()));
        let mode = word("mode", self.mode.as_deref(), InviteMode::parse, &["ask", "join"], check);
        let redirect_path: Option<RedirectPath> =
            check.filter("redirect_path", self.redirect_path.as_deref());
        Some(NewOrgInvite {
            email: email?,
            role: role?,
            groups: groups?,
            mode: mode.unwrap_or_default(),
            redirect_path,
        })
    }

    fn email(new: &NewOrgInvite) -> &Email {
        &new.email
    }
}

impl Invites for NewGroupInviteBody {
    type New = NewGroupInvite;

    fn check(self, check: &mut Check) -> Option<NewGroupInvite> {
        let email = check.required("email", self.email.as_deref());
        let role = grantable(self.role.as_deref(), check);
        let redirect_path: Option<RedirectPath> =
            check.filter("redirect_path", self.redirect_path.as_deref());
        Some(NewGroupInvite { email: email?, role: role?, redirect_path })
    }

    fn email(new: &NewGroupInvite) -> &Email {
        &new.email
    }
}

/// What a platform invite leads to.
enum Platform {
    Alone { email: Email, redirect_path: Option<RedirectPath> },
    Org(OrgId, NewOrgInvite),
}

impl NewPlatformInviteBody {
    fn check(self, check: &mut Check) -> Option<Platform> {
        let org: Option<OrgId> = check.parsed("org_id", self.org_id.as_deref());
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if given(&self.org_id) {
            let invite = NewOrgInviteBody {
                email: self.email,
                role: self.role,
                group_invites: self.group_invites,
                mode: self.mode,
                redirect_path: self.redirect_path,
            };
            let invite = invite.check(check);
            return Some(Platform::Org(org?, invite?));
        }
        for (field, given) in [
            ("role", given(&self.role)),
            ("group_invites", self.group_invites.is_some_and(|groups| !groups.is_empty())),
            ("mode", given(&self.mode)),
        ] {
            if given {
                check.refuse(field, "needs `org_id`");
            }
        }
        let email = check.required("email", self.email.as_deref());
        let redirect_path = check.filter("redirect_path", self.redirect_path.as_deref());
        Some(Platform::Alone { email: email?, redirect_path })
    }
}

const GRANTABLE: &str = "must be one of viewer, editor, admin";

/// A role that an invite may give: ownership passes from hand to hand.
fn parse_grantable(text: &str) -> Option<Role> {
    Role::parse(text).filter(|role| *role != Role::Owner)
}

fn grantable(text: Option<&str>, check: &mut Check) -> Option<Role> {
    match text {
        None => {
            check.refuse("role", "is required");
            None
        }
        Some(text) => check.valid("role", parse_grantable(text).ok_or(GRANTABLE)),
    }
}

fn offers(bodies: Vec<NewGroupOfferBody>) -> Result<Vec<(GroupId, Role)>, Vec<FieldError>> {
    let (mut offers, mut errors, mut seen) = (Vec::with_capacity(bodies.len()), Vec::new(), BTreeSet::new());
    for (index, body) in bodies.into_iter().enumerate() {
        let at = |field: &str| format!("group_invites[{index}].{field}");
        let group = match body.group_id.as_deref().unwrap_or_default() {
            "" => Err("is required".to_owned()),
            text => text.parse::<GroupId>().map_err(|error| error.to_string()),
        };
        let group = match group {
            Ok(group) if !seen.insert(group) => Err("is named twice".to_owned()),
            group => group,
        };
        let role = match body.member_role.as_deref().unwrap_or_default() {
            "" => Err("is required"),
            text => parse_grantable(text).ok_or(GRANTABLE),
        };
        match (group, role) {
            (Ok(group), Ok(role)) => offers.push((group, role)),
            (group, role) => {
                errors.extend(group.err().map(|message| FieldError::new(at("group_id"), message)));
                errors.extend(role.err().map(|message| FieldError::new(at("member_role"), message)));
            }
        }
    }
    if errors.is_empty() { Ok(offers) } else { Err(errors) }
}

/// What becomes of the invites that can be made when others cannot.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// `true` makes what can be made and answers 207 with a result for each; otherwise all are made or
    /// none.
    #[param(default = false)]
    partial: Option<bool>,
}

/// Invites, in the order asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invites)]
struct MadeInvites {
    invites: Vec<InviteBody>,
}

/// What was made: an invite, or invites.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InviteOrInvites)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the answer to a `OneOrMany`")]
enum MadeBody {
    One(Box<InviteBody>),
    Many(MadeInvites),
}

/// A result for each invite asked for, in order.
#[derive(Debug, Serialize, ToSchema)]
struct InviteResults {
    invites: Vec<InviteResult>,
}

/// What became of one invite: `invite` with status 201, `problem` with any other.
#[derive(Debug, Serialize, ToSchema)]
struct InviteResult {
    #[schema(minimum = 201, maximum = 499)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = InviteBody, required = false)]
    invite: Option<Box<InviteBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ItemProblem, required = false)]
    problem: Option<ItemProblem>,
}

impl From<Result<Box<Invite>, Problem>> for InviteResult {
    fn from(outcome: Result<Box<Invite>, Problem>) -> Self {
        match outcome {
            Ok(invite) => Self {
                status: StatusCode::CREATED.as_u16(),
                invite: Some(Box::new((*invite).into())),
                problem: None,
            },
            Err(problem) => {
                let problem = by_email(problem);
                Self { status: problem.status().as_u16(), invite: None, problem: Some(problem.of_item()) }
            }
        }
    }
}

/// What a request asks for, valid, and in which form it is to be answered.
struct Wanted<N> {
    invites: Vec<N>,
    form: Form,
}

enum Form {
    One,
    Many,
    /// For each item of the request why it is not among the valid ones, if it is not.
    Each(Vec<Option<Problem>>),
}

impl<N> Wanted<N> {
    fn of<B: Invites<New = N>>(body: OneOrMany<B>, options: &Options) -> Answer<Self> {
        let items = match (body, options.partial.unwrap_or(false)) {
            (OneOrMany::One(one), false) => {
                let new = Check::one(|check| one.check(check))?;
                return Ok(Self { invites: vec![new], form: Form::One });
            }
            (OneOrMany::Many(many), false) => {
                return Ok(Self { invites: Check::each(many, B::check)?, form: Form::Many });
            }
            (OneOrMany::One(one), true) => vec![*one],
            (OneOrMany::Many(many), true) => many,
        };
        if items.len() > MAX_BULK {
            return Err(Error::invalid("", format!("must hold at most {MAX_BULK} items")).into());
        }
        let (mut invites, mut refused, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        for (index, item) in items.into_iter().enumerate() {
            let checked = Check::one(|check| {
                let new = item.check(check)?;
                if let Some(first) = seen.insert(B::email(&new).clone(), index) {
                    check.refuse("email", format!("is the same as in item {first}"));
                }
                Some(new)
            });
            match checked {
                Ok(new) => {
                    invites.push(new);
                    refused.push(None);
                }
                Err(problem) => refused.push(Some(problem)),
            }
        }
        Ok(Self { invites, form: Form::Each(refused) })
    }

    /// Whether there is something to ask the registry for: it refuses what is empty.
    fn asks(&self) -> bool {
        !self.invites.is_empty() || !matches!(&self.form, Form::Each(refused) if !refused.is_empty())
    }

    fn partial(&self) -> bool {
        matches!(self.form, Form::Each(_))
    }

    /// Answers with what became of the valid ones.
    fn answer(self, made: registry::Result<Vec<Invited>>) -> Answer {
        let invited = match made {
            Ok(invited) => invited,
            Err(error) if matches!(self.form, Form::One) => return Err(by_email(of_one(error).into())),
            Err(error) => return Err(by_email(error.into())),
        };
        let mut outcomes = invited.into_iter().map(outcome);
        match self.form {
            Form::One => {
                let none = || Err(Problem::internal("an invite was neither made nor refused"));
                outcomes.next().unwrap_or_else(none).map(|invite| made_one(*invite))
            }
            Form::Many => {
                let invites: Answer<Vec<InviteBody>> =
                    outcomes.map(|made| made.map(|invite| (*invite).into())).collect();
                Ok((StatusCode::CREATED, Out(MadeInvites { invites: invites? })).into_response())
            }
            Form::Each(refused) => {
                let each = refused.into_iter().filter_map(|refused| match refused {
                    Some(problem) => Some(Err(problem)),
                    None => outcomes.next(),
                });
                let invites = each.map(Into::into).collect();
                Ok((StatusCode::MULTI_STATUS, Out(InviteResults { invites })).into_response())
            }
        }
    }
}

fn made_one(invite: Invite) -> Response {
    let location = format!("/invites/{}", invite.id);
    (StatusCode::CREATED, [(header::LOCATION, location)], Out(InviteBody::from(invite))).into_response()
}

fn outcome(invited: Invited) -> Result<Box<Invite>, Problem> {
    match invited {
        Invited::Made(invite) => Ok(invite),
        Invited::Clash(kind) => Err(Error::conflict(kind).into()),
        Invited::Invalid { field, message } => Err(Error::invalid(field, message).into()),
    }
}

/// The registry counts items; whoever sent a single object knows of none.
fn of_one(error: Error) -> Error {
    match error {
        Error::Invalid(errors) => {
            Error::Invalid(errors.into_iter().map(|error| FieldError { item: None, ..error }).collect())
        }
        Error::Conflict(conflict) => Error::conflict(conflict.kind),
        other => other,
    }
}

/// Invites name people by their address, where memberships have ids.
fn by_email(problem: Problem) -> Problem {
    problem.naming(|field| field.replace("member_id", "email"))
}

/// Invite people to an organisation, with or without an account, and to groups of it
///
/// A single object is answered with the invite, an array with all of them in order. Malformed bodies,
/// rights and limits are judged for the whole request.
#[utoipa::path(post, path = "/orgs/{id}/invites", tag = "Invites", params(Options), request_body = NewOrgInvites, responses((status = 201, body = MadeBody, headers(("Location"))), (status = 207, body = InviteResults)))]
pub(super) async fn create_org_invites(
    State(app): State<App>,
    caller: Caller,
    Id(org): Id<OrgId>,
    Query(options): Query<Options>,
    Json(body): Json<NewOrgInvites>,
) -> Answer {
    let wanted = Wanted::of(body, &options)?;
    let made = match wanted.asks() {
        true => app.registry.create_org_invites(&caller, org, &wanted.invites, wanted.partial()).await,
        false => Ok(Vec::new()),
    };
    wanted.answer(made)
}

/// Invite members of a group's organisation to the group
///
/// A single object is answered with the invite, an array with all of them in order. Malformed bodies,
/// rights and limits are judged for the whole request.
#[utoipa::path(post, path = "/groups/{id}/invites", tag = "Invites", params(Options), request_body = NewGroupInvites, responses((status = 201, body = MadeBody, headers(("Location"))), (status = 207, body = InviteResults)))]
pub(super) async fn create_group_invites(
    State(app): State<App>,
    caller: Caller,
    Id(group): Id<GroupId>,
    Query(options): Query<Options>,
    Json(body): Json<NewGroupInvites>,
) -> Answer {
    let wanted = Wanted::of(body, &options)?;
    let made = match wanted.asks() {
        true => app.registry.create_group_invites(&caller, group, &wanted.invites, wanted.partial()).await,
        false => Ok(Vec::new()),
    };
    wanted.answer(made)
}

/// Invite somebody without an account to the platform, as an administrator of it
///
/// With `org_id` it is the same as inviting them to that organisation, and as open to its admins: whether
/// the person has an account does not matter then.
#[utoipa::path(post, path = "/invites", tag = "Invites", request_body = NewPlatformInviteBody, responses((status = 201, body = InviteBody, headers(("Location")))))]
pub(super) async fn create_platform_invite(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<NewPlatformInviteBody>,
) -> Answer {
    match Check::one(|check| body.check(check))? {
        Platform::Alone { email, redirect_path } => {
            let invite = app.registry.create_platform_invite(&caller, &email, redirect_path.as_ref()).await?;
            Ok(made_one(invite))
        }
        Platform::Org(org, invite) => {
            let wanted = Wanted { invites: vec![invite], form: Form::One };
            let made = app.registry.create_org_invites(&caller, org, &wanted.invites, false).await;
            wanted.answer(made)
        }
    }
}
