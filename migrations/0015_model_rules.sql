-- Which models the members of a server may use. role_id is 0 for everyone; where nothing is set, every model.
CREATE TABLE model_rules (
    guild_id INTEGER NOT NULL,
    role_id INTEGER NOT NULL,
    -- The name of a profile, such as turbo.
    model TEXT NOT NULL,
    rule TEXT NOT NULL CHECK (rule IN ('allow', 'deny')),
    PRIMARY KEY (guild_id, role_id, model)
) STRICT, WITHOUT ROWID;
