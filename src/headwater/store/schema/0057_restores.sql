-- After a restore: the integers that are never given out again, and what sell devices may hold.

-- A record's or node's integers that ended with a restore: given out after the backup, or skipped.
CREATE TABLE lost_numbers (
  feed   INTEGER NOT NULL,
  name   TEXT NOT NULL,                    -- contact, note or node, as in the counter number:<name>
  first  INTEGER NOT NULL,                 -- one after the counter of the backup
  given  INTEGER NOT NULL,                 -- the last one that was given out, or is assumed to have been
  last   INTEGER NOT NULL,                 -- the value with which the restored counter continues
  PRIMARY KEY (feed, name, first)
) WITHOUT ROWID;

-- The sequences of organisations that a restore removed whole; one that is created again continues them.
CREATE TABLE lost_feeds (
  name    TEXT NOT NULL,                   -- feeds.name; empty: any organisation that is created from now on
  counter TEXT NOT NULL,                   -- counters.name
  value   INTEGER NOT NULL,
  PRIMARY KEY (name, counter)
) WITHOUT ROWID;

-- The states of sell devices that a restore replaced: a device may hold what they name.
CREATE TABLE sell_lost_states (
  feed      INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  place     INTEGER NOT NULL,              -- 1, 2, 3... for each restore that the device has not noticed yet
  state     BLOB NOT NULL,                 -- AckState.to_bytes
  is_exact  INTEGER NOT NULL,              -- 1: the device holds this and nothing more
  PRIMARY KEY (feed, device_id, place)
) WITHOUT ROWID;

ALTER TABLE sell_devices ADD COLUMN restored INTEGER NOT NULL DEFAULT 0;  -- 1: its state is of before a restore
