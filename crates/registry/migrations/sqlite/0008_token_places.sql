-- Access tokens go with the group or organisation that they are bound to; most are bound to none.

CREATE INDEX access_tokens_group_id ON access_tokens (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX access_tokens_org_id ON access_tokens (org_id) WHERE org_id IS NOT NULL;
