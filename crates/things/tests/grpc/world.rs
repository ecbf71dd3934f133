//! A small installation: two organisations, a group with a profile, and things of different types.

use serde_json::{Value, json};
use tonic::{Code, Response, Status, transport::Channel};

use crate::{
    app::{Client, Engine, Running, start},
    wire::{
        channel,
        protomfx::{
            ThingKey, auth_service_client::AuthServiceClient, things_service_client::ThingsServiceClient,
            users_service_client::UsersServiceClient,
        },
        v1::registry_client::RegistryClient,
    },
};

/// A thing, and what it shows.
pub struct Thing {
    pub id: String,
    pub key: String,
    pub external_key: String,
}

impl Thing {
    pub fn internal(&self) -> ThingKey {
        ThingKey { value: self.key.clone(), r#type: "internal".to_owned() }
    }

    pub fn external(&self) -> ThingKey {
        ThingKey { value: self.external_key.clone(), r#type: "external".to_owned() }
    }
}

pub struct World {
    pub server: Running,
    pub channel: Channel,
    pub root: Client,
    /// Owns the organisation.
    pub owner: Client,
    /// A viewer of the organisation and of the group.
    pub viewer: Client,
    /// Belongs to nothing.
    pub stranger: Client,
    pub org: String,
    pub group: String,
    /// Another one of the organisation.
    pub other_group: String,
    pub profile: String,
    pub controller: Thing,
    pub sensor: Thing,
}

/// An id of nothing.
pub const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

impl World {
    pub async fn on(engine: Engine) -> Self {
        Self::in_server(start(engine).await).await
    }

    pub async fn in_server(server: Running) -> Self {
        let root = server.root().await;
        let owner = server.person("owner@example.com").await;
        let viewer = server.person("viewer@example.com").await;
        let stranger = server.person("stranger@example.com").await;
        let org = server.org(&owner).await;
        let member = json!([{ "email": "viewer@example.com", "role": "viewer" }]);
        owner.post(&format!("/orgs/{org}/memberships"), &member).await.expect(200);
        let groups = json!([{ "name": "group" }, { "name": "other" }]);
        let groups = owner.post(&format!("/orgs/{org}/groups"), &groups).await.expect(201);
        let (group, other_group) = (text(&groups["groups"][0]["id"]), text(&groups["groups"][1]["id"]));
        owner.post(&format!("/groups/{group}/memberships"), &member).await.expect(201);
        let profile = json!([{ "name": "profile", "config": {
            "content_type": "application/senml+json",
            "webhook_enabled": false,
            "retain": { "days": 7 },
            "transformer": {
                "data_filters": ["a", "b"], "data_field": "data", "time_field": "t",
                "time_format": "unix", "time_location": "UTC",
            },
        }}]);
        let made = owner.post(&format!("/groups/{group}/profiles"), &profile).await.expect(201);
        let profile = text(&made["profiles"][0]["id"]);
        let things = json!([
            { "name": "controller", "type": "controller", "external_key": "SN-controller" },
            { "name": "sensor", "type": "sensor", "external_key": "SN-sensor" },
        ]);
        let made = owner.post(&format!("/profiles/{profile}/things"), &things).await.expect(201);
        let thing = |at: usize| {
            let made = &made["things"][at];
            Thing {
                id: text(&made["id"]),
                key: text(&made["key"]),
                external_key: text(&made["external_key"]),
            }
        };
        let (controller, sensor) = (thing(0), thing(1));
        let channel = channel(server.grpc);
        Self {
            server,
            channel,
            root,
            owner,
            viewer,
            stranger,
            org,
            group,
            other_group,
            profile,
            controller,
            sensor,
        }
    }

    pub fn things(&self) -> ThingsServiceClient<Channel> {
        ThingsServiceClient::new(self.channel.clone())
    }

    pub fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel.clone())
    }

    pub fn users(&self) -> UsersServiceClient<Channel> {
        UsersServiceClient::new(self.channel.clone())
    }

    pub fn contract(&self) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel.clone())
    }

    /// An account's id.
    pub async fn id_of(&self, person: &Client) -> String {
        text(&person.get("/users/profile").await.expect(200)["id"])
    }
}

/// The code of a refusal, whose message has to be worth reading.
#[track_caller]
pub fn code<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Code {
    let Err(status) = answer else { panic!("no refusal: {answer:?}") };
    assert!(status.message().len() > 10, "{status:?}");
    status.code()
}
