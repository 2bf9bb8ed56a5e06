/// What the migrations make of an empty file: a change to it is a new migration, an upgrade test, and this text.
let goldenSchema = #"""
    CREATE INDEX api_key_prefix ON api_key (prefix);
    CREATE INDEX audit_account ON audit (account_id, sequence) WHERE account_id IS NOT NULL;
    CREATE INDEX change_account ON change (account_id, sequence);
    CREATE INDEX credential_key ON credential (key_id);
    CREATE INDEX credential_refresh_started ON credential (refresh_started_at) WHERE refresh_started_at IS NOT NULL;
    CREATE INDEX device_link_due ON device_link (next_at) WHERE next_at IS NOT NULL;
    CREATE INDEX device_link_expiry ON device_link (expires_at);
    CREATE INDEX device_link_key ON device_link (key_id) WHERE key_id IS NOT NULL;
    CREATE INDEX device_link_user ON device_link (user_id, status, id);
    CREATE INDEX idempotent_request_expiry ON idempotent_request (expires_at);
    CREATE INDEX idempotent_request_sealing_key ON idempotent_request (key_id) WHERE key_id IS NOT NULL;
    CREATE UNIQUE INDEX key_check_primary ON key_check (is_primary) WHERE is_primary = 1;
    CREATE INDEX link_session_expiry ON link_session (expires_at);
    CREATE INDEX link_session_user ON link_session (user_id, status, id);
    CREATE INDEX linked_account_problem ON linked_account (provider, problem_code, problem_since)
        WHERE problem_code IS NOT NULL;
    CREATE INDEX linked_account_provider ON linked_account (provider, id);
    CREATE INDEX linked_account_provider_status ON linked_account (provider, status, id);
    CREATE INDEX linked_account_status ON linked_account (status, id);
    CREATE INDEX linked_account_user ON linked_account (user_id, id);
    CREATE INDEX pending_authorization_key ON pending_authorization (key_id);
    CREATE INDEX pending_authorization_session ON pending_authorization (session_id, created_at);
    CREATE INDEX profile_changed ON profile (changed_at, account_id);
    CREATE INDEX profile_email ON profile (email, account_id) WHERE email IS NOT NULL;
    CREATE INDEX profile_username ON profile (preferred_username, account_id) WHERE preferred_username IS NOT NULL;
    CREATE INDEX request_allowance_age ON request_allowance (started_at);
    CREATE INDEX revocation_due ON revocation (next_attempt_at);
    CREATE INDEX revocation_key ON revocation (key_id);
    CREATE INDEX signal_delivery_age ON signal_delivery (received_at);
    CREATE INDEX sync_schedule_due ON sync_schedule (provider, next_sync_at) WHERE next_sync_at IS NOT NULL;
    CREATE INDEX sync_schedule_grant_end ON sync_schedule (provider, grant_ends_at) WHERE grant_ends_at IS NOT NULL;
    CREATE INDEX sync_schedule_lease ON sync_schedule (lease_until) WHERE lease_owner IS NOT NULL;
    CREATE INDEX sync_schedule_token_refresh ON sync_schedule (provider, token_refresh_at) WHERE token_refresh_at IS NOT NULL;
    CREATE TABLE account_count (
        provider TEXT NOT NULL,
        status TEXT NOT NULL,
        accounts INTEGER NOT NULL CHECK (accounts >= 0),
        PRIMARY KEY (provider, status)
    ) STRICT, WITHOUT ROWID;
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
    CREATE TABLE audit (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        action TEXT NOT NULL CHECK (action <> ''),
        actor TEXT NOT NULL CHECK (actor <> ''),
        -- The address that the request came from.
        origin TEXT,
        account_id TEXT,
        user_id TEXT,
        provider TEXT,
        detail TEXT
    ) STRICT;
    CREATE TABLE change (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE CHECK (id GLOB 'chg_*'),
        kind TEXT NOT NULL CHECK (kind IN (
            'account.linked', 'account.unlinked', 'account.needs_relink', 'account.recovered',
            'profile.created', 'profile.updated')),
        account_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        provider TEXT NOT NULL,
        at INTEGER NOT NULL,
        version INTEGER,
        problem_code TEXT,
        patch TEXT CHECK (patch IS NULL OR json_valid(patch)),
        CHECK ((version IS NOT NULL) = (kind IN ('profile.created', 'profile.updated'))),
        CHECK ((problem_code IS NOT NULL) = (kind = 'account.needs_relink')),
        CHECK (patch IS NULL OR kind = 'profile.updated')
    ) STRICT;
    CREATE TABLE credential (
        account_id TEXT NOT NULL PRIMARY KEY REFERENCES linked_account (id) ON DELETE CASCADE,
        generation INTEGER NOT NULL CHECK (generation >= 1),
        key_id TEXT NOT NULL REFERENCES key_check (key_id),
        lease_owner TEXT,
        lease_until INTEGER NOT NULL DEFAULT 0,
        -- The intent: a refresh request with this generation's refresh token may have left.
        refresh_started_at INTEGER,
        -- An earlier one with the same token may have reached the provider.
        refresh_in_doubt INTEGER NOT NULL DEFAULT 0 CHECK (refresh_in_doubt IN (0, 1)),
        token_type TEXT NOT NULL,
        expires_at INTEGER,
        refresh_token_expires_at INTEGER,
        obtained_at INTEGER NOT NULL,
        -- SHA-256 of the tokens as imported, so that the same import changes nothing a second time.
        import_digest BLOB,
        access_token BLOB NOT NULL,
        refresh_token BLOB, proof_key BLOB,
        CHECK (refresh_in_doubt = 0 OR refresh_started_at IS NOT NULL),
        CHECK (lease_owner IS NULL OR refresh_started_at IS NOT NULL)
    ) STRICT;
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
    CREATE TABLE key_check (
        key_id TEXT NOT NULL PRIMARY KEY CHECK (key_id <> ''),
        sealed BLOB NOT NULL
    , is_primary INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1))) STRICT, WITHOUT ROWID;
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
    CREATE TABLE linked_account (
        id TEXT NOT NULL PRIMARY KEY CHECK (id GLOB 'acc_*'),
        user_id TEXT NOT NULL CHECK (length(user_id) BETWEEN 1 AND 255),
        provider TEXT NOT NULL CHECK (length(provider) BETWEEN 1 AND 63),
        subject TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
        status TEXT NOT NULL CHECK (status IN ('active', 'needs_relink', 'suspended', 'paused')),
        scopes TEXT NOT NULL,
        linked_at INTEGER NOT NULL,
        problem_code TEXT,
        problem_since INTEGER,
        problem_detail TEXT,
        problem_next_attempt_at INTEGER, requested_scopes TEXT NOT NULL DEFAULT '',
        UNIQUE (provider, subject),
        CHECK ((problem_code IS NULL) = (problem_since IS NULL) AND (problem_code IS NULL) = (problem_detail IS NULL)),
        CHECK (status <> 'needs_relink' OR problem_code IS NOT NULL),
        -- No account without tokens and a place in the schedule.
        FOREIGN KEY (id) REFERENCES credential (account_id) DEFERRABLE INITIALLY DEFERRED,
        FOREIGN KEY (id) REFERENCES sync_schedule (account_id) DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE migration (
        name TEXT NOT NULL PRIMARY KEY,
        sha256 TEXT NOT NULL,
        applied_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
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
    , proof_key BLOB) STRICT;
    CREATE TABLE profile (
        account_id TEXT NOT NULL PRIMARY KEY REFERENCES linked_account (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL,
        provider TEXT NOT NULL,
        subject TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version >= 1),
        changed_at INTEGER NOT NULL,
        content_hash TEXT NOT NULL,
        email TEXT COLLATE NOCASE,
        email_verified INTEGER CHECK (email_verified IN (0, 1)),
        preferred_username TEXT COLLATE NOCASE,
        claims TEXT NOT NULL CHECK (json_valid(claims) AND json_type(claims) = 'object'),
        raw TEXT NOT NULL CHECK (json_valid(raw) AND json_type(raw) = 'object'),
        UNIQUE (provider, subject)
    ) STRICT;
    CREATE TABLE provider_configuration (
        provider TEXT NOT NULL PRIMARY KEY,
        fingerprint TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
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
    CREATE TABLE provider_metadata (
        provider TEXT NOT NULL PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        document TEXT NOT NULL CHECK (json_valid(document))
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_pause (
        provider TEXT NOT NULL PRIMARY KEY,
        until INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE request_allowance (
        provider TEXT NOT NULL,
        key TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        used INTEGER NOT NULL CHECK (used > 0),
        PRIMARY KEY (provider, key, started_at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE revocation (
        id INTEGER PRIMARY KEY,
        account_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        provider TEXT NOT NULL,
        key_id TEXT NOT NULL REFERENCES key_check (key_id),
        token_type TEXT NOT NULL,
        scopes TEXT NOT NULL,
        expires_at INTEGER,
        refresh_token_expires_at INTEGER,
        obtained_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        next_attempt_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
        lease_owner TEXT,
        lease_until INTEGER NOT NULL DEFAULT 0,
        access_token BLOB NOT NULL,
        refresh_token BLOB
    , proof_key BLOB) STRICT;
    CREATE TABLE signal_delivery (
        provider TEXT NOT NULL,
        id_hash BLOB NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (provider, id_hash)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sqlite_sequence(name,seq);
    CREATE TABLE sync_price (
        provider TEXT NOT NULL PRIMARY KEY,
        price REAL NOT NULL CHECK (price > 0),
        reads REAL NOT NULL,
        reads_at INTEGER NOT NULL,
        since INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sync_schedule (
        account_id TEXT NOT NULL PRIMARY KEY REFERENCES linked_account (id) ON DELETE CASCADE,
        provider TEXT NOT NULL,
        -- NULL: not until something else happens.
        next_sync_at INTEGER,
        attempted_at INTEGER,
        synced_at INTEGER,
        failures INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
        lease_owner TEXT,
        lease_until INTEGER NOT NULL DEFAULT 0,
        -- {"request name": {"etag": …, "last_modified": …}}
        validators TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(validators))
    , mapping TEXT NOT NULL DEFAULT '', change_shape REAL, change_rate REAL, reads REAL NOT NULL DEFAULT 0, reads_at INTEGER NOT NULL DEFAULT 0, plan_interval REAL, plan_share REAL, plan_clamped INTEGER NOT NULL DEFAULT 0 CHECK (plan_clamped IN (0, 1)), plan_weight REAL, token_taken_at INTEGER, token_refresh_at INTEGER, grant_ends_at INTEGER) STRICT, WITHOUT ROWID;
    CREATE TRIGGER audit_kept BEFORE DELETE ON audit
    WHEN old.at > (SELECT at FROM audit ORDER BY sequence DESC LIMIT 1) - 7776000000 BEGIN
        SELECT raise(ABORT, 'the audit trail is only added to');
    END;
    CREATE TRIGGER audit_key_added AFTER INSERT ON key_check WHEN (SELECT count(*) FROM key_check) > 1 BEGIN
        INSERT INTO audit (at, action, actor, detail)
            VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'key.added', 'operator', new.key_id);
    END;
    CREATE TRIGGER audit_key_retired AFTER DELETE ON key_check BEGIN
        INSERT INTO audit (at, action, actor, detail)
            VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'key.retired', 'operator', old.key_id);
    END;
    CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
        SELECT raise(ABORT, 'the audit trail is only added to');
    END;
    CREATE TRIGGER linked_account_deleted AFTER DELETE ON linked_account BEGIN
        UPDATE account_count SET accounts = accounts - 1 WHERE provider = old.provider AND status = old.status;
    END;
    CREATE TRIGGER linked_account_identity BEFORE UPDATE OF id, user_id, provider, subject ON linked_account BEGIN
        SELECT raise(ABORT, 'the identity of a linked account never changes');
    END;
    CREATE TRIGGER linked_account_inserted AFTER INSERT ON linked_account BEGIN
        INSERT INTO account_count (provider, status, accounts) VALUES (new.provider, new.status, 1)
            ON CONFLICT DO UPDATE SET accounts = accounts + 1;
    END;
    CREATE TRIGGER linked_account_status_changed AFTER UPDATE OF status ON linked_account WHEN new.status <> old.status BEGIN
        UPDATE account_count SET accounts = accounts - 1 WHERE provider = old.provider AND status = old.status;
        INSERT INTO account_count (provider, status, accounts) VALUES (new.provider, new.status, 1)
            ON CONFLICT DO UPDATE SET accounts = accounts + 1;
    END;

    """#
