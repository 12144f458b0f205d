-- What an upstream calls an attempt, a row for each form in which a receipt may bear the name. Insert-only. The delivery is
-- part of the key: an upstream that counts anew after a restart, or on each of its machines, gives one name twice.
CREATE TABLE attempts (
    upstream text COLLATE "C" NOT NULL, reference text COLLATE "C" NOT NULL, delivery uuid NOT NULL, channel text NOT NULL,
    phone_key bigint NOT NULL, at_us bigint NOT NULL,
    PRIMARY KEY (upstream, reference, delivery)
);
CREATE INDEX attempts_by_time ON attempts (at_us);

-- Receipts whose reference nobody knows yet, a row for each form; receipt: the same for all forms of one.
CREATE TABLE parked_receipts (
    receipt uuid NOT NULL, upstream text COLLATE "C" NOT NULL, reference text COLLATE "C" NOT NULL, phone_key bigint,
    state bigint NOT NULL, carrier_status text NOT NULL, at_us bigint NOT NULL,
    PRIMARY KEY (receipt, reference)
);
CREATE INDEX parked_receipts_by_name ON parked_receipts (upstream, reference);
CREATE INDEX parked_receipts_by_time ON parked_receipts (at_us);

-- Which network a phone was last seen on, where that is not what its prefix says.
CREATE TABLE learned_carriers (phone_key bigint PRIMARY KEY, carrier text NOT NULL, learned_us bigint NOT NULL);
CREATE INDEX learned_carriers_by_time ON learned_carriers (learned_us);

-- Links that take no work until somebody resumes them.
CREATE TABLE link_pauses (upstream text PRIMARY KEY, paused_us bigint NOT NULL);

-- How the carrier was found. Null: by its prefix.
ALTER TABLE deliveries ADD COLUMN carrier_source bigint;
