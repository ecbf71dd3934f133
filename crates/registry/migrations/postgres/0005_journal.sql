-- What happened (one row for each committed change) and what was answered (for 24 hours).

CREATE TABLE journal (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           TIMESTAMPTZ NOT NULL,
    org_id       UUID,
    group_id     UUID,
    actor_kind   VARCHAR(12) NOT NULL,
    actor_id     UUID,
    via          VARCHAR(20) NOT NULL,
    action       VARCHAR(64) NOT NULL,
    subject_kind VARCHAR(20) NOT NULL,
    subject_id   UUID NOT NULL,
    subject_name VARCHAR(1024),
    changes      JSONB,
    request_id   VARCHAR(128) NOT NULL
);

CREATE INDEX journal_org_id ON journal (org_id, id);
CREATE INDEX journal_group_id ON journal (group_id, id);
CREATE INDEX journal_actor_id ON journal (actor_id, id);
CREATE INDEX journal_subject_id ON journal (subject_id, id);

CREATE TABLE idempotency_keys (
    digest      BYTEA NOT NULL,
    body_digest BYTEA NOT NULL,
    sealed      BYTEA,
    created_at  TIMESTAMPTZ NOT NULL,

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (digest)
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
