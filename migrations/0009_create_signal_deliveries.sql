-- Messages that providers have sent by themselves, so that none counts twice. Only hashes: of what the provider calls a
-- delivery, or of its signature.
CREATE TABLE signal_delivery (
    provider TEXT NOT NULL,
    id_hash BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (provider, id_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX signal_delivery_age ON signal_delivery (received_at);
