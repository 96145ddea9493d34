-- The sync state of an organisation's labels with their source; one row for each tracked organisation.
CREATE TABLE terminology_syncs (
  organisation   TEXT PRIMARY KEY,
  ttl_seconds    INTEGER NOT NULL,         -- time for which a sync stays fresh
  last_sync_us   INTEGER,                  -- microseconds UTC since 1970; null never, or reset
  synced_version TEXT,                     -- version of the source that the last sync published
  edition        INTEGER NOT NULL,         -- raised by each change of the columns above
  failures       INTEGER NOT NULL,         -- failed fetches since the last successful one
  retry_us       INTEGER,                  -- no fetch before this; microseconds UTC since 1970; null any time
  lease          TEXT,                     -- fencing token of the current fetch; null none
  lease_until_us INTEGER,                  -- end of that lease; microseconds UTC since 1970
  created_us     INTEGER NOT NULL,         -- microseconds UTC since 1970
  updated_us     INTEGER NOT NULL          -- microseconds UTC since 1970
);

-- The source of an organisation's labels, the labels stored here, and the state last published to its feed.
CREATE TABLE terminology_labels (
  organisation   TEXT PRIMARY KEY,
  source         TEXT NOT NULL,            -- own, url or file
  location       TEXT NOT NULL,            -- the URL or the file's path; empty for own
  version        INTEGER NOT NULL,         -- raised by each known change of the source
  changed_us     INTEGER NOT NULL,         -- of the last raise; microseconds UTC since 1970
  etag           TEXT,                     -- the source's tag of the state last published; null unknown
  own            BLOB,                     -- the labels stored here, a JSON object; null none
  own_count      INTEGER NOT NULL,         -- number of labels stored here
  own_created_us INTEGER,                  -- microseconds UTC since 1970; null none
  own_updated_us INTEGER,                  -- microseconds UTC since 1970; null none
  published      INTEGER,                  -- number of labels in the feed; null none were published
  published_us   INTEGER                   -- of their last change in the feed; microseconds UTC since 1970
);
