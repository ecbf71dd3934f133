-- What limits on invites are counted by: one row for each that was made or sent again within the hour. It outlives
-- the invite, whose place may be deleted. `digest` tells addresses apart without naming them; it is NULL if
-- nothing was mailed.

CREATE TABLE invite_mails (
    id         UUID NOT NULL,
    inviter_id UUID NOT NULL,
    digest     BYTEA,
    at         TIMESTAMPTZ NOT NULL,

    CONSTRAINT invite_mails_pkey PRIMARY KEY (id)
);

CREATE INDEX invite_mails_inviter_id ON invite_mails (inviter_id, at);
CREATE INDEX invite_mails_digest ON invite_mails (digest, at);
CREATE INDEX invite_mails_at ON invite_mails (at);
