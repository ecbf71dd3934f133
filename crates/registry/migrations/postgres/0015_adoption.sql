-- How far the adoption of a Mainflux database has come: one row while it lasts and afterwards, none in a
-- database that was made here. `position` is the last thing that the present phase has dealt with. `things adopt`
-- makes this table before any other, so that no process takes a database that is half adopted for its own.

CREATE TABLE IF NOT EXISTS adoption (
    one         BIGINT NOT NULL DEFAULT 1 CHECK (one = 1),
    source      VARCHAR(40) NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL,
    position    UUID,
    indexed_at  TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,

    CONSTRAINT adoption_pkey PRIMARY KEY (one)
);
