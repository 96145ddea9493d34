-- One row for each cache sync operation; clearing the cache does not delete the history.
CREATE TABLE cache_syncs (
  number          INTEGER PRIMARY KEY,     -- the digits of its id sync_00000001
  organisation    TEXT NOT NULL,
  contacts_synced INTEGER NOT NULL,        -- accepted rows, summed over the calls that extended it
  notes_synced    INTEGER NOT NULL,
  status          TEXT NOT NULL,           -- success, partial, failed or cleared
  synced_us       INTEGER NOT NULL,        -- microseconds UTC since 1970
  updated_us      INTEGER NOT NULL         -- microseconds UTC since 1970
);

CREATE INDEX cache_syncs_by_organisation ON cache_syncs (organisation, number);

-- The last complete sync of an organisation's cache; no row, or nulls, before the first one and after clearing.
CREATE TABLE cache_successes (
  organisation TEXT PRIMARY KEY,
  number       INTEGER,                    -- cache_syncs.number
  at_us        INTEGER                     -- microseconds UTC since 1970
);
