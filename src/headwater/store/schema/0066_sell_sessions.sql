-- Live sessions of sell devices, at most one a device. Whichever process answers continues the session.
CREATE TABLE sell_sessions (
  feed      INTEGER NOT NULL,
  device_id TEXT NOT NULL,                 -- sell_devices.device_id
  id        TEXT NOT NULL,                 -- the id that the device was told
  queue     BLOB NOT NULL,                 -- what it still hands out: SessionQueue.to_bytes of contracts/sell/sessions.py
  head      INTEGER NOT NULL,              -- position up to which changes of queued resources were counted
  used_us   INTEGER NOT NULL,              -- last start or page, microseconds UTC since 1970
  PRIMARY KEY (feed, device_id)
) WITHOUT ROWID;
