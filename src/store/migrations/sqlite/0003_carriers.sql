-- What an upstream calls an attempt, a row for each form in which a receipt may bear the name. Insert-only. The delivery is
-- part of the key: an upstream that counts anew after a restart, or on each of its machines, gives one name twice.
CREATE TABLE attempts (
    upstream TEXT NOT NULL, reference TEXT NOT NULL, delivery BLOB NOT NULL, channel TEXT NOT NULL,
    phone_key INTEGER NOT NULL, at_us INTEGER NOT NULL,
    PRIMARY KEY (upstream, reference, delivery)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_by_time ON attempts (at_us);

-- Receipts whose reference nobody knows yet, a row for each form; receipt: the same for all forms of one.
CREATE TABLE parked_receipts (
    receipt BLOB NOT NULL, upstream TEXT NOT NULL, reference TEXT NOT NULL, phone_key INTEGER,
    state INTEGER NOT NULL, carrier_status TEXT NOT NULL, at_us INTEGER NOT NULL,
    PRIMARY KEY (receipt, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX parked_receipts_by_name ON parked_receipts (upstream, reference);
CREATE INDEX parked_receipts_by_time ON parked_receipts (at_us);

-- Which network a phone was last seen on, where that is not what its prefix says.
CREATE TABLE learned_carriers (phone_key INTEGER PRIMARY KEY, carrier TEXT NOT NULL, learned_us INTEGER NOT NULL) STRICT;
CREATE INDEX learned_carriers_by_time ON learned_carriers (learned_us);

-- Links that take no work until somebody resumes them.
CREATE TABLE link_pauses (upstream TEXT PRIMARY KEY, paused_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- How the carrier was found. Null: by its prefix.
ALTER TABLE deliveries ADD COLUMN carrier_source INTEGER;
