-- How often an account changes, as far as was learned, how often it is read, and what its due time was planned with.
ALTER TABLE sync_schedule ADD COLUMN change_shape REAL;
ALTER TABLE sync_schedule ADD COLUMN change_rate REAL;
ALTER TABLE sync_schedule ADD COLUMN reads REAL NOT NULL DEFAULT 0;
ALTER TABLE sync_schedule ADD COLUMN reads_at INTEGER NOT NULL DEFAULT 0;
-- NULL: not planned, but due at a time that somebody asked for.
ALTER TABLE sync_schedule ADD COLUMN plan_interval REAL;
ALTER TABLE sync_schedule ADD COLUMN plan_share REAL;
ALTER TABLE sync_schedule ADD COLUMN plan_clamped INTEGER NOT NULL DEFAULT 0 CHECK (plan_clamped IN (0, 1));
ALTER TABLE sync_schedule ADD COLUMN plan_weight REAL;

-- What freshness the last request at a provider has to buy.
CREATE TABLE sync_price (
    provider TEXT NOT NULL PRIMARY KEY,
    price REAL NOT NULL CHECK (price > 0),
    reads REAL NOT NULL,
    reads_at INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
