-- When an organisation's labels were last synced from their source; one row a tracked organisation.
CREATE TABLE terminology_syncs (
  organisation   TEXT PRIMARY KEY,
  ttl_seconds    INTEGER NOT NULL,         -- how long a sync stays fresh
  last_sync_us   INTEGER,                  -- microseconds UTC since 1970; null never, or reset
  synced_version TEXT,                     -- version of the source that the last sync published
  edition        INTEGER NOT NULL,         -- raised by each change of the columns above
  failures       INTEGER NOT NULL,         -- fetches that failed since the last good one
  retry_us       INTEGER,                  -- no fetch before this; microseconds UTC since 1970; null any time
  lease          TEXT,                     -- fencing token of who is fetching; null nobody
  lease_until_us INTEGER,                  -- when that lease has run out; microseconds UTC since 1970
  created_us     INTEGER NOT NULL,         -- microseconds UTC since 1970
  updated_us     INTEGER NOT NULL          -- microseconds UTC since 1970
);

-- Where an organisation's labels come from, those kept here, and what was last published to its feed.
CREATE TABLE terminology_labels (
  organisation   TEXT PRIMARY KEY,
  source         TEXT NOT NULL,            -- own, url or file
  location       TEXT NOT NULL,            -- the URL or the file's path; empty for own
  version        INTEGER NOT NULL,         -- raised by each change of the source that the server knows of
  changed_us     INTEGER NOT NULL,         -- when it was last raised; microseconds UTC since 1970
  etag           TEXT,                     -- the source's tag of what was last published from it; null unknown
  own            BLOB,                     -- the labels kept here, a JSON object; null none
  own_count      INTEGER NOT NULL,         -- how many labels that is
  own_created_us INTEGER,                  -- microseconds UTC since 1970; null none
  own_updated_us INTEGER,                  -- microseconds UTC since 1970; null none
  published      INTEGER,                  -- how many labels the feed holds; null none were published
  published_us   INTEGER                   -- when they last changed there; microseconds UTC since 1970
);
