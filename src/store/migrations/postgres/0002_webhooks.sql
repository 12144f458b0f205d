-- A key is sealed under an id of its own, which stands before the sealed bytes. active_since_us: null while disabled.
CREATE TABLE webhook_endpoints (
    id uuid PRIMARY KEY, account uuid NOT NULL, url text NOT NULL, events bigint NOT NULL, key_form text NOT NULL,
    retry_schedule text NOT NULL, key_sealed bytea NOT NULL, old_key_sealed bytea, old_key_until_us bigint,
    created_us bigint NOT NULL, active_since_us bigint, disabled_why text, failing_since_us bigint, deleted_us bigint
);
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account);

-- What is to be sent; a row goes in the transaction that claims it. body_of: the attempt whose body is sent again.
CREATE TABLE webhook_outbox (
    endpoint uuid NOT NULL, due_us bigint NOT NULL, delivery uuid NOT NULL, account uuid NOT NULL, event bigint NOT NULL,
    cause bigint NOT NULL, number bigint NOT NULL, body_of uuid,
    PRIMARY KEY (endpoint, due_us, delivery)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- One row per claim, before the POST; a result row after it. Neither is ever updated.
CREATE TABLE webhook_attempts (
    id uuid PRIMARY KEY, account uuid NOT NULL, endpoint uuid NOT NULL, delivery uuid NOT NULL, event bigint NOT NULL,
    cause bigint NOT NULL, number bigint NOT NULL, started_us bigint NOT NULL, body_sealed bytea NOT NULL
);
CREATE INDEX webhook_attempts_by_account ON webhook_attempts (account, id);
-- What was sent for a delivery. A second attempt of cause 0, the event itself, cannot be written (invariant 5).
CREATE UNIQUE INDEX webhook_attempts_by_delivery ON webhook_attempts (delivery, endpoint, (CASE WHEN cause = 0 THEN 0 END));

CREATE TABLE webhook_results (
    attempt uuid PRIMARY KEY, outcome bigint NOT NULL, http_status bigint, fault text, dns_us bigint NOT NULL,
    connect_us bigint NOT NULL, tls_us bigint NOT NULL, wait_us bigint NOT NULL, total_us bigint NOT NULL,
    completed_us bigint NOT NULL, exchange_sealed bytea
);
