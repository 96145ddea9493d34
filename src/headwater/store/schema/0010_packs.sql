-- Content by hash, in packs. Chunks belong to one organisation; tenants share no content.

-- One row for each pack: the file or object with the chunks of one upload request.
CREATE TABLE packs (
  organisation  TEXT NOT NULL,
  pack          INTEGER NOT NULL,          -- random, 63 bits; its sixteen hex digits name the file
  size_bytes    INTEGER NOT NULL,          -- the whole file, bytes
  content_bytes INTEGER NOT NULL,          -- its chunks alone, bytes
  chunks        INTEGER NOT NULL,          -- number of chunks at its creation
  created_us    INTEGER NOT NULL,          -- microseconds UTC since 1970
  retired_us    INTEGER,                   -- when its last chunk became unused, microseconds UTC; null: in use
  PRIMARY KEY (organisation, pack)
) WITHOUT ROWID;

CREATE INDEX packs_by_pack ON packs (pack);

-- The place of each chunk. The tail of a pack lists its chunks, so no second index by pack exists here.
CREATE TABLE chunks (
  organisation TEXT NOT NULL,
  chunk        BLOB NOT NULL,              -- BLAKE3 of the content, 32 bytes
  pack         INTEGER NOT NULL,           -- packs.pack
  start_bytes  INTEGER NOT NULL,           -- offset in the pack, bytes
  length_bytes INTEGER NOT NULL,           -- bytes
  touched_us   INTEGER NOT NULL,           -- when an upload last referred to it, microseconds UTC since 1970
  PRIMARY KEY (organisation, chunk)
) WITHOUT ROWID;
