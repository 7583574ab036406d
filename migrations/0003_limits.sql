-- Limits and what enforces them; usage by day; what admins and members have set.
-- Limits count in integers: credits_per_day in 1/100 credit, max_pixels in pixels, the others in pieces.

-- Whose credits count together. A member who has their data deleted gets a new account: the old one still counts
-- for a day (so that deleting is no way around a limit), then its member is forgotten and its sums are nobody's.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    member_id INTEGER,
    closed_at INTEGER
) STRICT;

CREATE UNIQUE INDEX accounts_open ON accounts (member_id) WHERE closed_at IS NULL;
CREATE INDEX accounts_by_member ON accounts (member_id) WHERE member_id IS NOT NULL;

INSERT INTO accounts (member_id) SELECT DISTINCT owner_id FROM jobs ORDER BY owner_id;

ALTER TABLE jobs ADD COLUMN account_id INTEGER REFERENCES accounts (id);
-- What a grant paid of the job's credits; the rest counts against the day's.
ALTER TABLE jobs ADD COLUMN granted INTEGER DEFAULT 0;
-- When prompts and images were removed from the row, by age or because their owner wanted it.
ALTER TABLE jobs ADD COLUMN forgotten_at INTEGER;
UPDATE jobs SET account_id = (SELECT id FROM accounts WHERE member_id = owner_id);

CREATE INDEX jobs_open ON jobs (owner_id, scope_id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_kept ON jobs (ended_at) WHERE forgotten_at IS NULL;

-- Append-only. A job's rows count from when it reserved (counted_at), whenever they were written (at):
-- what is in use is everything reserved in the last day, less everything of it that was given back.
CREATE TABLE ledger_of_accounts (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    scope_id INTEGER NOT NULL,
    -- The job; for a reset the newest one that it forgives; none for what an admin granted.
    job_id INTEGER REFERENCES jobs (id),
    entry TEXT NOT NULL CHECK (entry IN ('reserved', 'settled', 'given_back', 'granted', 'reset')),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    -- The part of them that a grant pays.
    granted INTEGER NOT NULL DEFAULT 0 CHECK (granted BETWEEN 0 AND credits),
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    counted_at INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_of_accounts (id, account_id, scope_id, job_id, entry, credits, device_ms, counted_at, at)
SELECT ledger.id, jobs.account_id, ledger.scope_id, ledger.job_id, ledger.entry, ledger.credits, ledger.device_ms,
    jobs.created_at, ledger.at
FROM ledger JOIN jobs ON jobs.id = ledger.job_id;

DROP TABLE ledger;
ALTER TABLE ledger_of_accounts RENAME TO ledger;
CREATE INDEX ledger_by_account ON ledger (account_id, counted_at);
CREATE INDEX ledger_by_scope ON ledger (scope_id, counted_at);
CREATE INDEX ledger_of_grants ON ledger (account_id, scope_id) WHERE granted > 0;
CREATE INDEX ledger_of_resets ON ledger (account_id, scope_id, job_id) WHERE entry = 'reset';

CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_never_shortened BEFORE DELETE ON ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

-- What the ledger's settled rows come to, by day of UTC (days since 1970): kept up by the transaction that settles.
CREATE TABLE usage_days (
    scope_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    channel_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    images INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    device_ms INTEGER NOT NULL,
    PRIMARY KEY (scope_id, day, account_id, channel_id, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_days_by_account ON usage_days (account_id, day);

INSERT INTO usage_days
SELECT ledger.scope_id, ledger.at / 86400, ledger.account_id, jobs.channel_id, jobs.kind, count(*),
    sum((SELECT count(*) FROM images WHERE images.job_id = jobs.id AND images.state IN ('rendered', 'deleted'))),
    sum(ledger.credits), sum(ledger.device_ms)
FROM ledger JOIN jobs ON jobs.id = ledger.job_id WHERE ledger.entry = 'settled'
GROUP BY 1, 2, 3, 4, 5;

-- A value of NULL is "unlimited". For everyone the target's id is 0.
CREATE TABLE limits (
    guild_id INTEGER NOT NULL,
    target TEXT NOT NULL CHECK (target IN ('user', 'role', 'everyone')),
    target_id INTEGER NOT NULL,
    name TEXT NOT NULL CHECK (
        name IN ('credits_per_day', 'concurrent_jobs', 'queued_jobs', 'max_pixels', 'max_count')
    ),
    value INTEGER CHECK (value >= 0),
    until INTEGER,
    PRIMARY KEY (guild_id, target, target_id, name)
) STRICT, WITHOUT ROWID;

-- Who may not use the bot in a server; until is NULL where it is for good.
CREATE TABLE blocks (
    guild_id INTEGER NOT NULL,
    member_id INTEGER NOT NULL,
    until INTEGER,
    reason TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (guild_id, member_id)
) STRICT, WITHOUT ROWID;

-- Where the bot may be used: rules for categories, channels and threads.
CREATE TABLE channel_rules (
    guild_id INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    rule TEXT NOT NULL CHECK (rule IN ('allow', 'deny')),
    PRIMARY KEY (guild_id, channel_id)
) STRICT, WITHOUT ROWID;

-- Words and patterns that prompts may not contain, and what the member is told.
CREATE TABLE words (
    guild_id INTEGER NOT NULL,
    word TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('word', 'pattern')),
    sentence TEXT,
    PRIMARY KEY (guild_id, word)
) STRICT, WITHOUT ROWID;

-- Who changed what. guild_id is 0 for what the operator changed everywhere. The target is a mention (of a member, role or
-- channel) or a word; member_id is the member whom it concerns, where there is one.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    actor_id INTEGER NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    member_id INTEGER,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_by_guild ON audit (guild_id, id);

-- A member's own defaults, by name.
CREATE TABLE member_settings (
    member_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (member_id, name)
) STRICT, WITHOUT ROWID;
