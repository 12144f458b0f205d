-- Attempts whose receipt is asked for, because the provider brings none, and whose turn it is to ask. A row is written with the
-- attempt's name and is of no use once the delivery has ended.
CREATE TABLE polls (
    delivery BLOB NOT NULL, channel TEXT NOT NULL, reference TEXT NOT NULL, poller BLOB NOT NULL,
    PRIMARY KEY (delivery, channel)
) STRICT, WITHOUT ROWID;
CREATE INDEX polls_by_poller ON polls (poller, delivery);

-- One life of one link that asks. Behind until_us it is gone, and another one of its upstream takes over what it asked for.
CREATE TABLE pollers (poller BLOB PRIMARY KEY, upstream TEXT NOT NULL, until_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
