-- What devices do: which are disabled, when each was last seen, which credentials used to be valid, and
-- which checks failed. Beside `things`, whose columns are a contract.

CREATE TABLE disabled_things (
    thing_id BLOB NOT NULL,
    since    INTEGER NOT NULL,

    CONSTRAINT disabled_things_pkey PRIMARY KEY (thing_id),
    CONSTRAINT disabled_things_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- When a thing last authenticated, and when by each of the credentials that it has; written in batches.
CREATE TABLE thing_activity (
    thing_id    BLOB NOT NULL,
    seen_at     INTEGER NOT NULL,
    key_at      INTEGER,
    previous_at INTEGER,
    external_at INTEGER,

    CONSTRAINT thing_activity_pkey PRIMARY KEY (thing_id),
    CONSTRAINT thing_activity_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Credentials that were valid once: they let nobody in, they only tell why somebody was refused.
CREATE TABLE retired_credentials (
    verifier   TEXT NOT NULL,
    thing_id   BLOB NOT NULL,
    reason     TEXT NOT NULL,
    retired_at INTEGER NOT NULL,

    CONSTRAINT retired_credentials_pkey PRIMARY KEY (verifier),
    CONSTRAINT retired_credentials_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX retired_credentials_thing_id ON retired_credentials (thing_id);
CREATE INDEX retired_credentials_retired_at ON retired_credentials (retired_at);

-- Checks that failed, the newest only. Without a thing where it is not known whose credential it was.
CREATE TABLE failed_checks (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    since    INTEGER,
    kind     TEXT NOT NULL,
    front    TEXT NOT NULL,
    source   TEXT,
    thing_id BLOB,
    times    INTEGER NOT NULL,

    CONSTRAINT failed_checks_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
) STRICT;

CREATE INDEX failed_checks_thing_id ON failed_checks (thing_id, id);
