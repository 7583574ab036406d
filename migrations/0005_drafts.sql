-- Requests that were not carried out, for their owner to edit and ask for again; kept for a day.

CREATE TABLE drafts (
    -- Never used again: a button names it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id INTEGER NOT NULL,
    request TEXT NOT NULL CHECK (json_valid(request)),
    created_at INTEGER NOT NULL,
    UNIQUE (owner_id, request)
) STRICT;
