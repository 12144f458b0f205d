-- Attempts whose receipt is asked for, because the provider brings none, and whose turn it is to ask. A row is written with the
-- attempt's name and is of no use once the delivery has ended.
CREATE TABLE polls (
    delivery uuid NOT NULL, channel text NOT NULL, reference text NOT NULL, poller uuid NOT NULL,
    PRIMARY KEY (delivery, channel)
);
CREATE INDEX polls_by_poller ON polls (poller, delivery);

-- One life of one link that asks. Behind until_us it is gone, and another one of its upstream takes over what it asked for.
CREATE TABLE pollers (poller uuid PRIMARY KEY, upstream text NOT NULL, until_us bigint NOT NULL) WITH (fillfactor = 50);
