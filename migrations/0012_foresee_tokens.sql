-- When a caller last took the access token: such tokens are refreshed ahead of their end.
ALTER TABLE sync_schedule ADD COLUMN token_taken_at INTEGER;
-- When to refresh though nobody asks; NULL: when somebody does.
ALTER TABLE sync_schedule ADD COLUMN token_refresh_at INTEGER;
-- From then on the user has to link again, as far as is known; NULL: no refresh is known to fail.
ALTER TABLE sync_schedule ADD COLUMN grant_ends_at INTEGER;

CREATE INDEX sync_schedule_token_refresh ON sync_schedule (provider, token_refresh_at) WHERE token_refresh_at IS NOT NULL;
CREATE INDEX sync_schedule_grant_end ON sync_schedule (provider, grant_ends_at) WHERE grant_ends_at IS NOT NULL;

-- Refresh tokens that die unused: 30 days after they came, spread over a day.
UPDATE sync_schedule SET
    token_refresh_at = (
        SELECT obtained_at + 2592000000 + abs(random() % 86400000) FROM credential c
        WHERE c.account_id = sync_schedule.account_id AND c.refresh_token IS NOT NULL),
    grant_ends_at = (
        SELECT expires_at FROM credential c
        WHERE c.account_id = sync_schedule.account_id AND c.refresh_token IS NULL);
