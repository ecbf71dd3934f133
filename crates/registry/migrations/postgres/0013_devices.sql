-- What devices do: which are disabled, when each was last seen, which credentials used to be valid, and
-- which checks failed. Beside `things`, whose columns are a contract.

CREATE TABLE disabled_things (
    thing_id UUID NOT NULL,
    since    TIMESTAMPTZ NOT NULL,

    CONSTRAINT disabled_things_pkey PRIMARY KEY (thing_id),
    CONSTRAINT disabled_things_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

-- When a thing last authenticated, and when by each of the credentials that it has; written in batches.
CREATE TABLE thing_activity (
    thing_id    UUID NOT NULL,
    seen_at     TIMESTAMPTZ NOT NULL,
    key_at      TIMESTAMPTZ,
    previous_at TIMESTAMPTZ,
    external_at TIMESTAMPTZ,

    CONSTRAINT thing_activity_pkey PRIMARY KEY (thing_id),
    CONSTRAINT thing_activity_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

-- Credentials that were valid once: they let nobody in, they only tell why somebody was refused.
CREATE TABLE retired_credentials (
    verifier   VARCHAR(128) NOT NULL,
    thing_id   UUID NOT NULL,
    reason     VARCHAR(16) NOT NULL,
    retired_at TIMESTAMPTZ NOT NULL,

    CONSTRAINT retired_credentials_pkey PRIMARY KEY (verifier),
    CONSTRAINT retired_credentials_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

CREATE INDEX retired_credentials_thing_id ON retired_credentials (thing_id);
CREATE INDEX retired_credentials_retired_at ON retired_credentials (retired_at);

-- Checks that failed, the newest only. Without a thing where it is not known whose credential it was.
CREATE TABLE failed_checks (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       TIMESTAMPTZ NOT NULL,
    reason   VARCHAR(16) NOT NULL,
    since    TIMESTAMPTZ,
    kind     VARCHAR(12) NOT NULL,
    front    VARCHAR(12) NOT NULL,
    source   VARCHAR(45),
    thing_id UUID,
    times    BIGINT NOT NULL,

    CONSTRAINT failed_checks_thing_id_fkey FOREIGN KEY (thing_id) REFERENCES things(id) ON DELETE CASCADE
);

CREATE INDEX failed_checks_thing_id ON failed_checks (thing_id, id);

-- What several processes on one database tell each other, so that each can keep credentials in memory.
-- SQLite's database belongs to one process, which has nobody to tell.

-- A row for each process that keeps some: what it has heard of, and how long it may go on without news.
CREATE TABLE nodes (
    id          UUID NOT NULL,
    seen        pg_snapshot NOT NULL,
    keeps_ms    BIGINT NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,

    CONSTRAINT nodes_pkey PRIMARY KEY (id)
);

-- Objects that authentication depends on and that have changed, by the transaction that changed them:
-- ids of rows are given out before they are committed, so that a reader going by them would miss some.
CREATE TABLE revocations (
    xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at     TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    node   UUID NOT NULL,
    object UUID NOT NULL
);

CREATE INDEX revocations_xid ON revocations (xid);
