-- What compaction needs to find its work quickly.

-- Tombstones stand among many living changes; only they are dropped from a feed that keeps the freshest. The index
-- holds all that is read of them, or SQLite would not take it.
CREATE INDEX changes_dead ON changes (feed, position, at_us, kind, id) WHERE deleted = 1;

-- The one change that compaction has left of each living resource of a feed with history.
CREATE TABLE compacted (
  feed     INTEGER NOT NULL,
  kind     TEXT NOT NULL,
  id       TEXT NOT NULL,
  position INTEGER NOT NULL,               -- changes.position
  PRIMARY KEY (feed, kind, id)
) WITHOUT ROWID;
