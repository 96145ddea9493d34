-- A table for the final removal of files from the trash.

-- Removed files whose versions are still to be removed: a file may have more versions, and these more chunks, than
-- one step removes.
CREATE TABLE purged_files (
  feed INTEGER NOT NULL,
  node TEXT NOT NULL,                      -- versions.node
  PRIMARY KEY (feed, node)
) WITHOUT ROWID;

CREATE INDEX file_conflicts_by_resource ON file_conflicts (feed, resource_id);
CREATE INDEX file_conflicts_open ON file_conflicts (feed) WHERE resolution IS NULL;
