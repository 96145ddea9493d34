-- Places of readers in very many shares, to which their cursors refer: a cursor that named each would not fit a request.
CREATE TABLE cursor_bases (
  id            TEXT PRIMARY KEY,          -- random, hexadecimal
  organisation  TEXT NOT NULL,
  places        BLOB NOT NULL,             -- feed, position and snapshot head of each share, packed and deflated
  replaces      TEXT,                      -- id of the base before, until a cursor of this one was sent back
  used_us       INTEGER NOT NULL,          -- last time that a cursor of it was sent, to the day, microseconds UTC since 1970
  superseded_us INTEGER                    -- when its reader had gone on to the next base, microseconds UTC since 1970
);

CREATE INDEX cursor_bases_by_use ON cursor_bases (used_us);
CREATE INDEX cursor_bases_superseded ON cursor_bases (superseded_us) WHERE superseded_us IS NOT NULL;
