-- Device credentials. `credential_index` is the one look-up of authentication; its primary key is
-- what makes a value name at most one thing, across keys, external keys and previous keys.

CREATE TABLE credential_index (
    verifier  VARCHAR(128) NOT NULL,
    thing_id  UUID NOT NULL,
    kind      VARCHAR(12) NOT NULL,
    not_after TIMESTAMPTZ,

    CONSTRAINT credential_index_pkey PRIMARY KEY (verifier),
    CONSTRAINT credential_index_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

CREATE INDEX credential_index_thing_id ON credential_index (thing_id);

-- The current key, sealed under the key-encryption key and bound to the thing's id.
CREATE TABLE thing_key_material (
    thing_id UUID NOT NULL,
    sealed   BYTEA NOT NULL,

    CONSTRAINT thing_key_material_pkey PRIMARY KEY (thing_id),
    CONSTRAINT thing_key_material_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

-- One row: proof that the keys at hand are the ones this database was written with.
CREATE TABLE installation (
    one           BIGINT NOT NULL DEFAULT 1 CHECK (one = 1),
    created_at    TIMESTAMPTZ NOT NULL,
    pepper_canary VARCHAR(128) NOT NULL,
    kek_canary    BYTEA NOT NULL,

    CONSTRAINT installation_pkey PRIMARY KEY (one)
);
