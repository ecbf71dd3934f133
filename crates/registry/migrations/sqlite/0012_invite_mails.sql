-- What limits on invites are counted by: one row for each that was made or sent again within the hour. It outlives
-- the invite, whose place may be deleted. `digest` tells addresses apart without naming them; it is NULL if
-- nothing was mailed.

CREATE TABLE invite_mails (
    id         BLOB NOT NULL,
    inviter_id BLOB NOT NULL,
    digest     BLOB,
    at         INTEGER NOT NULL,

    CONSTRAINT invite_mails_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_mails_inviter_id ON invite_mails (inviter_id, at);
CREATE INDEX invite_mails_digest ON invite_mails (digest, at);
CREATE INDEX invite_mails_at ON invite_mails (at);
