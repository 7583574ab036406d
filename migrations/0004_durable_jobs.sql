-- What is needed to continue, deliver, charge and explain a job after the process that accepted it has ended.

-- What the member is told when the job ends without a result.
ALTER TABLE jobs ADD COLUMN note TEXT NOT NULL DEFAULT '';
-- Which of the member's own settings were applied, in words.
ALTER TABLE jobs ADD COLUMN defaults TEXT NOT NULL DEFAULT '';
-- Whether the prompt was longer than the model reads.
ALTER TABLE jobs ADD COLUMN truncated INTEGER NOT NULL DEFAULT 0;
-- Whether pictures are hidden until somebody clicks.
ALTER TABLE jobs ADD COLUMN spoiler INTEGER NOT NULL DEFAULT 0;
-- The message of the image that an edit starts from.
ALTER TABLE jobs ADD COLUMN original_link TEXT;
-- The largest file in bytes that the interaction's own response takes.
ALTER TABLE jobs ADD COLUMN response_file_limit INTEGER;
-- How many jobs of the owner may run at a time, as of the admission. NULL: any number.
ALTER TABLE jobs ADD COLUMN concurrent_jobs INTEGER;
ALTER TABLE jobs ADD COLUMN rendered_at INTEGER;
-- When its owner or a moderator asked to cancel it; the running unit ends first.
ALTER TABLE jobs ADD COLUMN cancelled_at INTEGER;
-- Of a rendered job: when to post it next; NULL until its owner asks for it.
-- Of an ended job: when to end its card next; NULL if that is done.
ALTER TABLE jobs ADD COLUMN due_at INTEGER;
ALTER TABLE jobs ADD COLUMN delivery_attempts INTEGER NOT NULL DEFAULT 0;

-- Credits in 1/100, written with the image's state. NULL: nothing yet.
ALTER TABLE images ADD COLUMN charge INTEGER;
-- Why the image failed, for the member.
ALTER TABLE images ADD COLUMN error TEXT;

CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;

-- Cards whose job is not inserted yet: the picture to edit is being read.
CREATE TABLE open_cards (
    -- The interaction or message that asked.
    event_id INTEGER PRIMARY KEY,
    owner_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    prompt TEXT NOT NULL,
    -- NULL until Discord has answered.
    message_id INTEGER,
    application_id INTEGER,
    interaction_token TEXT,
    token_expires_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

-- Jobs that were not delivered yet when this migration ran.
UPDATE images SET charge = (SELECT credits / count FROM jobs WHERE jobs.id = images.job_id)
WHERE state = 'rendered' AND job_id IN (SELECT id FROM jobs WHERE state IN ('running', 'rendered', 'delivering'));
-- One attempt was made to post them, whose outcome is unknown: their messages are looked for before the next one.
UPDATE jobs SET rendered_at = coalesce(started_at, created_at), delivery_attempts = 1
WHERE state IN ('rendered', 'delivering');
