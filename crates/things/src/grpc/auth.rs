//! `protomfx.AuthService`: who somebody is and what they may do, for Mainflux's other services.

use registry::{Call, OrgId, PlatformRole, Role, UserId, trusted::Object};
use tonic::{Request, Response, Status};

use super::{
    call_of, id,
    protomfx::{self as wire, auth_service_server::AuthService},
    request_id,
    status::told,
};
use crate::App;

/// The service.
pub(super) struct Auth(pub(super) App);

type Answer<T> = Result<Response<T>, Status>;

impl Auth {
    async fn call<T>(&self, request: &Request<T>, token: &str) -> Result<Call, Status> {
        call_of(&self.0, token, &request_id(request)).await
    }

    async fn owner(&self, request: Request<wire::OrgId>) -> Answer<wire::OwnerId> {
        let owner = self.0.registry.owner_of_org(id("org", &request.get_ref().value)?).await.map_err(told)?;
        Ok(Response::new(wire::OwnerId { value: owner.to_string() }))
    }
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn identify(&self, request: Request<wire::Token>) -> Answer<wire::UserIdentity> {
        let call = self.call(&request, &request.get_ref().value).await?;
        let user = self.0.registry.view_own_user(&call).await.map_err(told)?;
        Ok(Response::new(wire::UserIdentity {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
        }))
    }

    async fn authorize(&self, request: Request<wire::AuthorizeReq>) -> Answer<()> {
        let asked = request.get_ref();
        let call = self.call(&request, &asked.token).await?;
        let found = match asked.subject.as_str() {
            "root" => self.0.registry.check_platform_admin(&call),
            "org" => {
                let least = Role::parse(&asked.action).ok_or_else(|| {
                    Status::invalid_argument("action: must be `viewer`, `editor`, `admin` or `owner`")
                })?;
                let object = Object::Org(id("object", &asked.object)?);
                self.0.registry.check_role(&call, least, object).await
            }
            _ => return Err(Status::invalid_argument("subject: must be `root` or `org`")),
        };
        found.map(Response::new).map_err(told)
    }

    async fn get_owner_id_by_org(&self, request: Request<wire::OrgId>) -> Answer<wire::OwnerId> {
        self.owner(request).await
    }

    async fn get_owner_id_by_org_id(&self, request: Request<wire::OrgId>) -> Answer<wire::OwnerId> {
        self.owner(request).await
    }

    async fn retrieve_role(&self, request: Request<wire::RetrieveRoleReq>) -> Answer<wire::RetrieveRoleRes> {
        let user: UserId = id("id", &request.get_ref().id)?;
        let role = self.0.registry.platform_role_of(user).await.map_err(told)?;
        let role = role.map_or("", PlatformRole::as_str).to_owned();
        Ok(Response::new(wire::RetrieveRoleRes { role }))
    }

    async fn view_org(&self, request: Request<wire::ViewOrgReq>) -> Answer<wire::Org> {
        let call = self.call(&request, &request.get_ref().token).await?;
        let id = org(&request.get_ref().org)?;
        let org = self.0.registry.view_org(&call, id).await.map_err(told)?;
        let owner = self.0.registry.owner_of_org(id).await.map_err(told)?;
        Ok(Response::new(wire::Org {
            id: org.id.to_string(),
            owner_id: owner.to_string(),
            name: org.name,
            description: org.description,
        }))
    }

    async fn view_org_membership(
        &self,
        request: Request<wire::ViewOrgMembershipReq>,
    ) -> Answer<wire::OrgMembership> {
        let asked = request.get_ref();
        let call = self.call(&request, &asked.token).await?;
        let (org, member): (OrgId, UserId) = (id("orgID", &asked.org_id)?, id("memberID", &asked.member_id)?);
        let found = self.0.registry.view_org_member(&call, org, member).await.map_err(told)?;
        Ok(Response::new(wire::OrgMembership {
            member_id: found.member_id.to_string(),
            org_id: org.to_string(),
            role: found.role.as_str().to_owned(),
        }))
    }
}

/// Which organisation: an id as text, or a message OrgID, which begins with the tag of its first field, a
/// line feed.
fn org(bytes: &[u8]) -> Result<OrgId, Status> {
    const TAG: u8 = 0x0a;
    if bytes.first() == Some(&TAG) {
        let message = <wire::OrgId as prost::Message>::decode(bytes)
            .map_err(|_| Status::invalid_argument("org: must be an id, or a message OrgID"))?;
        return id("org", &message.value);
    }
    id("org", std::str::from_utf8(bytes).unwrap_or_default())
}
