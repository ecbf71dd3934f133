//! Databases as Mainflux's services make and fill them, of PostgreSQL.

use super::{Database, Engine, empty};

/// How far Mainflux Things' migrations have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The last without external keys.
    Things8,
    /// With external keys.
    Things9,
    /// With types of things: release 0.42.
    Things10,
    /// The branch with group invites instead.
    Invites,
    /// The tables that everything began with, made by hand.
    Seed,
}

pub const VERSIONS: [Version; 5] =
    [Version::Things8, Version::Things9, Version::Things10, Version::Invites, Version::Seed];

const UP_TO_8: &str = "
    -- things_1
    CREATE TABLE groups (
        id UUID UNIQUE NOT NULL, org_id UUID NOT NULL, owner_id UUID NOT NULL, name VARCHAR(254) NOT NULL,
        description VARCHAR(1024), metadata JSONB, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
        PRIMARY KEY (id, owner_id));
    CREATE TABLE group_policies (
        group_id UUID NOT NULL, member_id UUID NOT NULL, policy VARCHAR(15),
        FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE, PRIMARY KEY (group_id, member_id));
    CREATE TABLE things (
        id UUID UNIQUE NOT NULL, owner_id UUID NOT NULL, group_id UUID NOT NULL, key VARCHAR(4096) UNIQUE NOT NULL,
        name VARCHAR(1024), metadata JSONB,
        FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (id, owner_id));
    CREATE TABLE channels (
        id UUID UNIQUE NOT NULL, owner_id UUID NOT NULL, group_id UUID NOT NULL, name VARCHAR(1024), profile JSONB, metadata JSONB,
        FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (id, owner_id));
    CREATE TABLE connections (
        channel_id UUID NOT NULL, thing_id UUID UNIQUE NOT NULL,
        FOREIGN KEY (channel_id) REFERENCES channels (id) ON DELETE CASCADE ON UPDATE CASCADE,
        FOREIGN KEY (thing_id) REFERENCES things (id) ON DELETE CASCADE ON UPDATE CASCADE,
        PRIMARY KEY (channel_id, thing_id));
    -- things_2
    ALTER TABLE group_policies RENAME TO group_roles;
    ALTER TABLE group_roles RENAME COLUMN policy TO role;
    -- things_4
    ALTER TABLE things DROP COLUMN owner_id;
    ALTER TABLE channels DROP COLUMN owner_id;
    ALTER TABLE groups DROP COLUMN owner_id;
    ALTER TABLE things ADD PRIMARY KEY (id), ALTER COLUMN name SET NOT NULL, ADD CONSTRAINT group_name_ths UNIQUE (group_id, name);
    ALTER TABLE channels ADD PRIMARY KEY (id), ALTER COLUMN name SET NOT NULL, ADD CONSTRAINT group_name_chs UNIQUE (group_id, name);
    ALTER TABLE groups ADD PRIMARY KEY (id), ADD CONSTRAINT org_name UNIQUE (org_id, name);
    -- things_5
    ALTER TABLE channels RENAME TO profiles;
    ALTER TABLE profiles RENAME COLUMN profile TO config;
    ALTER TABLE profiles RENAME CONSTRAINT group_name_chs TO group_name_prs;
    -- things_6, things_7
    ALTER TABLE things ADD COLUMN profile_id UUID NOT NULL, ADD CONSTRAINT fk_things_profile_id
        FOREIGN KEY (profile_id) REFERENCES profiles (id) ON DELETE RESTRICT ON UPDATE CASCADE;
    DROP TABLE connections;
    -- things_8
    ALTER TABLE group_roles RENAME TO group_memberships;
    ALTER TABLE group_memberships RENAME CONSTRAINT group_policies_pkey TO group_memberships_pkey;
    ALTER TABLE group_memberships RENAME CONSTRAINT group_policies_group_id_fkey TO group_memberships_group_id_fkey;";

const THINGS_9: &str =
    "ALTER TABLE things ADD COLUMN external_key VARCHAR(1024) UNIQUE NULL CHECK (length(external_key) >= 5);";
const THINGS_10: &str = "ALTER TABLE things ADD COLUMN type VARCHAR(32) NOT NULL DEFAULT 'device';";
const INVITES: &str = "
    CREATE TABLE IF NOT EXISTS group_invites (
        id UUID NOT NULL, invitee_id UUID NULL, inviter_id UUID NOT NULL, group_id UUID NOT NULL,
        invitee_role VARCHAR(12) NOT NULL, created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ,
        state VARCHAR DEFAULT 'pending' NOT NULL,
        FOREIGN KEY (group_id) REFERENCES groups (id) ON DELETE CASCADE, PRIMARY KEY (id));
    CREATE UNIQUE INDEX unique_group_invitee_pending ON group_invites (invitee_id, group_id) WHERE state = 'pending';
    CREATE TABLE IF NOT EXISTS dormant_group_invites (
        group_invite_id UUID NOT NULL, org_invite_id UUID NOT NULL, PRIMARY KEY (group_invite_id, org_invite_id),
        FOREIGN KEY (group_invite_id) REFERENCES group_invites (id) ON DELETE CASCADE);";

/// What Mainflux's tool notes of migrations.
pub fn noted(service: &str, upto: u32) -> String {
    format!(
        "CREATE TABLE gorp_migrations (id TEXT PRIMARY KEY, applied_at TIMESTAMPTZ);
         INSERT INTO gorp_migrations SELECT '{service}_' || n, now() FROM generate_series(1, {upto}) n;"
    )
}

/// A database of Mainflux Things with this many things, in five groups of two organisations.
pub async fn things(version: Version, things: usize) -> Database {
    let database = empty(Engine::Postgres).await;
    let made = match version {
        Version::Things8 => format!("{UP_TO_8} {}", noted("things", 8)),
        Version::Things9 => format!("{UP_TO_8} {THINGS_9} {}", noted("things", 9)),
        Version::Things10 => format!("{UP_TO_8} {THINGS_9} {THINGS_10} {}", noted("things", 10)),
        Version::Invites => format!("{UP_TO_8} {THINGS_9} {INVITES} {}", noted("things", 10)),
        Version::Seed => {
            let seed = include_str!("../seed.sql");
            // Its first table refers to its second.
            let (memberships, rest) = seed.split_once(';').unwrap();
            format!("{rest}; {memberships};")
        }
    };
    database.execute(made).await;
    fill(&database, version, things).await;
    database
}

/// Number 2 of organisations, as text.
pub fn id(kind: &str, number: usize) -> String {
    format!("(md5('{kind} {number}')::uuid)")
}

async fn fill(database: &Database, version: Version, things: usize) {
    database
        .execute(format!(
            "INSERT INTO groups (id, org_id, name, description, metadata, created_at, updated_at)
                 SELECT md5('group ' || n)::uuid, md5('org ' || n % 2)::uuid, 'group ' || n, '', NULL, now(), now() FROM generate_series(0, 4) n;
             INSERT INTO group_memberships (group_id, member_id, role)
                 SELECT md5('group ' || n)::uuid, md5('user ' || n % 2)::uuid, 'owner' FROM generate_series(0, 4) n;
             INSERT INTO group_memberships (group_id, member_id, role)
                 SELECT md5('group ' || n)::uuid, md5('user 2')::uuid, 'editor' FROM generate_series(0, 4) n;
             INSERT INTO profiles (id, group_id, name, config, metadata)
                 SELECT md5('profile ' || n)::uuid, md5('group ' || n)::uuid, 'profile', '{{\"content_type\": \"application/json\", \"transformer\": {{}}}}', NULL
                 FROM generate_series(0, 4) n;
             INSERT INTO things (id, group_id, profile_id, key, name, metadata)
                 SELECT md5('thing ' || n)::uuid, md5('group ' || n % 5)::uuid, md5('profile ' || n % 5)::uuid, md5('key ' || n)::uuid, 'thing ' || n,
                 jsonb_build_object('serial', n) FROM generate_series(1, {things}) n;"
        ))
        .await;
    if version > Version::Things8 {
        database
            .execute("UPDATE things SET external_key = 'SN-' || (metadata->>'serial') || '-x' WHERE (metadata->>'serial')::int % 3 = 0")
            .await;
    }
}

/// The databases of Mainflux's Users and Auth, with the people of [`things`]. The passwords' hashes are bcrypt's.
pub async fn people(hash: &str) -> (Database, Database) {
    let (users, auth) = (empty(Engine::Postgres).await, empty(Engine::Postgres).await);
    users
        .execute(format!(
            "CREATE TYPE user_status AS ENUM ('enabled', 'disabled');
             CREATE TABLE users (id UUID UNIQUE NOT NULL, email VARCHAR(254) UNIQUE NOT NULL, password CHAR(60) NOT NULL,
                 metadata JSONB, status USER_STATUS NOT NULL DEFAULT 'enabled', PRIMARY KEY (id));
             {}
             INSERT INTO users (id, email, password, metadata, status)
                 SELECT md5('user ' || n)::uuid, 'Person' || n || '@example.com', '{hash}', NULL,
                 CASE n WHEN 3 THEN 'disabled' ELSE 'enabled' END::user_status FROM generate_series(0, 4) n;",
            noted("users", 3)
        ))
        .await;
    auth.execute(format!(
        "CREATE TABLE users_roles (role VARCHAR(12) CHECK (role IN ('root', 'admin')), user_id UUID NOT NULL, PRIMARY KEY (user_id));
         CREATE TABLE orgs (id UUID UNIQUE NOT NULL, owner_id UUID, name VARCHAR(254) NOT NULL, description VARCHAR(1024),
             metadata JSONB, created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, PRIMARY KEY (id, owner_id));
         CREATE TABLE org_memberships (member_id UUID NOT NULL, org_id UUID NOT NULL, role VARCHAR(10) NOT NULL,
             created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, FOREIGN KEY (org_id) REFERENCES orgs (id) ON DELETE CASCADE,
             PRIMARY KEY (member_id, org_id));
         {}
         INSERT INTO users_roles VALUES ('root', md5('user 4')::uuid);
         INSERT INTO orgs SELECT md5('org ' || n)::uuid, md5('user ' || n)::uuid, 'Org ' || n, 'about ' || n, NULL, now(), now()
             FROM generate_series(0, 1) n;
         INSERT INTO org_memberships SELECT md5('user ' || n)::uuid, md5('org ' || n)::uuid, 'owner', now(), now() FROM generate_series(0, 1) n;
         INSERT INTO org_memberships VALUES (md5('user 2')::uuid, md5('org 0')::uuid, 'viewer', now(), now());",
        noted("auth", 5)
    ))
    .await;
    (users, auth)
}
