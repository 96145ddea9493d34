-- Content by hash, packed. Chunks belong to one organisation: nothing is shared between tenants.

-- One row a pack: the file or object that holds the chunks of one upload request.
CREATE TABLE packs (
  organisation  TEXT NOT NULL,
  pack          INTEGER NOT NULL,          -- random, 63 bits; its sixteen hex digits name the file
  size_bytes    INTEGER NOT NULL,          -- the whole file, bytes
  content_bytes INTEGER NOT NULL,          -- its chunks alone, bytes
  chunks        INTEGER NOT NULL,          -- how many chunks it was written with
  created_us    INTEGER NOT NULL,          -- microseconds UTC since 1970
  retired_us    INTEGER,                   -- when no chunk stood in it any more, microseconds UTC; null: in use
  PRIMARY KEY (organisation, pack)
) WITHOUT ROWID;

CREATE INDEX packs_by_pack ON packs (pack);

-- Where each chunk stands. The tail of a pack lists its chunks, so there is no second index by pack here.
CREATE TABLE chunks (
  organisation TEXT NOT NULL,
  chunk        BLOB NOT NULL,              -- BLAKE3 of the content, 32 bytes
  pack         INTEGER NOT NULL,           -- packs.pack
  start_bytes  INTEGER NOT NULL,           -- bytes from the beginning of the pack
  length_bytes INTEGER NOT NULL,           -- bytes
  touched_us   INTEGER NOT NULL,           -- when an upload last relied on it, microseconds UTC since 1970
  PRIMARY KEY (organisation, chunk)
) WITHOUT ROWID;
