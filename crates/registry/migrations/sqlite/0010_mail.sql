-- Mails on their way: written in the transaction of what they tell of, sent afterwards. A mail is
-- waiting while it has a next attempt; then it was sent or given up, and its payload is gone. The
-- payload (to whom, and what it says) is sealed, because it holds addresses and secrets.
-- `journal_id` is no foreign key: the journal may be shortened without asking.

CREATE TABLE mails (
    id              BLOB NOT NULL,
    journal_id      INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    payload         BLOB,
    created_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    attempts        INTEGER NOT NULL,
    last_error      TEXT,
    sent_at         INTEGER,
    failed_at       INTEGER,

    CONSTRAINT mails_pkey PRIMARY KEY (id)
) STRICT;

CREATE INDEX mails_next_attempt_at ON mails (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX mails_sent_at ON mails (sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX mails_failed_at ON mails (failed_at) WHERE failed_at IS NOT NULL;
