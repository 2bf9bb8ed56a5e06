-- The private key that the tokens of a link are bound to (RFC 9449), sealed as they are; NULL for bearer tokens.
ALTER TABLE credential ADD COLUMN proof_key BLOB;
ALTER TABLE revocation ADD COLUMN proof_key BLOB;
ALTER TABLE pending_authorization ADD COLUMN proof_key BLOB;
