-- Links by the device authorization grant (RFC 8628): the person types a code at the provider, and this service asks the
-- provider until they have.
CREATE TABLE device_link (
    id TEXT NOT NULL PRIMARY KEY CHECK (id GLOB 'dvl_*'),
    user_id TEXT NOT NULL CHECK (length(user_id) BETWEEN 1 AND 255),
    user_label TEXT,
    provider TEXT NOT NULL,
    scopes TEXT NOT NULL,
    confirm INTEGER NOT NULL CHECK (confirm IN (0, 1)),
    fingerprint TEXT NOT NULL,
    user_code TEXT NOT NULL,
    verification_uri TEXT NOT NULL,
    verification_uri_complete TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Milliseconds between two requests: it only grows.
    interval INTEGER NOT NULL CHECK (interval > 0),
    -- NULL: nothing is left to do.
    next_at INTEGER,
    lease_owner TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('pending', 'confirmation_required', 'linked', 'failed')),
    error TEXT,
    account_id TEXT,
    key_id TEXT REFERENCES key_check (key_id),
    device_code BLOB,
    -- Tokens and profile that wait for the user's word.
    granted BLOB,
    CHECK ((error IS NOT NULL) = (status = 'failed')),
    CHECK ((account_id IS NOT NULL) = (status = 'linked')),
    CHECK ((device_code IS NOT NULL) = (status = 'pending')),
    CHECK ((granted IS NOT NULL) = (status = 'confirmation_required')),
    CHECK ((key_id IS NOT NULL) = (next_at IS NOT NULL) AND (key_id IS NOT NULL) = (status IN ('pending', 'confirmation_required')))
) STRICT;

CREATE INDEX device_link_due ON device_link (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX device_link_user ON device_link (user_id, status, id);
CREATE INDEX device_link_expiry ON device_link (expires_at);
CREATE INDEX device_link_key ON device_link (key_id) WHERE key_id IS NOT NULL;
