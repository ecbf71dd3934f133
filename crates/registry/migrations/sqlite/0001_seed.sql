-- The six tables that everything began with, in SQLite's types: ids are 16-byte BLOBs (one spelling
-- only), times INTEGER milliseconds, JSON is TEXT. VARCHAR limits are not enforced here: they
-- live in Rust. `things.seq` numbers rows for the full-text indexes, which need a stable rowid.

CREATE TABLE groups (
    id          BLOB NOT NULL PRIMARY KEY,
    org_id      BLOB NOT NULL,
    name        TEXT NOT NULL,
    description TEXT,
    metadata    TEXT,
    created_at  INTEGER,
    updated_at  INTEGER,

    CONSTRAINT org_name UNIQUE (org_id, name)
) STRICT;

CREATE TABLE group_memberships (
    group_id   BLOB NOT NULL,
    member_id  BLOB NOT NULL,
    role       TEXT,

    CONSTRAINT group_memberships_pkey PRIMARY KEY (group_id, member_id),
    CONSTRAINT group_memberships_group_id_fkey FOREIGN KEY (group_id) REFERENCES groups(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE profiles (
    id        BLOB NOT NULL PRIMARY KEY,
    group_id  BLOB NOT NULL,
    name      TEXT NOT NULL,
    config    TEXT,
    metadata  TEXT,

    CONSTRAINT group_name_prs UNIQUE (group_id, name),
    CONSTRAINT channels_group_id_fkey FOREIGN KEY (group_id) REFERENCES groups(id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT;

CREATE TABLE things (
    seq          INTEGER PRIMARY KEY,
    id           BLOB UNIQUE NOT NULL,
    group_id     BLOB NOT NULL,
    key          TEXT UNIQUE NOT NULL,
    external_key TEXT UNIQUE,
    name         TEXT NOT NULL,
    metadata     TEXT,
    profile_id   BLOB NOT NULL,

    CONSTRAINT group_name_ths UNIQUE (group_id, name),
    CONSTRAINT fk_things_profile_id FOREIGN KEY (profile_id) REFERENCES profiles(id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT things_group_id_fkey FOREIGN KEY (group_id) REFERENCES groups(id) ON UPDATE CASCADE ON DELETE CASCADE
) STRICT;

CREATE TABLE group_invites (
    id           BLOB NOT NULL PRIMARY KEY,
    invitee_id   BLOB,
    inviter_id   BLOB NOT NULL,
    group_id     BLOB NOT NULL,
    invitee_role TEXT NOT NULL,
    created_at   INTEGER,
    expires_at   INTEGER,
    state        TEXT DEFAULT 'pending' NOT NULL,
    FOREIGN KEY  (group_id) REFERENCES groups (id) ON DELETE CASCADE
) STRICT;

CREATE UNIQUE INDEX unique_group_invitee_pending ON group_invites (invitee_id, group_id) WHERE state='pending';

CREATE TABLE dormant_group_invites (
    group_invite_id BLOB NOT NULL,
    org_invite_id   BLOB NOT NULL,
    PRIMARY KEY (group_invite_id, org_invite_id),
    FOREIGN KEY (group_invite_id) REFERENCES group_invites (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
