-- How far the adoption of a Mainflux database has come. Those are PostgreSQL's, so here it stays empty, unless an
-- adopted installation was moved.

CREATE TABLE adoption (
    one         INTEGER NOT NULL DEFAULT 1 CHECK (one = 1),
    source      TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    position    BLOB,
    indexed_at  INTEGER,
    finished_at INTEGER,

    CONSTRAINT adoption_pkey PRIMARY KEY (one)
) STRICT;
