CREATE TABLE batches (id BLOB PRIMARY KEY, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- version: every change to the key list. epoch: the version of the last change that took somebody's right to call away.
CREATE TABLE auth_epoch (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, epoch INTEGER NOT NULL
) STRICT;
INSERT INTO auth_epoch VALUES (1, 1, 1);

CREATE TABLE accounts (
    id BLOB PRIMARY KEY, name TEXT NOT NULL, created_us INTEGER NOT NULL, closed_us INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE wallets (
    account BLOB PRIMARY KEY,
    free_credit INTEGER NOT NULL CHECK (free_credit >= 0),
    bonus_credit INTEGER NOT NULL CHECK (bonus_credit >= 0),
    balance INTEGER NOT NULL CHECK (balance >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY, account BLOB NOT NULL, hash BLOB NOT NULL UNIQUE, hint TEXT NOT NULL, allowlist TEXT NOT NULL,
    created_us INTEGER NOT NULL, revoked_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_account ON api_keys (account);

CREATE TABLE idempotency_keys (
    account BLOB NOT NULL, key TEXT NOT NULL, body_mac BLOB NOT NULL, delivery BLOB NOT NULL,
    balance_after INTEGER, answer INTEGER, created_us INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE cooldown_windows (
    phone_key INTEGER PRIMARY KEY, until_us INTEGER NOT NULL, delivery BLOB NOT NULL
) STRICT;

CREATE TABLE deliveries (
    id BLOB PRIMARY KEY, account BLOB NOT NULL, phone_key INTEGER NOT NULL, phone_sealed BLOB NOT NULL,
    metadata_sealed BLOB, carrier TEXT NOT NULL, channel TEXT NOT NULL,
    from_free INTEGER NOT NULL CHECK (from_free >= 0), from_bonus INTEGER NOT NULL CHECK (from_bonus >= 0),
    from_balance INTEGER NOT NULL CHECK (from_balance >= 0),
    status INTEGER NOT NULL, error_code TEXT, carrier_status TEXT,
    created_us INTEGER NOT NULL, settle_us INTEGER NOT NULL, completed_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_account ON deliveries (account, id);

CREATE TABLE movements (
    id BLOB PRIMARY KEY, account BLOB NOT NULL, delivery BLOB, kind TEXT NOT NULL, reference TEXT,
    free_credit INTEGER NOT NULL, bonus_credit INTEGER NOT NULL, balance INTEGER NOT NULL, at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX movements_once_per_delivery ON movements (delivery, kind) WHERE delivery IS NOT NULL;
CREATE UNIQUE INDEX movements_once_per_reference ON movements (account, reference) WHERE reference IS NOT NULL;
CREATE INDEX movements_by_account ON movements (account);

CREATE TABLE audit (
    id BLOB PRIMARY KEY, at_us INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sweeper (one INTEGER PRIMARY KEY CHECK (one = 1), watermark BLOB NOT NULL, folded BLOB NOT NULL) STRICT;
INSERT INTO sweeper VALUES (1, zeroblob(16), zeroblob(16));

CREATE TABLE keyring (purpose TEXT NOT NULL, key_id INTEGER NOT NULL, fingerprint BLOB NOT NULL, PRIMARY KEY (purpose, key_id))
STRICT, WITHOUT ROWID;
