-- Mails on their way: written in the transaction of what they tell of, sent afterwards. A mail is
-- waiting while it has a next attempt; then it was sent or given up, and its payload is gone. The
-- payload (to whom, and what it says) is sealed, because it holds addresses and secrets.
-- `journal_id` is no foreign key: the journal may be shortened without asking.

CREATE TABLE mails (
    id              UUID NOT NULL,
    journal_id      BIGINT NOT NULL,
    kind            VARCHAR(24) NOT NULL,
    payload         BYTEA,
    created_at      TIMESTAMPTZ NOT NULL,
    next_attempt_at TIMESTAMPTZ,
    attempts        BIGINT NOT NULL,
    last_error      VARCHAR(500),
    sent_at         TIMESTAMPTZ,
    failed_at       TIMESTAMPTZ,

    CONSTRAINT mails_pkey PRIMARY KEY (id)
);

CREATE INDEX mails_next_attempt_at ON mails (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX mails_sent_at ON mails (sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX mails_failed_at ON mails (failed_at) WHERE failed_at IS NOT NULL;
