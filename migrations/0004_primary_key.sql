-- Which key seals. The database says so, not each process by itself: a key that is being retired is used by nobody the
-- moment another one is primary.
ALTER TABLE key_check ADD COLUMN is_primary INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1));

CREATE UNIQUE INDEX key_check_primary ON key_check (is_primary) WHERE is_primary = 1;
