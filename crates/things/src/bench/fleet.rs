//! The things that are asked for: made by the use cases that everybody calls, and kept in memory with their
//! keys.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use registry::{
    Actor, Call, JsonObject, Keyring, MAX_BULK, NewOrg, ProfileId, Registry, Settings,
    groups::NewGroup,
    profiles::{NewProfile, ProfileConfig},
    text::{Description, Email, GroupName, OrgName, ProfileName, ThingName},
    things::{NewThing, ThingType},
};

use super::{Result, progress::Progress};
use crate::cli::Failure;

/// How many profiles the things are spread over.
const PROFILES: usize = 10;
/// How adapters like to be told of a profile.
const CONFIG: &str = r#"{"content_type":"application/senml+json","transformer":{"data_filters":["temperature","humidity"],"data_field":"e","time_field":"t","time_format":"unix","time_location":"UTC"}}"#;

/// A thing and the key that names it.
pub(super) struct Thing {
    pub(super) key: Box<str>,
    pub(super) id: Box<str>,
    /// Which profile.
    pub(super) profile: usize,
}

/// All of them.
pub(super) struct Fleet {
    pub(super) engine: &'static str,
    pub(super) org: String,
    pub(super) group: String,
    /// Each profile's id and its configuration as stored.
    pub(super) profiles: Vec<(String, String)>,
    pub(super) things: Vec<Thing>,
    /// How long it took to make them, in seconds.
    pub(super) seconds: f64,
}

/// Fills an empty database.
pub(super) async fn seed(url: &str, keyring: Keyring, count: usize, progress: &Progress) -> Result<Fleet> {
    let settings = Settings { mail: false, cached_credentials: 0, ..Settings::new(url, keyring) };
    let registry =
        Registry::open(settings).await.map_err(|error| Failure::to("open the database", &error))?;
    let seeded = fill(&registry, count, progress).await;
    registry.close().await;
    seeded.map_err(|error| Failure::to("fill the database", &error))
}

async fn fill(registry: &Registry, count: usize, progress: &Progress) -> registry::Result<Fleet> {
    let started = Instant::now();
    let call = administrator(registry).await?;
    let name = "bench";
    let org = NewOrg {
        id: None,
        name: OrgName::try_from(name).map_err(registry::Error::internal)?,
        description: Description::default(),
        metadata: JsonObject::default(),
    };
    let org = registry.create_org(&call, &org).await?.id;
    let group = NewGroup {
        id: None,
        name: GroupName::try_from(name).map_err(registry::Error::internal)?,
        description: Description::default(),
        metadata: JsonObject::default(),
    };
    let groups = registry.create_groups(&call, org, &[group]).await?;
    let group = groups.first().ok_or_else(|| registry::Error::internal("no group was made"))?.id;
    let profiles = (0..PROFILES).map(profile).collect::<registry::Result<Vec<_>>>()?;
    let profiles = registry.create_profiles(&call, group, &profiles).await?;

    let mut things = Vec::with_capacity(count);
    while things.len() < count {
        let profile = (things.len() / MAX_BULK) % PROFILES;
        let some = (count - things.len()).min(MAX_BULK);
        let id = profiles.get(profile).map(|profile| profile.id);
        things.extend(make(registry, &call, id, profile, things.len(), some).await?);
        let speed = things.len() as f64 / started.elapsed().as_secs_f64();
        progress.at(&format!("seeding: {} of {count} things, {speed:.0} things/s", things.len()));
    }
    let seconds = started.elapsed().as_secs_f64();
    progress.done(&format!("seeded {count} things in {seconds:.1} s"));
    let told = |profile: &registry::profiles::Profile| {
        let config = profile.config.as_ref().map(|config| config.object().to_text());
        (profile.id.to_string(), config.unwrap_or_default())
    };
    Ok(Fleet {
        engine: registry.engine(),
        org: org.to_string(),
        group: group.to_string(),
        profiles: profiles.iter().map(told).collect(),
        things,
        seconds,
    })
}

/// The only account, logged in.
async fn administrator(registry: &Registry) -> registry::Result<Call> {
    let email = Email::try_from("bench@example.com").map_err(registry::Error::internal)?;
    let made = registry.ensure_root(email.clone(), None).await?;
    let password = made
        .and_then(|made| made.generated)
        .ok_or_else(|| registry::Error::internal("there are accounts in this database already"))?;
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let anonymous = Call::new(Actor::Anonymous, "bench");
    let session = registry.create_session(&anonymous, &email, &password, source).await?;
    let token = session.token.ok_or(registry::Error::Unauthenticated)?;
    Ok(Call::new(registry.authenticate(&token).await?, "bench"))
}

fn profile(number: usize) -> registry::Result<NewProfile> {
    let config = JsonObject::parse(CONFIG).map_err(registry::Error::internal)?;
    Ok(NewProfile {
        id: None,
        name: ProfileName::try_from(format!("bench {number}").as_str()).map_err(registry::Error::internal)?,
        config: Some(ProfileConfig::new(config).map_err(registry::Error::Invalid)?),
        metadata: JsonObject::default(),
    })
}

async fn make(
    registry: &Registry,
    call: &Call,
    id: Option<ProfileId>,
    profile: usize,
    first: usize,
    count: usize,
) -> registry::Result<Vec<Thing>> {
    let id = id.ok_or_else(|| registry::Error::internal("a profile was not made"))?;
    let mut new = Vec::with_capacity(count);
    for number in first..first + count {
        new.push(NewThing {
            id: None,
            name: ThingName::try_from(format!("thing {number}").as_str())
                .map_err(registry::Error::internal)?,
            kind: ThingType::Sensor,
            key: None,
            external_key: None,
            metadata: JsonObject::default(),
        });
    }
    let made = registry.create_things(call, id, &new).await?;
    let thing = |made: registry::things::CreatedThing| {
        let key = made.key?.expose().into();
        Some(Thing { key, id: made.thing.id.to_string().into(), profile })
    };
    made.into_iter()
        .map(|made| thing(made).ok_or_else(|| registry::Error::internal("a thing was made without a key")))
        .collect()
}
