-- The youngest attempt to a phone under a name, in one step: an upstream that gives every message one name has millions of
-- rows under it. Without a phone the primary key does it.
CREATE INDEX attempts_by_phone ON attempts (upstream, reference, phone_key, delivery);
