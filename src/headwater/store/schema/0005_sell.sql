-- The changes that each sell device has: the compressed sets of contracts/sell/acks.py.
CREATE TABLE sell_devices (
  feed       INTEGER NOT NULL,
  device_id  TEXT NOT NULL,                -- the client's X-Basecrm-Device-UUID
  state      BLOB NOT NULL,                -- AckState.to_bytes
  updated_us INTEGER NOT NULL,             -- microseconds UTC since 1970
  PRIMARY KEY (feed, device_id)
) WITHOUT ROWID;
