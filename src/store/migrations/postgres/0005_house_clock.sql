-- mark_us: the house's time goes on from here when a daemon starts. accepted: how often an operator accepted the clock.
-- held_until_us: by the server's clock, until when no daemon ends or drops what is old.
CREATE TABLE house_clock (
    one bigint PRIMARY KEY CHECK (one = 1), mark_us bigint NOT NULL, accepted bigint NOT NULL, held_until_us bigint NOT NULL
);
INSERT INTO house_clock VALUES (1, 0, 0, 0);

-- How long a carrier asked to hold the phone, and the delivery for which it did: a window of another one is a claim.
ALTER TABLE cooldown_windows ADD COLUMN held_us bigint;
ALTER TABLE cooldown_windows ADD COLUMN held_for uuid;
