-- Contact and sync ids come from blocks of each organisation. The ids of before end at a base, above which blocks begin.
UPDATE counters SET name = 'base:contact' WHERE feed = 0 AND name = 'mint:contact';
UPDATE counters SET name = 'base:sync' WHERE feed = 0 AND name = 'mint:sync';

-- A list of all organisations' syncs is ordered by time, since their numbers are not.
CREATE INDEX cache_syncs_by_time ON cache_syncs (synced_us, number);
