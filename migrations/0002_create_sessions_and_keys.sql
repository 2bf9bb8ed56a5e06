CREATE TABLE link_session (
    id TEXT NOT NULL PRIMARY KEY CHECK (id GLOB 'lks_*'),
    token_hash BLOB NOT NULL UNIQUE,
    user_id TEXT NOT NULL CHECK (length(user_id) BETWEEN 1 AND 255),
    user_label TEXT,
    provider TEXT,
    scopes TEXT,
    return_to TEXT,
    confirm INTEGER NOT NULL CHECK (confirm IN (0, 1)),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- Of the browser that opened it first; no other one can.
    browser_hash BLOB,
    status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'completed', 'failed')),
    error TEXT,
    account_id TEXT,
    CHECK ((error IS NOT NULL) = (status = 'failed')),
    CHECK ((account_id IS NOT NULL) = (status = 'completed'))
) STRICT, WITHOUT ROWID;

CREATE INDEX link_session_user ON link_session (user_id, status, id);
CREATE INDEX link_session_expiry ON link_session (expires_at);

-- An authorization request that left. The callback takes the row away: a state counts once.
CREATE TABLE pending_authorization (
    state_hash BLOB NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES link_session (id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    key_id TEXT NOT NULL REFERENCES key_check (key_id),
    code_verifier BLOB,
    nonce BLOB
) STRICT;

CREATE INDEX pending_authorization_session ON pending_authorization (session_id, created_at);
CREATE INDEX pending_authorization_key ON pending_authorization (key_id);

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY CHECK (id GLOB 'key_*'),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_prefix ON api_key (prefix);

CREATE TABLE idempotent_request (
    key_hash BLOB NOT NULL,
    api_key_id TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    key_id TEXT REFERENCES key_check (key_id),
    -- NULL: not answered yet.
    response BLOB,
    PRIMARY KEY (key_hash, api_key_id),
    CHECK ((response IS NULL) = (key_id IS NULL))
) STRICT;

CREATE INDEX idempotent_request_expiry ON idempotent_request (expires_at);
CREATE INDEX idempotent_request_sealing_key ON idempotent_request (key_id) WHERE key_id IS NOT NULL;
