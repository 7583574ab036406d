-- Why a job is cancelled, for what its owner is told after a restart, too. NULL with a cancelled_at is an older "owner".
ALTER TABLE jobs ADD COLUMN cancel_cause TEXT CHECK (cancel_cause IN ('owner', 'moderator', 'card_deleted', 'data_deleted'));
