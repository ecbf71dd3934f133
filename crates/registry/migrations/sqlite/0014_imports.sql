-- Imports that came with an Idempotency-Key: how far each is, so that it goes on where it was cut off. The
-- digests are keyed; what an import's rows held is not kept, and its keys are made again when they are asked
-- for.

CREATE TABLE imports (
    digest     BLOB    NOT NULL,
    content    BLOB    NOT NULL,
    rows_done  INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    unchanged  INTEGER NOT NULL,
    rejected   INTEGER NOT NULL,
    started_at INTEGER NOT NULL,

    CONSTRAINT imports_pkey PRIMARY KEY (digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX imports_started_at ON imports (started_at);

-- What became of each row, a letter for each.
CREATE TABLE import_batches (
    digest   BLOB    NOT NULL,
    batch    INTEGER NOT NULL,
    outcomes TEXT    NOT NULL,
    rejected TEXT,

    CONSTRAINT import_batches_pkey PRIMARY KEY (digest, batch),
    CONSTRAINT import_batches_digest_fkey FOREIGN KEY (digest) REFERENCES imports (digest) ON DELETE CASCADE
) STRICT;
