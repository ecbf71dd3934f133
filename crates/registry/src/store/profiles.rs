//! Profiles' rows.

use std::collections::HashMap;

use serde_json::json;

use super::{
    Conn, Engine, Tx,
    access::Facts,
    conflict::translate,
    on,
    page::{self, Keyed, Listing, OrderKey, Reading},
    rows,
    sql::{Arg, RawJson, Sql},
};
use crate::{
    access::{self, Action, Administer, Edit, Permit, Role, Visible},
    actor::UserActor,
    error::{ConflictKind, Error, Result},
    ids::{GroupId, OrgId, ProfileId},
    json::JsonObject,
    page::{Page, PageQuery},
    profiles::{NewProfile, Profile, ProfileConfig, ProfileFilter, ProfileOrder},
    secret::Keyring,
};

#[derive(sqlx::FromRow)]
struct Row {
    id: ProfileId,
    group_id: GroupId,
    name: String,
    config: Option<sqlx::types::Json<JsonObject>>,
    metadata: Option<sqlx::types::Json<JsonObject>>,
}

impl Row {
    fn seen_as(self, role: Role) -> Profile {
        Profile {
            id: self.id,
            group_id: self.group_id,
            name: self.name,
            config: self.config.map(|json| ProfileConfig::stored(json.0)),
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
            role,
        }
    }
}

fn config_text(profile: &Profile) -> Option<String> {
    profile.config.as_ref().map(|config| config.object().to_text())
}

/// Stores profiles in one statement: PostgreSQL unnests typed arrays, SQLite a JSON array with
/// hexadecimal ids.
pub(crate) async fn insert(tx: &mut Tx, group: &Permit<Edit, GroupId>, profiles: &[Profile]) -> Result<()> {
    match tx.engine() {
        Engine::Postgres(conn) => sqlx::query(
            "INSERT INTO profiles (id, group_id, name, config, metadata) \
             SELECT p.id, $1, p.name, p.config::jsonb, p.metadata::jsonb \
             FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS p(id, name, config, metadata)",
        )
        .bind(group.target())
        .bind(profiles.iter().map(|profile| profile.id.uuid()).collect::<Vec<_>>())
        .bind(profiles.iter().map(|profile| profile.name.as_str()).collect::<Vec<_>>())
        .bind(profiles.iter().map(config_text).collect::<Vec<_>>())
        .bind(profiles.iter().map(|profile| profile.metadata.to_text()).collect::<Vec<_>>())
        .execute(conn)
        .await
        .map(drop),
        Engine::Sqlite(conn) => {
            let rows: Vec<_> = profiles
                .iter()
                .map(|profile| {
                    let id = profile.id.uuid().as_simple().to_string();
                    json!([id, profile.name, config_text(profile), profile.metadata.to_text()])
                })
                .collect();
            sqlx::query(
                "INSERT INTO profiles (id, group_id, name, config, metadata) \
                 SELECT unhex(value ->> 0), $1, value ->> 1, value ->> 2, value ->> 3 \
                 FROM jsonb_each($2) ORDER BY key",
            )
            .bind(group.target())
            .bind(serde_json::to_string(&rows).map_err(Error::internal)?)
            .execute(conn)
            .await
            .map(drop)
        }
    }
    .map_err(translate)
}

pub(crate) async fn get<A: Action>(conn: &mut Conn, permit: &Permit<A, ProfileId>) -> Result<Profile> {
    let found: Option<Row> = on!(conn, conn => sqlx::query_as(
        "SELECT id, group_id, name, config, metadata FROM profiles WHERE id = $1")
        .bind(permit.target()).fetch_optional(conn))?;
    found.map(|row| row.seen_as(permit.role())).ok_or(Error::NotFound)
}

fn targets(permits: &[Permit<Administer, ProfileId>]) -> impl Iterator<Item = Arg> {
    permits.iter().map(|permit| Arg::Id(permit.target().uuid()))
}

pub(crate) async fn names(
    conn: &mut Conn,
    permits: &[Permit<Administer, ProfileId>],
) -> Result<HashMap<ProfileId, String>> {
    let mut sql = Sql::new("SELECT id, name FROM profiles WHERE id IN (");
    sql.bind_all(targets(permits)).push(")");
    let found: Vec<(ProfileId, String)> = sql.fetch_all(conn).await?;
    Ok(found.into_iter().collect())
}

/// Those profiles that things use, with how many.
pub(crate) async fn uses(
    conn: &mut Conn,
    permits: &[Permit<Administer, ProfileId>],
) -> Result<Vec<(ProfileId, i64)>> {
    let mut sql = Sql::new("SELECT profile_id, count(*) FROM things WHERE profile_id IN (");
    sql.bind_all(targets(permits)).push(") GROUP BY profile_id");
    sql.fetch_all(conn).await
}

pub(crate) async fn update(tx: &mut Tx, permit: &Permit<Edit, ProfileId>, profile: &Profile) -> Result<()> {
    rows!(
        tx,
        sqlx::query("UPDATE profiles SET name = $2, config = $3, metadata = $4 WHERE id = $1")
            .bind(permit.target())
            .bind(profile.name.as_str())
            .bind(config_text(profile).map(RawJson))
            .bind(RawJson(profile.metadata.to_text()))
    )?;
    Ok(())
}

/// Deletes profiles that no thing uses.
pub(crate) async fn delete(tx: &mut Tx, permits: &[Permit<Administer, ProfileId>]) -> Result<()> {
    let mut sql = Sql::new("DELETE FROM profiles WHERE id IN (");
    sql.bind_all(targets(permits)).push(")");
    sql.execute(tx).await.map(drop)
}

/// Which of the items clash with what exists, in the way that `kind` says.
pub(crate) async fn clashes(
    conn: &mut Conn,
    group: GroupId,
    profiles: &[NewProfile],
    kind: ConflictKind,
) -> Result<Vec<usize>> {
    let found: Vec<bool> = match kind {
        ConflictKind::ProfileNameTaken => {
            let mut sql = Sql::new("SELECT name FROM profiles WHERE group_id = ");
            sql.bind(Arg::Id(group.uuid())).push(" AND name IN (");
            sql.bind_all(profiles.iter().map(|profile| Arg::Text(profile.name.as_str().to_owned())))
                .push(")");
            let taken: Vec<(String,)> = sql.fetch_all(conn).await?;
            profiles.iter().map(|new| taken.iter().any(|(name,)| name == new.name.as_str())).collect()
        }
        ConflictKind::IdTaken => {
            let mut sql = Sql::new("SELECT id FROM profiles WHERE id IN (");
            sql.bind_all(profiles.iter().filter_map(|new| new.id).map(|id| Arg::Id(id.uuid()))).push(")");
            let taken: Vec<(ProfileId,)> = sql.fetch_all(conn).await?;
            profiles.iter().map(|new| taken.iter().any(|(id,)| new.id == Some(*id))).collect()
        }
        _ => Vec::new(),
    };
    Ok(found.into_iter().enumerate().filter_map(|(item, clashes)| clashes.then_some(item)).collect())
}

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    row: Row,
    org_id: OrgId,
    #[sqlx(flatten)]
    facts: Facts,
}

impl Keyed<ProfileOrder> for Listed {
    fn key(&self, order: &ProfileOrder) -> Option<Arg> {
        match order {
            ProfileOrder::Id => None,
            ProfileOrder::Name => Some(Arg::Text(self.row.name.to_ascii_lowercase())),
        }
    }
    fn id(&self) -> Arg {
        Arg::Id(self.row.id.uuid())
    }
    fn content(&self) -> usize {
        page::content(self.row.metadata.as_ref()) + page::content(self.row.config.as_ref())
    }
}

pub(crate) async fn list(
    conn: &mut Conn,
    keyring: &Keyring,
    user: &UserActor,
    visible: &Visible,
    filter: &ProfileFilter,
    query: &PageQuery<ProfileOrder>,
) -> Result<Page<Profile>> {
    let mut condition = visible.groups("p.group_id", None);
    if let Some(name) = &filter.name {
        condition.and_name_contains(conn, "p.name", name.as_str());
    }
    if let Some(metadata) = &filter.metadata {
        condition.and_json_contains(conn, "p.metadata", metadata)?;
    }
    if let Some(content_type) = &filter.content_type {
        condition
            .push(" AND p.config ->> 'content_type' = ")
            .bind(Arg::Text(content_type.as_str().to_owned()));
    }
    let mut select = Sql::new(
        "SELECT p.id, p.group_id, p.name, p.config, p.metadata, g.org_id, m.role, o.role AS org_role \
         FROM profiles p JOIN groups g ON g.id = p.group_id LEFT JOIN group_memberships m ON m.group_id = p.group_id AND m.member_id = ",
    );
    select
        .bind(Arg::Id(user.id().uuid()))
        .push(" LEFT JOIN org_memberships o ON o.org_id = g.org_id AND o.member_id = ");
    select.bind(Arg::Id(user.id().uuid()));
    let listing = Listing {
        select,
        count: Sql::new("SELECT 1 AS one FROM profiles p"),
        filter: condition,
        key: match query.order() {
            ProfileOrder::Id => None,
            ProfileOrder::Name => Some(OrderKey {
                sqlite: "lower(p.name)",
                postgres: "lower(p.name COLLATE \"C\") COLLATE \"C\"",
            }),
        },
        id: "p.id",
        reading: Reading::Plain,
    };
    let page: Page<Listed> = page::fetch(conn, keyring, listing, query).await?;
    Ok(page.map(|listed| {
        let role = access::role_towards(user, (listed.org_id, Some(listed.row.group_id)), &listed.facts);
        listed.row.seen_as(role)
    }))
}
