-- What editing needs: finding a message's images, an image's children, and a member's newest results.

CREATE INDEX jobs_by_result_message ON jobs (result_message_id) WHERE result_message_id IS NOT NULL;
CREATE INDEX jobs_by_parent ON jobs (parent_image_id) WHERE parent_image_id IS NOT NULL;
CREATE INDEX jobs_by_channel ON jobs (channel_id, id);

-- A picture that a member brought, with the spec that its metadata told: what the buttons under /details refer to.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    owner_id INTEGER NOT NULL,
    source TEXT NOT NULL,
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a server's admins have set, by name; what is not here is as the program's defaults say.
CREATE TABLE guild_settings (
    guild_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (guild_id, name)
) STRICT, WITHOUT ROWID;
