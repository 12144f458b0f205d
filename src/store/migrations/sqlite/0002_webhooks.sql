-- A key is sealed under an id of its own, which stands before the sealed bytes. active_since_us: null while disabled.
CREATE TABLE webhook_endpoints (
    id BLOB PRIMARY KEY, account BLOB NOT NULL, url TEXT NOT NULL, events INTEGER NOT NULL, key_form TEXT NOT NULL,
    retry_schedule TEXT NOT NULL, key_sealed BLOB NOT NULL, old_key_sealed BLOB, old_key_until_us INTEGER,
    created_us INTEGER NOT NULL, active_since_us INTEGER, disabled_why TEXT, failing_since_us INTEGER, deleted_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account);

-- What is to be sent; a row goes in the transaction that claims it. body_of: the attempt whose body is sent again.
CREATE TABLE webhook_outbox (
    endpoint BLOB NOT NULL, due_us INTEGER NOT NULL, delivery BLOB NOT NULL, account BLOB NOT NULL, event INTEGER NOT NULL,
    cause INTEGER NOT NULL, number INTEGER NOT NULL, body_of BLOB,
    PRIMARY KEY (endpoint, due_us, delivery)
) STRICT, WITHOUT ROWID;

-- One row per claim, before the POST; a result row after it. Neither is ever updated.
CREATE TABLE webhook_attempts (
    id BLOB PRIMARY KEY, account BLOB NOT NULL, endpoint BLOB NOT NULL, delivery BLOB NOT NULL, event INTEGER NOT NULL,
    cause INTEGER NOT NULL, number INTEGER NOT NULL, started_us INTEGER NOT NULL, body_sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_attempts_by_account ON webhook_attempts (account, id);
-- What was sent for a delivery. A second attempt of cause 0, the event itself, cannot be written (invariant 5).
CREATE UNIQUE INDEX webhook_attempts_by_delivery ON webhook_attempts (delivery, endpoint, (CASE WHEN cause = 0 THEN 0 END));

CREATE TABLE webhook_results (
    attempt BLOB PRIMARY KEY, outcome INTEGER NOT NULL, http_status INTEGER, fault TEXT, dns_us INTEGER NOT NULL,
    connect_us INTEGER NOT NULL, tls_us INTEGER NOT NULL, wait_us INTEGER NOT NULL, total_us INTEGER NOT NULL,
    completed_us INTEGER NOT NULL, exchange_sealed BLOB
) STRICT, WITHOUT ROWID;
