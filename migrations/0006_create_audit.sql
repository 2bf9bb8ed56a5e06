-- Who did what, when and from where: nothing secret, and only ever added to. Old entries go once they have had their
-- time, which no entry has in its first 90 days.
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

CREATE INDEX audit_account ON audit (account_id, sequence) WHERE account_id IS NOT NULL;

CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN
    SELECT raise(ABORT, 'the audit trail is only added to');
END;

CREATE TRIGGER audit_kept BEFORE DELETE ON audit
WHEN old.at > (SELECT at FROM audit ORDER BY sequence DESC LIMIT 1) - 7776000000 BEGIN
    SELECT raise(ABORT, 'the audit trail is only added to');
END;

-- A key beside the first one is a change of keys, whoever makes it and how.
CREATE TRIGGER audit_key_added AFTER INSERT ON key_check WHEN (SELECT count(*) FROM key_check) > 1 BEGIN
    INSERT INTO audit (at, action, actor, detail)
        VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'key.added', 'operator', new.key_id);
END;

CREATE TRIGGER audit_key_retired AFTER DELETE ON key_check BEGIN
    INSERT INTO audit (at, action, actor, detail)
        VALUES (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'key.retired', 'operator', old.key_id);
END;

-- What each provider's configuration was when the service last started.
CREATE TABLE provider_configuration (
    provider TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The metadata document in force, under the configuration that it was fetched for.
CREATE TABLE provider_metadata (
    provider TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    document TEXT NOT NULL CHECK (json_valid(document))
) STRICT, WITHOUT ROWID;

-- What was asked for; what was granted is in scopes.
ALTER TABLE linked_account ADD COLUMN requested_scopes TEXT NOT NULL DEFAULT '';
