-- What a provider's answers have taught of its limits and its health, so that a restart does not forget it.
CREATE TABLE provider_governor (
    provider TEXT NOT NULL PRIMARY KEY,
    -- Of several processes the newest word counts.
    changed_at INTEGER NOT NULL,
    -- The share of the configured rate that was believed at rate_at; it grows from there.
    rate REAL NOT NULL CHECK (rate > 0 AND rate <= 1),
    rate_at INTEGER NOT NULL,
    -- NULL: the circuit is closed.
    open_until INTEGER,
    openings INTEGER NOT NULL CHECK (openings >= 0),
    closed_at INTEGER
) STRICT, WITHOUT ROWID;
