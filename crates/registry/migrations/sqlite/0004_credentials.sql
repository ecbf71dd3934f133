-- Device credentials. `credential_index` is the one look-up of authentication; its primary key is
-- what makes a value name at most one thing, across keys, external keys and previous keys.

CREATE TABLE credential_index (
    verifier  TEXT NOT NULL,
    thing_id  BLOB NOT NULL,
    kind      TEXT NOT NULL,
    not_after INTEGER,

    CONSTRAINT credential_index_pkey PRIMARY KEY (verifier),
    CONSTRAINT credential_index_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX credential_index_thing_id ON credential_index (thing_id);

-- The current key, sealed under the key-encryption key and bound to the thing's id.
CREATE TABLE thing_key_material (
    thing_id BLOB NOT NULL,
    sealed   BLOB NOT NULL,

    CONSTRAINT thing_key_material_pkey PRIMARY KEY (thing_id),
    CONSTRAINT thing_key_material_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT;

-- One row: proof that the keys at hand are the ones this database was written with.
CREATE TABLE installation (
    one           INTEGER NOT NULL DEFAULT 1 CHECK (one = 1),
    created_at    INTEGER NOT NULL,
    pepper_canary TEXT NOT NULL,
    kek_canary    BLOB NOT NULL,

    CONSTRAINT installation_pkey PRIMARY KEY (one)
) STRICT;
