-- Indexes that the seed lacks and lists need. Names are folded and ordered by code point ("C"),
-- whatever the database's collation, so that both engines answer alike.

CREATE INDEX group_memberships_member_id ON group_memberships (member_id, group_id);
CREATE INDEX group_invites_group_id ON group_invites (group_id);
CREATE INDEX group_invites_inviter_id ON group_invites (inviter_id);
CREATE INDEX group_invites_invitee_id ON group_invites (invitee_id);
CREATE INDEX profiles_group_id_id ON profiles (group_id, id);
CREATE INDEX things_group_id_id ON things (group_id, id);
CREATE INDEX things_group_id_folded ON things (group_id, (lower(name COLLATE "C")) COLLATE "C", id);
CREATE INDEX things_folded ON things ((lower(name COLLATE "C")) COLLATE "C", id);
CREATE INDEX things_profile_id_id ON things (profile_id, id);
CREATE INDEX things_group_id_type_id ON things (group_id, type COLLATE "C", id);
CREATE INDEX things_type_id ON things (type COLLATE "C", id);
CREATE INDEX things_metadata ON things USING gin (metadata jsonb_path_ops);
