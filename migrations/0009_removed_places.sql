-- Channels, threads and servers that are gone, whose pictures are deleted at a time: a server's a day after the bot was
-- removed from it. A row lasts until its pictures are deleted, so a restart forgets none.
CREATE TABLE removed_places (
    place_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('channel', 'guild')),
    due_at INTEGER NOT NULL
) STRICT;

-- The channel of each thread, or a channel's category: Discord tells nothing of archived threads whose channel goes.
CREATE TABLE channel_parents (
    channel_id INTEGER PRIMARY KEY,
    parent_id INTEGER NOT NULL
) STRICT;

CREATE INDEX channel_parents_by_parent ON channel_parents (parent_id);
