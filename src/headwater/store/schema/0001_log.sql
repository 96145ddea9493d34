-- The change log, and the tables that depend on it.

-- Facts about this installation: epoch, keys.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
);

-- Tenants.
CREATE TABLE organisations (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  created_us INTEGER NOT NULL              -- microseconds UTC since 1970
);

-- One row for each feed: org:<id> (without history) or share:<id> (with history).
CREATE TABLE feeds (
  feed         INTEGER PRIMARY KEY,        -- the number with which the keys of all busy tables start
  name         TEXT NOT NULL UNIQUE,
  organisation TEXT NOT NULL,
  history      INTEGER NOT NULL,           -- 1 retains every change until compaction, 0 only the newest
  floor        INTEGER NOT NULL DEFAULT 0  -- cursors below this position have expired
);

-- Counters: a feed's head, its resource numbers, its live records of each kind; feed 0 is the server itself.
CREATE TABLE counters (
  feed  INTEGER NOT NULL,
  name  TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (feed, name)
) WITHOUT ROWID;

-- The log. A position is unique in its feed and grows in commit order.
CREATE TABLE changes (
  feed     INTEGER NOT NULL,
  position INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  number   INTEGER NOT NULL,               -- the resource's integer in its kind's family; 0: none
  deleted  INTEGER NOT NULL,               -- 1 for a tombstone
  at_us    INTEGER NOT NULL,               -- microseconds UTC since 1970
  wire     BLOB NOT NULL,                  -- the change as it is sent, JSON in UTF-8
  PRIMARY KEY (feed, position)
) WITHOUT ROWID;

-- The present state of each record; its content is the body inside its change.
CREATE TABLE records (
  feed       INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  id         TEXT NOT NULL,
  number     INTEGER NOT NULL,
  revision   INTEGER NOT NULL,             -- 1 at creation, raised by each change
  position   INTEGER NOT NULL,             -- of its newest change
  deleted    INTEGER NOT NULL,             -- 1 when the record was deleted and has a tombstone
  parent     TEXT,                         -- the record that it belongs to (a note's contact)
  search     TEXT NOT NULL,                -- folded terms, each after a line feed
  created_us INTEGER NOT NULL,             -- microseconds UTC since 1970
  updated_us INTEGER NOT NULL,             -- microseconds UTC since 1970
  fields     TEXT,                         -- {field: revision of its last change}; null: all at revision
  PRIMARY KEY (feed, kind, id)
) WITHOUT ROWID;

CREATE INDEX records_by_parent ON records (feed, kind, parent) WHERE parent IS NOT NULL;

-- Stored answers for Idempotency-Key and client_change_id.
CREATE TABLE answers (
  organisation TEXT NOT NULL,
  caller       TEXT NOT NULL,              -- token, or device for pushed changes
  key          TEXT NOT NULL,
  request_hash BLOB NOT NULL,
  answer       BLOB NOT NULL,
  at_us        INTEGER NOT NULL,           -- microseconds UTC since 1970
  PRIMARY KEY (organisation, caller, key)
) WITHOUT ROWID;

CREATE INDEX answers_by_age ON answers (at_us);

-- Devices of every protocol; one row for each organisation, door and device.
CREATE TABLE devices (
  organisation   TEXT NOT NULL,
  device_id      TEXT NOT NULL,            -- the client's own opaque id
  door           TEXT NOT NULL,            -- sell, files or feed
  id             TEXT NOT NULL UNIQUE,     -- dev_...
  user_id        TEXT NOT NULL,
  device_name    TEXT NOT NULL,
  platform       TEXT NOT NULL,
  client_version TEXT NOT NULL,
  is_active      INTEGER NOT NULL,
  last_seen_us   INTEGER NOT NULL,         -- microseconds UTC since 1970
  created_us     INTEGER NOT NULL,         -- microseconds UTC since 1970
  PRIMARY KEY (organisation, door, device_id)
) WITHOUT ROWID;

-- The position of a device in a feed, up to which the device has reported to have every change.
CREATE TABLE device_positions (
  feed       INTEGER NOT NULL,
  device     TEXT NOT NULL,                -- devices.id
  position   INTEGER NOT NULL,
  at_us      INTEGER NOT NULL,             -- microseconds UTC since 1970
  PRIMARY KEY (feed, device)
) WITHOUT ROWID;
