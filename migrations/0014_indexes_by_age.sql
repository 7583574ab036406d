-- So that the start and housekeeping do not read every account and draft while other writes wait.

CREATE INDEX accounts_closed ON accounts (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX drafts_by_age ON drafts (created_at);
