-- How many bytes of pictures members gave to /edit and /details, by hour, so that a restart does not give them a new
-- budget. Rows are dropped after a day.
CREATE TABLE downloads (
    member_id INTEGER NOT NULL,
    -- Hours since 1970 in UTC.
    hour INTEGER NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes > 0),
    PRIMARY KEY (member_id, hour)
) STRICT, WITHOUT ROWID;

-- Whether a job still needs an original, before its file is removed.
CREATE INDEX jobs_by_source ON jobs (json_extract(spec, '$.source')) WHERE forgotten_at IS NULL;
CREATE INDEX uploads_by_source ON uploads (source);
