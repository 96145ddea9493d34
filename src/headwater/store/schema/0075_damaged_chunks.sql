-- Chunks that were found damaged where they are. A mark names a place: a chunk that is stored anew is in another one.

CREATE TABLE damaged_chunks (
  organisation TEXT NOT NULL,
  chunk        BLOB NOT NULL,              -- chunks.chunk
  pack         INTEGER NOT NULL,           -- chunks.pack when it was found
  start_bytes  INTEGER NOT NULL,           -- chunks.start_bytes when it was found, bytes
  reason       TEXT NOT NULL,
  found_us     INTEGER NOT NULL,           -- microseconds UTC since 1970
  PRIMARY KEY (organisation, chunk)
) WITHOUT ROWID;
