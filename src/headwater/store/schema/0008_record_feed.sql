-- Conflicts: edits of one field by two sides. The losing value is stored here until a person resolves the conflict.
CREATE TABLE record_conflicts (
  id            TEXT PRIMARY KEY,          -- cfl_...
  feed          INTEGER NOT NULL,
  number        INTEGER NOT NULL,          -- order in the feed, from 1
  kind          TEXT NOT NULL,
  record_id     TEXT NOT NULL,
  device_id     TEXT NOT NULL,
  base_revision INTEGER NOT NULL,
  revision      INTEGER NOT NULL,          -- the record's revision after the conflict
  fields        BLOB NOT NULL,             -- JSON {field: {"server": value, "client": value}}
  winner        TEXT NOT NULL,             -- client or server
  created_us    INTEGER NOT NULL,          -- microseconds UTC since 1970
  resolved_us   INTEGER                    -- microseconds UTC since 1970; null while unresolved
);

CREATE INDEX record_conflicts_by_feed ON record_conflicts (feed, number);
CREATE INDEX record_conflicts_by_record ON record_conflicts (feed, kind, record_id);
