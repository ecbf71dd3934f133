-- Identity: people, their sessions and tokens, organisations and who belongs to them.
-- Tokens are kept as SHA-256 digests, passwords as argon2id PHC strings. Addresses are ordered by
-- code point, as SQLite does.

CREATE TABLE users (
    id            UUID NOT NULL,
    email         VARCHAR(254) COLLATE "C" NOT NULL,
    password_hash VARCHAR(255),
    status        VARCHAR(12) NOT NULL,
    platform_role VARCHAR(12),
    metadata      JSONB,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,

    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE sessions (
    id         UUID NOT NULL,
    user_id    UUID NOT NULL,
    digest     BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,

    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_digest_key UNIQUE (digest),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- `org_id` or `group_id`, where given, is the only place the token works in.
CREATE TABLE access_tokens (
    id           UUID NOT NULL,
    user_id      UUID NOT NULL,
    name         VARCHAR(254) NOT NULL,
    digest       BYTEA NOT NULL,
    can_write    BOOLEAN NOT NULL,
    org_id       UUID,
    group_id     UUID,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,

    CONSTRAINT access_tokens_pkey PRIMARY KEY (id),
    CONSTRAINT access_tokens_digest_key UNIQUE (digest),
    CONSTRAINT access_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE INDEX access_tokens_user_id ON access_tokens (user_id);

CREATE TABLE password_resets (
    digest     BYTEA NOT NULL,
    user_id    UUID NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,

    CONSTRAINT password_resets_pkey PRIMARY KEY (digest),
    CONSTRAINT password_resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE INDEX password_resets_user_id ON password_resets (user_id);

CREATE TABLE orgs (
    id          UUID NOT NULL,
    name        VARCHAR(254) NOT NULL,
    description VARCHAR(1024),
    metadata    JSONB,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,

    CONSTRAINT orgs_pkey PRIMARY KEY (id)
);

CREATE TABLE org_memberships (
    org_id    UUID NOT NULL,
    member_id UUID NOT NULL,
    role      VARCHAR(15) NOT NULL,

    CONSTRAINT org_memberships_pkey PRIMARY KEY (org_id, member_id),
    CONSTRAINT org_memberships_org_id_fkey FOREIGN KEY (org_id) REFERENCES orgs(id) ON DELETE CASCADE,
    CONSTRAINT org_memberships_member_id_fkey FOREIGN KEY (member_id) REFERENCES users(id) ON DELETE CASCADE
);

CREATE INDEX org_memberships_member_id ON org_memberships (member_id, org_id);
