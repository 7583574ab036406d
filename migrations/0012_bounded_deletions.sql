-- So that what deletes finds its rows without reading those of everybody: other writes wait for it.

-- Jobs of members who had their data deleted, until their accounts are unlinked.
CREATE INDEX jobs_linked ON jobs (account_id) WHERE owner_id = 0 AND source_id > 0;
-- The pictures of channels and servers that are gone, and whether a channel's parent is still needed.
CREATE INDEX jobs_kept_by_channel ON jobs (channel_id) WHERE forgotten_at IS NULL;
CREATE INDEX jobs_kept_by_guild ON jobs (guild_id) WHERE forgotten_at IS NULL AND guild_id IS NOT NULL;
-- Interaction tokens that have expired.
CREATE INDEX jobs_by_token ON jobs (token_expires_at) WHERE token_expires_at IS NOT NULL;
-- Uploads that are too old.
CREATE INDEX uploads_by_age ON uploads (created_at);
-- Reasons that go with a member's data.
CREATE INDEX audit_by_member ON audit (member_id) WHERE member_id IS NOT NULL;
