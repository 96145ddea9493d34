-- What taking files out of the trash for good needs.

-- Files that are gone, with versions that are still to be removed: a file may have more of them, and they more chunks,
-- than one step takes.
CREATE TABLE purged_files (
  feed INTEGER NOT NULL,
  node TEXT NOT NULL,                      -- versions.node
  PRIMARY KEY (feed, node)
) WITHOUT ROWID;

CREATE INDEX file_conflicts_by_resource ON file_conflicts (feed, resource_id);
CREATE INDEX file_conflicts_open ON file_conflicts (feed) WHERE resolution IS NULL;
