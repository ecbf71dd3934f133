-- Identity: people, their sessions and tokens, organisations and who belongs to them.
-- Tokens are kept as SHA-256 digests, passwords as argon2id PHC strings.

CREATE TABLE users (
    id            BLOB NOT NULL,
    email         TEXT NOT NULL,
    password_hash TEXT,
    status        TEXT NOT NULL,
    platform_role TEXT,
    metadata      TEXT,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,

    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email)
) STRICT;

CREATE TABLE sessions (
    id         BLOB NOT NULL,
    user_id    BLOB NOT NULL,
    digest     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,

    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_digest_key UNIQUE (digest),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
) STRICT;

CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- `org_id` or `group_id`, where given, is the only place the token works in.
CREATE TABLE access_tokens (
    id           BLOB NOT NULL,
    user_id      BLOB NOT NULL,
    name         TEXT NOT NULL,
    digest       BLOB NOT NULL,
    can_write    INTEGER NOT NULL,
    org_id       BLOB,
    group_id     BLOB,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,

    CONSTRAINT access_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT access_tokens_digest_key UNIQUE (digest),
    CONSTRAINT access_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
) STRICT;

CREATE INDEX access_tokens_user_id ON access_tokens (user_id);

CREATE TABLE password_resets (
    digest     BLOB NOT NULL,
    user_id    BLOB NOT NULL,
    expires_at INTEGER NOT NULL,

    CONSTRAINT password_resets_pkey PRIMARY KEY (digest),
    CONSTRAINT password_resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
) STRICT;

CREATE INDEX password_resets_user_id ON password_resets (user_id);

CREATE TABLE orgs (
    id          BLOB NOT NULL,
    name        TEXT NOT NULL,
    description TEXT,
    metadata    TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,

    CONSTRAINT orgs_pkey PRIMARY KEY (id)
) STRICT;

CREATE TABLE org_memberships (
    org_id    BLOB NOT NULL,
    member_id BLOB NOT NULL,
    role      TEXT NOT NULL,

    CONSTRAINT org_memberships_pkey PRIMARY KEY (org_id, member_id),
    CONSTRAINT org_memberships_org_id_fkey FOREIGN KEY (org_id) REFERENCES orgs(id) ON DELETE CASCADE,
    CONSTRAINT org_memberships_member_id_fkey FOREIGN KEY (member_id) REFERENCES users(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX org_memberships_member_id ON org_memberships (member_id, org_id);
