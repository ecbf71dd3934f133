//! Group memberships over HTTP, and the wire types they share with those of organisations.

use axum::{Json as Out, extract::State, http::StatusCode};
use registry::{
    GroupId, Member, MemberFilter, MemberOrder, MemberRef, NewMember, Role, RoleChange, UserId, text::Email,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    body::{Json, OptionalJson},
    check::{Check, Echo},
    compat::{self, ArrayOr, Holds},
    extract::{Caller, Id},
    list::{list_query, page_body, sorts},
    problem::Answer,
    query::Query,
    wire::RoleName,
};
use crate::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_group_members, add_group_members, update_group_members, remove_group_members))
        .routes(routes!(search_group_members))
        .routes(routes!(transfer_group))
}

/// A member. Only admins see addresses.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(super) struct MemberBody {
    member_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = Email, required = false)]
    email: Option<Email>,
    #[schema(value_type = RoleName)]
    role: Role,
}

impl From<Member> for MemberBody {
    fn from(member: Member) -> Self {
        Self { member_id: member.member_id.uuid(), email: member.email, role: member.role }
    }
}

/// A member to be, or one whose role is to change: by `member_id`, by `email`, or by both if they are
/// the same account's. For a new member `email` alone names an account only if the address is proved to be theirs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MembershipBody {
    #[schema(value_type = Option<Uuid>)]
    member_id: Option<String>,
    #[schema(value_type = Option<String>, format = Email)]
    email: Option<String>,
    /// `viewer`, `editor` or `admin`.
    #[schema(value_type = RoleName)]
    role: Option<String>,
    org_id: Option<Echo>,
    group_id: Option<Echo>,
    created_at: Option<Echo>,
    updated_at: Option<Echo>,
}

impl MembershipBody {
    /// `place` is the field that names where the membership is, and its value.
    fn check(self, place: (&'static str, &str), check: &mut Check) -> Option<(MemberRef, Role)> {
        for (field, echo) in [("org_id", &self.org_id), ("group_id", &self.group_id)] {
            check.owned(field, echo.as_ref(), (field == place.0).then_some(place.1));
        }
        check.owned("created_at", self.created_at.as_ref(), None);
        check.owned("updated_at", self.updated_at.as_ref(), None);
        let id: Option<UserId> = check.parsed("member_id", self.member_id.as_deref());
        let email: Option<Email> = check.filter("email", self.email.as_deref());
        let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if !given(&self.member_id) && !given(&self.email) {
            check.refuse("member_id", "is required, or `email`");
        }
        let role = match self.role.as_deref() {
            None => {
                check.refuse("role", "is required");
                None
            }
            role => role_of("role", role, check),
        };
        let who = match (id, email) {
            (Some(id), None) => Some(MemberRef::Id(id)),
            (None, Some(email)) => Some(MemberRef::Email(email)),
            (Some(id), Some(email)) => Some(MemberRef::Both(id, email)),
            (None, None) => None,
        };
        Some((who?, role?))
    }
}

/// A role in a body or a filter.
fn role_of(field: &'static str, text: Option<&str>, check: &mut Check) -> Option<Role> {
    check.valid(field, Role::parse(text?).ok_or("must be one of viewer, editor, admin, owner"))
}

/// Converts the members to be.
pub(super) fn new_members(items: Vec<MembershipBody>, place: (&'static str, &str)) -> Answer<Vec<NewMember>> {
    let checked = Check::each(items, |item, check| item.check(place, check))?;
    Ok(checked.into_iter().map(|(who, role)| NewMember { who, role }).collect())
}

/// Whose role is to change to what.
pub(super) struct Changes {
    who: Vec<MemberRef>,
    roles: Vec<Role>,
}

impl Changes {
    pub(super) fn of(items: Vec<MembershipBody>, place: (&'static str, &str)) -> Answer<Self> {
        let checked = Check::each(items, |item, check| item.check(place, check))?;
        let (who, roles) = checked.into_iter().unzip();
        Ok(Self { who, roles })
    }

    /// Those who are not named by id alone, and so have to be looked up first.
    pub(super) fn named(&self) -> Option<&[MemberRef]> {
        self.who.iter().any(|who| !matches!(who, MemberRef::Id(_))).then_some(&self.who)
    }

    /// The changes, once everybody's id is known: `found`, unless all of them were in the request.
    pub(super) fn by(self, found: Option<Vec<UserId>>) -> Vec<RoleChange> {
        let given = || self.who.iter().filter_map(MemberRef::id).collect();
        let ids = found.unwrap_or_else(given).into_iter();
        ids.zip(self.roles).map(|(member_id, role)| RoleChange { member_id, role }).collect()
    }
}

/// Whose memberships end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberIds {
    #[schema(value_type = Vec<Uuid>, min_items = 1, max_items = 1000)]
    member_ids: Vec<String>,
}

impl MemberIds {
    pub(super) fn check(&self) -> Answer<Vec<UserId>> {
        Check::ids("member_ids", &self.member_ids)
    }
}

/// Who is to own it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOwner {
    #[schema(value_type = Uuid)]
    member_id: Option<String>,
}

impl NewOwner {
    pub(super) fn check(&self) -> Answer<UserId> {
        Check::one(|check| {
            if self.member_id.as_deref().unwrap_or_default().is_empty() {
                check.refuse("member_id", "is required");
            }
            check.parsed("member_id", self.member_id.as_deref())
        })
    }
}

sorts! { MemberSort => MemberOrder: Id "id", Email "email" }

list_query! {
    /// Which members, and which page of them.
    MemberQuery sorted by MemberSort {
        /// Part of the address, upper and lower case alike; only admins may ask for it.
        email: Option<String>,
        /// With this role.
        #[schema(value_type = Option<RoleName>)]
        #[param(value_type = Option<RoleName>)]
        role: Option<String>,
    }
}

impl MemberQuery {
    pub(super) fn filter(&self) -> Answer<MemberFilter> {
        Check::one(|check| {
            let email = check.filter("email", self.email.as_deref());
            let role = role_of("role", self.role.as_deref().filter(|role| !role.is_empty()), check);
            Some(MemberFilter { email, role })
        })
    }
}

page_body! { GroupMemberPage of MemberQuery sorted by MemberSort, group_memberships: MemberBody }

/// The members of a group.
#[derive(Debug, Serialize, ToSchema)]
struct GroupMembers {
    group_memberships: Vec<MemberBody>,
}

/// Members of a group; a bare array of them is taken too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupMemberships {
    #[schema(min_items = 1, max_items = 1000)]
    group_memberships: Vec<MembershipBody>,
    redirect_path: Option<String>,
}

impl Holds<MembershipBody> for GroupMemberships {
    fn items(self) -> (Vec<MembershipBody>, Option<String>) {
        (self.group_memberships, self.redirect_path)
    }
}

type Wanted = ArrayOr<GroupMemberships, MembershipBody>;

async fn list(app: &App, caller: &Caller, id: GroupId, query: MemberQuery) -> Answer<Out<GroupMemberPage>> {
    let page = app.registry.list_group_members(caller, id, &query.filter()?, &query.page()?).await?;
    Ok(Out(GroupMemberPage::new(page, &query)))
}

/// List a group's members
#[utoipa::path(get, path = "/groups/{id}/memberships", tag = "Memberships", params(MemberQuery), responses((status = 200, body = GroupMemberPage)))]
async fn list_group_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    Query(query): Query<MemberQuery>,
) -> Answer<Out<GroupMemberPage>> {
    list(&app, &caller, id, query).await
}

/// Search a group's members
#[utoipa::path(post, path = "/groups/{id}/memberships/search", tag = "Memberships", request_body = Option<MemberQuery>, responses((status = 200, body = GroupMemberPage)))]
async fn search_group_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    OptionalJson(query): OptionalJson<MemberQuery>,
) -> Answer<Out<GroupMemberPage>> {
    list(&app, &caller, id, query).await
}

/// Take people of the organisation into a group, all or none
#[utoipa::path(post, path = "/groups/{id}/memberships", tag = "Memberships", request_body = GroupMemberships, responses((status = 201, body = GroupMembers)))]
async fn add_group_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    Json(wanted): Json<Wanted>,
) -> Answer<(StatusCode, Out<GroupMembers>)> {
    let members = new_members(compat::checked(wanted)?, ("group_id", &id.to_string()))?;
    let added = app.registry.add_group_members(&caller, id, &members).await?;
    let group_memberships = added.into_iter().map(Into::into).collect();
    Ok((StatusCode::CREATED, Out(GroupMembers { group_memberships })))
}

/// Change the roles of a group's members, all or none
#[utoipa::path(put, path = "/groups/{id}/memberships", tag = "Memberships", request_body = GroupMemberships, responses((status = 200, body = GroupMembers)))]
async fn update_group_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    Json(wanted): Json<Wanted>,
) -> Answer<Out<GroupMembers>> {
    let changes = Changes::of(compat::checked(wanted)?, ("group_id", &id.to_string()))?;
    let found = match changes.named() {
        Some(who) => Some(app.registry.find_group_members(&caller, id, who).await?),
        None => None,
    };
    let changed = app.registry.update_group_members(&caller, id, &changes.by(found)).await?;
    Ok(Out(GroupMembers { group_memberships: changed.into_iter().map(Into::into).collect() }))
}

/// Remove members from a group, or yourself, all or none
#[utoipa::path(patch, path = "/groups/{id}/memberships", tag = "Memberships", request_body = MemberIds, responses((status = 204)))]
async fn remove_group_members(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    Json(body): Json<MemberIds>,
) -> Answer<StatusCode> {
    app.registry.remove_group_members(&caller, id, &body.check()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hand a group over to one of its members; the owner who does becomes an admin
#[utoipa::path(post, path = "/groups/{id}/owner", tag = "Memberships", request_body = NewOwner, responses((status = 204)))]
async fn transfer_group(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<GroupId>,
    Json(body): Json<NewOwner>,
) -> Answer<StatusCode> {
    app.registry.transfer_group(&caller, id, body.check()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
