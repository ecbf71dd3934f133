-- How often an address was invited lately, wherever to.

CREATE INDEX org_invites_invitee_email ON org_invites (invitee_email, expires_at);
