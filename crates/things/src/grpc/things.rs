//! `protomfx.ThingsService`: what Mainflux's adapters and services ask about things.

use registry::{
    GroupId, ProfileId, Role, Secret, ThingId,
    credentials::{Claim, CredentialKind, Device},
    profiles::Handling,
    trusted::{Enrolment, MAX_IDS, Object},
};
use tonic::{Request, Response, Status};

use super::{
    asker, call_of, id,
    protomfx::{self as wire, things_service_server::ThingsService},
    request_id,
    status::told,
};
use crate::App;

/// The service.
pub(super) struct Things(pub(super) App);

type Answer<T> = Result<Response<T>, Status>;

impl Things {
    /// The thing that a key names.
    async fn device(&self, request: &Request<wire::ThingKey>) -> Result<Device, Status> {
        let key = request.get_ref();
        let kind = match key.r#type.as_str() {
            // Older services do not say.
            "" => CredentialKind::Internal,
            kind => kind.parse().map_err(|()| {
                Status::invalid_argument("type: must be `internal` or `external`, or empty for `internal`")
            })?,
        };
        let asker = asker(request, None);
        self.0.registry.authenticate_device(kind, &Secret::new(&key.value), &asker).await.map_err(told)
    }

    async fn check(&self, request: &Request<wire::UserAccessReq>, object: Object) -> Answer<()> {
        let asked = request.get_ref();
        let call = call_of(&self.0, &asked.token, &request_id(request)).await?;
        let least = match Role::parse(&asked.action) {
            Some(role @ (Role::Viewer | Role::Editor | Role::Admin)) => role,
            Some(Role::Owner) | None => {
                return Err(Status::invalid_argument("action: must be `viewer`, `editor` or `admin`"));
            }
        };
        self.0.registry.check_role(&call, least, object).await.map(Response::new).map_err(told)
    }
}

#[tonic::async_trait]
impl ThingsService for Things {
    async fn get_pub_config_by_key(
        &self,
        request: Request<wire::ThingKey>,
    ) -> Answer<wire::PubConfigByKeyRes> {
        let device = self.device(&request).await?;
        Ok(Response::new(wire::PubConfigByKeyRes {
            publisher_id: device.thing.to_string(),
            profile_config: device.place.handling.as_ref().map(config),
        }))
    }

    async fn get_pub_conf_by_key(&self, request: Request<wire::ThingKey>) -> Answer<wire::PubConfigByKeyRes> {
        self.get_pub_config_by_key(request).await
    }

    async fn get_config_by_thing(&self, request: Request<wire::ThingId>) -> Answer<wire::ConfigByThingRes> {
        let thing: ThingId = id("thing", &request.get_ref().value)?;
        let found = self.0.registry.config_of_thing(thing).await.map_err(told)?;
        Ok(Response::new(wire::ConfigByThingRes { config: found.map(|found| config(&found.handling())) }))
    }

    async fn get_config_by_thing_id(
        &self,
        request: Request<wire::ThingId>,
    ) -> Answer<wire::ConfigByThingRes> {
        self.get_config_by_thing(request).await
    }

    async fn can_user_access_thing(&self, request: Request<wire::UserAccessReq>) -> Answer<()> {
        let object = Object::Thing(id("id", &request.get_ref().id)?);
        self.check(&request, object).await
    }

    async fn can_user_access_profile(&self, request: Request<wire::UserAccessReq>) -> Answer<()> {
        let object = Object::Profile(id("id", &request.get_ref().id)?);
        self.check(&request, object).await
    }

    async fn can_user_access_group(&self, request: Request<wire::UserAccessReq>) -> Answer<()> {
        let object = Object::Group(id("id", &request.get_ref().id)?);
        self.check(&request, object).await
    }

    async fn can_thing_access_group(&self, request: Request<wire::ThingAccessReq>) -> Answer<()> {
        let group: GroupId = id("id", &request.get_ref().id)?;
        let key = Secret::new(&request.get_ref().key);
        // The message does not say of which kind the key is.
        let claim = Claim { kind: None, ..Claim::new(CredentialKind::Internal, &key, asker(&request, None)) };
        let device = self.0.registry.authenticate_claim(&claim).await;
        allowed(device.map_err(told)?.place.group == group, "the thing is in another group")
    }

    async fn can_thing_command(&self, request: Request<wire::ThingCommandReq>) -> Answer<()> {
        let publisher: ThingId = id("publisherID", &request.get_ref().publisher_id)?;
        let recipient: ThingId = id("recipientID", &request.get_ref().recipient_id)?;
        let allows = self.0.registry.can_command(publisher, recipient).await.map_err(told)?;
        allowed(allows, "things command things of their own group, and only as their types allow")
    }

    async fn can_thing_group_command(&self, request: Request<wire::ThingGroupCommandReq>) -> Answer<()> {
        let publisher: ThingId = id("publisherID", &request.get_ref().publisher_id)?;
        let group: GroupId = id("groupID", &request.get_ref().group_id)?;
        let allows = self.0.registry.can_command_group(publisher, group).await.map_err(told)?;
        allowed(allows, "things command their own group, and only if their type commands any")
    }

    async fn identify(&self, request: Request<wire::ThingKey>) -> Answer<wire::ThingId> {
        let device = self.device(&request).await?;
        Ok(Response::new(wire::ThingId { value: device.thing.to_string() }))
    }

    async fn get_group_id_by_thing(&self, request: Request<wire::ThingId>) -> Answer<wire::GroupId> {
        let thing: ThingId = id("thing", &request.get_ref().value)?;
        let group = self.0.registry.group_of_thing(thing).await.map_err(told)?;
        Ok(Response::new(wire::GroupId { value: group.to_string() }))
    }

    async fn get_group_id_by_thing_id(&self, request: Request<wire::ThingId>) -> Answer<wire::GroupId> {
        self.get_group_id_by_thing(request).await
    }

    async fn get_group_id_by_profile(&self, request: Request<wire::ProfileId>) -> Answer<wire::GroupId> {
        let profile: ProfileId = id("profile", &request.get_ref().value)?;
        let group = self.0.registry.group_of_profile(profile).await.map_err(told)?;
        Ok(Response::new(wire::GroupId { value: group.to_string() }))
    }

    async fn get_group_id_by_profile_id(&self, request: Request<wire::ProfileId>) -> Answer<wire::GroupId> {
        self.get_group_id_by_profile(request).await
    }

    async fn get_group_i_ds_by_org(&self, request: Request<wire::OrgAccessReq>) -> Answer<wire::GroupIDs> {
        let call = call_of(&self.0, &request.get_ref().token, &request_id(&request)).await?;
        let org = id("org_id", &request.get_ref().org_id)?;
        let found = self.0.registry.list_group_ids(&call, org).await.map_err(told)?;
        Ok(Response::new(wire::GroupIDs { ids: bounded(&found, "groups")? }))
    }

    async fn get_thing_i_ds_by_profile(&self, request: Request<wire::ProfileId>) -> Answer<wire::ThingIDs> {
        let profile: ProfileId = id("profile", &request.get_ref().value)?;
        let found = self.0.registry.things_of_profile(profile).await.map_err(told)?;
        Ok(Response::new(wire::ThingIDs { ids: bounded(&found, "things")? }))
    }

    async fn create_group_memberships(
        &self,
        request: Request<wire::CreateGroupMembershipsReq>,
    ) -> Answer<()> {
        let enrolments: Vec<Enrolment> = request
            .get_ref()
            .memberships
            .iter()
            .map(|membership| {
                Ok(Enrolment {
                    member: id("userID", &membership.user_id)?,
                    group: id("groupID", &membership.group_id)?,
                    role: Role::parse(&membership.role).ok_or_else(|| {
                        Status::invalid_argument("role: must be `viewer`, `editor` or `admin`")
                    })?,
                })
            })
            .collect::<Result<_, Status>>()?;
        self.0.registry.enrol(&enrolments, &request_id(&request)).await.map(Response::new).map_err(told)
    }

    async fn get_group(&self, request: Request<wire::GetGroupReq>) -> Answer<wire::Group> {
        let group = self.0.registry.facts_of_group(id("groupID", &request.get_ref().group_id)?).await;
        let group = group.map_err(told)?;
        Ok(Response::new(wire::Group {
            id: group.id.to_string(),
            org_id: group.org_id.to_string(),
            name: group.name,
        }))
    }

    async fn get_key_by_thing_id(&self, request: Request<wire::ThingId>) -> Answer<wire::ThingKey> {
        let thing: ThingId = id("thing", &request.get_ref().value)?;
        let found =
            self.0.registry.reveal_key_to_service(thing, &request_id(&request)).await.map_err(told)?;
        let key = found.ok_or_else(|| {
            Status::failed_precondition(
                "there is no copy of this thing's key: either keys.readback is `never`, or the key was made while \
                 it was; rotate the key to get a new one",
            )
        })?;
        Ok(Response::new(wire::ThingKey { value: key.expose().to_owned(), r#type: "internal".to_owned() }))
    }

    async fn create_dormant_group_invites(
        &self,
        _: Request<wire::CreateDormantGroupInvitesReq>,
    ) -> Answer<()> {
        Err(Status::unimplemented(
            "invites to organisations bring their groups with them here: use POST /orgs/{id}/invites with `groups`",
        ))
    }

    async fn activate_group_invites(&self, _: Request<wire::ActivateGroupInvitesReq>) -> Answer<()> {
        Err(Status::unimplemented(
            "the groups of an organisation's invite come with its acceptance here: use POST /invites/{id}/accept",
        ))
    }
}

fn allowed(is: bool, otherwise: &'static str) -> Answer<()> {
    if is { Ok(Response::new(())) } else { Err(Status::permission_denied(otherwise)) }
}

fn bounded<T: ToString>(ids: &[T], what: &str) -> Result<Vec<String>, Status> {
    if ids.len() > MAX_IDS {
        return Err(Status::resource_exhausted(format!(
            "there are more than {MAX_IDS} {what}, which do not fit into one answer; list them by pages over HTTP"
        )));
    }
    Ok(ids.iter().map(ToString::to_string).collect())
}

/// A configuration as adapters read it.
fn config(handling: &Handling) -> wire::Config {
    let transformer = handling.transformer.as_ref().map(|transformer| wire::Transformer {
        data_filters: transformer.data_filters.clone(),
        data_field: transformer.data_field.clone(),
        time_field: transformer.time_field.clone(),
        time_format: transformer.time_format.clone(),
        time_location: transformer.time_location.clone(),
    });
    wire::Config {
        content_type: handling.content_type.clone(),
        transformer,
        write_enabled: handling.write,
        webhook_enabled: handling.webhook,
        rule_enabled: handling.rule,
    }
}
