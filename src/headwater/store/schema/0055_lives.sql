-- Since this step, a revision is the position of its change, so that no two states of a record, nor two lives, have the same one.
ALTER TABLE records ADD COLUMN born INTEGER NOT NULL DEFAULT 0;  -- first position of this life; 0: not known

-- The positions that ended with a restore: given out after the backup, or skipped so that none is given out twice.
CREATE TABLE lost_positions (
  feed  INTEGER NOT NULL,
  first INTEGER NOT NULL,                  -- one after the head of the backup
  last  INTEGER NOT NULL,                  -- the head with which the restored feed continues
  at_us INTEGER NOT NULL,                  -- time of the restore, microseconds UTC since 1970
  PRIMARY KEY (feed, first)
) WITHOUT ROWID;
