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
CREATE INDEX org_invites_created_at ON org_invites (created_at, id);
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

CREATE INDEX group_invites_made ON group_invites ((COALESCE(created_at, 'epoch'::timestamptz)), id);
CREATE INDEX group_invites_due ON group_invites (expires_at) WHERE state = 'pending';
CREATE INDEX dormant_group_invites_org_invite_id ON dormant_group_invites (org_invite_id);

-- Whether the person has shown that the address is theirs. Accounts that people made for themselves have not.
ALTER TABLE users ADD COLUMN verified_at TIMESTAMPTZ;
UPDATE users SET verified_at = created_at WHERE NOT EXISTS
    (SELECT 1 FROM journal j WHERE j.subject_id = users.id AND j.action = 'user.created' AND j.via = 'public');

-- All invites in one shape. `org_invite_id` is what the invite sleeps on, or what sleeps on it; `listed` is 0 for
-- a platform invite that carries an organisation's, which is one invitation and one line. Each part reads one table
-- and asks others by sub-selects: so a list is read in
-- the order of an index, and only as far as its page goes.
CREATE VIEW invites AS
SELECT i.id, 'org'::varchar AS kind, 1 AS listed, i.state, i.invitee_id, i.invitee_email, i.invitee_role, i.inviter_id, i.org_id,
       NULL::uuid AS group_id, i.mode, i.redirect_path, i.created_at, i.expires_at, NULL::uuid AS org_invite_id
FROM org_invites i
UNION ALL
SELECT i.id, 'group'::varchar, 1, i.state, i.invitee_id,
       (SELECT o.invitee_email FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id LIMIT 1),
       i.invitee_role, i.inviter_id, (SELECT g.org_id FROM groups g WHERE g.id = i.group_id), i.group_id,
       (SELECT o.mode FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id LIMIT 1),
       NULL::varchar, COALESCE(i.created_at, 'epoch'::timestamptz),
       COALESCE(i.expires_at, (SELECT o.expires_at FROM dormant_group_invites d JOIN org_invites o ON o.id = d.org_invite_id WHERE d.group_invite_id = i.id LIMIT 1)),
       (SELECT d.org_invite_id FROM dormant_group_invites d WHERE d.group_invite_id = i.id LIMIT 1)
FROM group_invites i
UNION ALL
SELECT i.id, 'platform'::varchar, 1, i.state, NULL::uuid, i.invitee_email, NULL::varchar, i.inviter_id, NULL::uuid,
       NULL::uuid, NULL::varchar, i.redirect_path, i.created_at, i.expires_at, i.org_invite_id
FROM platform_invites i
WHERE i.org_invite_id IS NULL
UNION ALL
SELECT i.id, 'platform'::varchar, 0, i.state, NULL::uuid, i.invitee_email,
       (SELECT o.invitee_role FROM org_invites o WHERE o.id = i.org_invite_id), i.inviter_id,
       (SELECT o.org_id FROM org_invites o WHERE o.id = i.org_invite_id), NULL::uuid,
       (SELECT o.mode FROM org_invites o WHERE o.id = i.org_invite_id), i.redirect_path, i.created_at, i.expires_at, i.org_invite_id
FROM platform_invites i
WHERE i.org_invite_id IS NOT NULL;
