CREATE TABLE batches (id uuid PRIMARY KEY, at_us bigint NOT NULL);

-- version: every change to the key list. epoch: the version of the last change that took somebody's right to call away.
CREATE TABLE auth_epoch (
    one bigint PRIMARY KEY CHECK (one = 1), version bigint NOT NULL, epoch bigint NOT NULL
);
INSERT INTO auth_epoch VALUES (1, 1, 1);

CREATE TABLE accounts (id uuid PRIMARY KEY, name text NOT NULL, created_us bigint NOT NULL, closed_us bigint);

CREATE TABLE wallets (
    account uuid PRIMARY KEY,
    free_credit bigint NOT NULL CHECK (free_credit >= 0),
    bonus_credit bigint NOT NULL CHECK (bonus_credit >= 0),
    balance bigint NOT NULL CHECK (balance >= 0)
) WITH (fillfactor = 50);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY, account uuid NOT NULL, hash bytea NOT NULL UNIQUE, hint text NOT NULL, allowlist text NOT NULL,
    created_us bigint NOT NULL, revoked_us bigint
);
CREATE INDEX api_keys_by_account ON api_keys (account);

CREATE TABLE idempotency_keys (
    account uuid NOT NULL, key text COLLATE "C" NOT NULL, body_mac bytea NOT NULL, delivery uuid NOT NULL,
    balance_after bigint, answer bigint, created_us bigint NOT NULL,
    PRIMARY KEY (account, key)
) WITH (fillfactor = 70);

CREATE TABLE cooldown_windows (
    phone_key bigint PRIMARY KEY, until_us bigint NOT NULL, delivery uuid NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE deliveries (
    id uuid PRIMARY KEY, account uuid NOT NULL, phone_key bigint NOT NULL,
    from_free bigint NOT NULL CHECK (from_free >= 0), from_bonus bigint NOT NULL CHECK (from_bonus >= 0),
    from_balance bigint NOT NULL CHECK (from_balance >= 0),
    status bigint NOT NULL, created_us bigint NOT NULL, settle_us bigint NOT NULL, completed_us bigint,
    phone_sealed bytea NOT NULL, carrier text NOT NULL, channel text NOT NULL, error_code text, carrier_status text,
    metadata_sealed bytea
) WITH (fillfactor = 70);
CREATE INDEX deliveries_by_account ON deliveries (account, id);

CREATE TABLE movements (
    id uuid PRIMARY KEY, account uuid NOT NULL, delivery uuid, kind text NOT NULL, reference text,
    free_credit bigint NOT NULL, bonus_credit bigint NOT NULL, balance bigint NOT NULL, at_us bigint NOT NULL
);
CREATE UNIQUE INDEX movements_once_per_delivery ON movements (delivery, kind) WHERE delivery IS NOT NULL;
CREATE UNIQUE INDEX movements_once_per_reference ON movements (account, reference) WHERE reference IS NOT NULL;
CREATE INDEX movements_by_account ON movements (account);

CREATE TABLE audit (
    id uuid PRIMARY KEY, at_us bigint NOT NULL, actor text NOT NULL, action text NOT NULL, subject text NOT NULL,
    detail text NOT NULL
);

CREATE TABLE sweeper (one bigint PRIMARY KEY CHECK (one = 1), watermark uuid NOT NULL, folded uuid NOT NULL);
INSERT INTO sweeper VALUES (1, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');

CREATE TABLE keyring (purpose text NOT NULL, key_id bigint NOT NULL, fingerprint bytea NOT NULL, PRIMARY KEY (purpose, key_id));
