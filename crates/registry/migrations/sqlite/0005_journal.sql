-- What happened (one row for each committed change) and what was answered (for 24 hours).

CREATE TABLE journal (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    org_id       BLOB,
    group_id     BLOB,
    actor_kind   TEXT NOT NULL,
    actor_id     BLOB,
    via          TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id   BLOB NOT NULL,
    subject_name TEXT,
    changes      TEXT,
    request_id   TEXT NOT NULL
) STRICT;

CREATE INDEX journal_org_id ON journal (org_id, id);
CREATE INDEX journal_group_id ON journal (group_id, id);
CREATE INDEX journal_actor_id ON journal (actor_id, id);
CREATE INDEX journal_subject_id ON journal (subject_id, id);

CREATE TABLE idempotency_keys (
    digest      BLOB NOT NULL,
    body_digest BLOB NOT NULL,
    sealed      BLOB,
    created_at  INTEGER NOT NULL,

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (digest)
) STRICT;

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
