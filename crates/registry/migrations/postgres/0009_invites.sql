-- Invites to organisations and to the platform, beside the seed's group invites.
-- `invitee_id` is NULL while the invite sleeps: until its address is proved by the platform invite's secret.
-- `expires_at` of a sleeping invite is that of what it sleeps on; a sleeping group invite has none of its own.

CREATE TABLE org_invites (
    id            UUID NOT NULL,
    org_id        UUID NOT NULL,
    invitee_id    UUID,
    invitee_email VARCHAR(254) COLLATE "C" NOT NULL,
    invitee_role  VARCHAR(15) NOT NULL,
    inviter_id    UUID NOT NULL,
    mode          VARCHAR(8) NOT NULL,
    redirect_path VARCHAR(129),
    state         VARCHAR(12) NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,

    CONSTRAINT org_invites_pkey PRIMARY KEY (id),
    CONSTRAINT org_invites_org_id_fkey FOREIGN KEY (org_id) REFERENCES orgs(id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX org_invites_pending ON org_invites (org_id, invitee_email, inviter_id) WHERE state = 'pending';
CREATE INDEX org_invites_org_id ON org_invites (org_id, id);
CREATE INDEX org_invites_inviter_id ON org_invites (inviter_id, id);
CREATE INDEX org_invites_invitee_id ON org_invites (invitee_id, id);
CREATE INDEX org_invites_due ON org_invites (expires_at) WHERE state = 'pending';

CREATE TABLE platform_invites (
    id            UUID NOT NULL,
    org_invite_id UUID,
    invitee_email VARCHAR(254) COLLATE "C" NOT NULL,
    inviter_id    UUID NOT NULL,
    digest        BYTEA NOT NULL,
    redirect_path VARCHAR(129),
    state         VARCHAR(12) NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,

    CONSTRAINT platform_invites_pkey PRIMARY KEY (id),
    CONSTRAINT platform_invites_digest_key UNIQUE (digest),
    CONSTRAINT platform_invites_org_invite_id_fkey FOREIGN KEY (org_invite_id) REFERENCES org_invites(id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX platform_invites_pending ON platform_invites (invitee_email) WHERE state = 'pending' AND org_invite_id IS NULL;
CREATE UNIQUE INDEX platform_invites_org_invite_id ON platform_invites (org_invite_id);
CREATE INDEX platform_invites_invitee_email ON platform_invites (invitee_email);
CREATE INDEX platform_invites_inviter_id ON platform_invites (inviter_id, id);
CREATE INDEX platform_invites_due ON platform_invites (expires_at) WHERE state = 'pending';

CREATE INDEX group_invites_due ON group_invites (expires_at) WHERE state = 'pending';
CREATE INDEX dormant_group_invites_org_invite_id ON dormant_group_invites (org_invite_id);

-- Whether the person has shown that the address is theirs. Accounts that people made for themselves have not.
ALTER TABLE users ADD COLUMN verified_at TIMESTAMPTZ;
UPDATE users SET verified_at = created_at WHERE NOT EXISTS
    (SELECT 1 FROM journal j WHERE j.subject_id = users.id AND j.action = 'user.created' AND j.via = 'public');

-- All invites in one shape. `org_invite_id` is what the invite sleeps on, or what sleeps on it.
CREATE VIEW invites AS
SELECT i.id, 'org'::varchar AS kind, i.state, i.invitee_id, i.invitee_email, i.invitee_role, i.inviter_id, i.org_id, NULL::uuid AS group_id,
       i.mode, i.redirect_path, i.created_at, i.expires_at, NULL::uuid AS org_invite_id
FROM org_invites i
UNION ALL
SELECT i.id, 'group'::varchar, i.state, i.invitee_id, o.invitee_email, i.invitee_role, i.inviter_id, g.org_id, i.group_id,
       o.mode, NULL::varchar, COALESCE(i.created_at, 'epoch'::timestamptz), COALESCE(i.expires_at, o.expires_at), d.org_invite_id
FROM group_invites i
JOIN groups g ON g.id = i.group_id
LEFT JOIN dormant_group_invites d ON d.group_invite_id = i.id
LEFT JOIN org_invites o ON o.id = d.org_invite_id
UNION ALL
SELECT i.id, 'platform'::varchar, i.state, NULL::uuid, i.invitee_email, o.invitee_role, i.inviter_id, o.org_id, NULL::uuid,
       o.mode, i.redirect_path, i.created_at, i.expires_at, i.org_invite_id
FROM platform_invites i
LEFT JOIN org_invites o ON o.id = i.org_invite_id;
