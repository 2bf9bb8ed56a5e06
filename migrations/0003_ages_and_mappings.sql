-- What has had its time is found without looking at the rest.
CREATE INDEX request_allowance_age ON request_allowance (started_at);

-- Which mapping made the claims: where another is configured, a 304 does not confirm them.
ALTER TABLE sync_schedule ADD COLUMN mapping TEXT NOT NULL DEFAULT '';
