-- Indexes for applying changes: a conflict by its id alone, and the resource that had a path before it was trashed.
CREATE UNIQUE INDEX file_conflicts_by_id ON file_conflicts (id);
CREATE INDEX nodes_in_trash_by_name ON nodes (feed, parent, name_key) WHERE trashed_us IS NOT NULL;
