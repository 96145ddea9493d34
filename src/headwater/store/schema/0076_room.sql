-- Tables of what was removed for good to have its room back: from the trash, and old versions.

-- Files and folders that were removed from the trash before the log was compacted beyond their deletion. The last change
-- that compaction leaves of each is dropped once no device can read it.
CREATE TABLE emptied_nodes (
  feed     INTEGER NOT NULL,
  kind     TEXT NOT NULL,                  -- file or folder
  node     TEXT NOT NULL,                  -- nodes.id, of a row that was removed
  position INTEGER NOT NULL,               -- of the deletion: below the floor no device reads it
  PRIMARY KEY (feed, kind, node)
) WITHOUT ROWID;

-- Old versions that were removed. They have no content, and no reader finds them; a device that edited one is told apart
-- from a device that names a version which never was.
CREATE TABLE pruned_versions (
  feed         INTEGER NOT NULL,
  id           TEXT NOT NULL,              -- ver_...
  node         TEXT NOT NULL,              -- versions.node
  content_hash TEXT NOT NULL,              -- versions.content_hash
  modified_us  INTEGER NOT NULL,           -- versions.modified_us, microseconds UTC since 1970
  pruned_us    INTEGER NOT NULL,           -- microseconds UTC since 1970
  chunks_left  INTEGER NOT NULL,           -- 1 while rows of version_chunks are left
  PRIMARY KEY (feed, id)
) WITHOUT ROWID;

CREATE INDEX pruned_versions_by_node ON pruned_versions (feed, node);
CREATE INDEX pruned_versions_with_chunks ON pruned_versions (feed) WHERE chunks_left = 1;
