-- Indexes and a table for fast compaction.

-- A feed without history drops only tombstones, which are few among many live changes. The index contains every
-- column that is read, because SQLite would not use it otherwise.
CREATE INDEX changes_dead ON changes (feed, position, at_us, kind, id) WHERE deleted = 1;

-- The single change that compaction has retained of each live resource of a feed with history.
CREATE TABLE compacted (
  feed     INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position INTEGER NOT NULL,               -- changes.position
  PRIMARY KEY (feed, kind, id)
) WITHOUT ROWID;
