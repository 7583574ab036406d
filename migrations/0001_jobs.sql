-- Jobs, their images, and the ledger of credits.
-- Times are UTC seconds since 1970. Credits are integers of 1/100. Ids of Discord are integers.

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    -- The interaction or message that asked: a duplicate event makes no second job.
    source_id INTEGER NOT NULL UNIQUE,
    parent_image_id TEXT REFERENCES images (id),
    state TEXT NOT NULL DEFAULT 'queued' CHECK (
        state IN ('queued', 'running', 'rendered', 'delivering', 'delivered', 'failed', 'cancelled', 'expired')
    ),
    owner_id INTEGER NOT NULL,
    -- Where credits count: the server, or 0 for direct messages and user-installed use.
    scope_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    kind TEXT NOT NULL,
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    count INTEGER NOT NULL CHECK (count >= 1),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Makes Discord drop a second copy of the result message.
    nonce TEXT NOT NULL CHECK (length(nonce) <= 25),
    -- The way back to the interaction's own response; wiped when it has expired.
    application_id INTEGER,
    interaction_token TEXT,
    token_expires_at INTEGER,
    progress_message_id INTEGER,
    result_message_id INTEGER,
    result_channel_id INTEGER,
    error_code TEXT,
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state) WHERE state NOT IN ('delivered', 'failed', 'cancelled', 'expired');
CREATE INDEX jobs_by_owner ON jobs (owner_id, created_at);

CREATE TABLE images (
    -- A random public id: it names the picture's file and appears in buttons.
    id TEXT PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    position INTEGER NOT NULL CHECK (position >= 0),
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'rendered', 'failed', 'cancelled', 'deleted')),
    seed INTEGER NOT NULL CHECK (seed BETWEEN 0 AND 4294967295),
    file TEXT,
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    UNIQUE (job_id, position)
) STRICT;

-- Append-only: what was reserved, settled (spent) and given back, so that every sum can be computed again.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    owner_id INTEGER NOT NULL,
    scope_id INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    entry TEXT NOT NULL CHECK (entry IN ('reserved', 'settled', 'given_back')),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    at INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_by_owner ON ledger (owner_id, scope_id, at);

-- Small facts the program keeps about itself, such as which commands Discord knows.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
