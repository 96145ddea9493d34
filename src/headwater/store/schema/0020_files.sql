-- Shares, their trees, and the versions of their files. Content is in packs (0010).

-- One row for each share; its feed is share:<id>, with history.
CREATE TABLE shares (
  feed           INTEGER PRIMARY KEY,
  id             TEXT NOT NULL UNIQUE,     -- shr_...
  organisation   TEXT NOT NULL,
  name           TEXT NOT NULL,
  owner          TEXT NOT NULL,            -- users.id
  case_sensitive INTEGER NOT NULL,         -- 1: names that differ in case only are two names; fixed at creation
  portable       INTEGER NOT NULL,         -- 1: names that Windows does not allow are refused
  quota_bytes    INTEGER,                  -- null: only the organisation's quota
  created_us     INTEGER NOT NULL,         -- microseconds UTC since 1970
  updated_us     INTEGER NOT NULL,         -- microseconds UTC since 1970
  deleted_us     INTEGER                   -- microseconds UTC since 1970; null while it lives
);

CREATE INDEX shares_by_organisation ON shares (organisation, id);

-- The access of members to a share. The owner and the organisation's admins need no row.
CREATE TABLE share_members (
  feed    INTEGER NOT NULL,
  kind    TEXT NOT NULL,                   -- user, role or chapter
  member  TEXT NOT NULL,                   -- a user's id, a role's name, or a chapter's id
  access  INTEGER NOT NULL,                -- 1 READ, 2 WRITE, 3 MANAGE
  at_us   INTEGER NOT NULL,                -- microseconds UTC since 1970
  PRIMARY KEY (feed, kind, member)
) WITHOUT ROWID;

CREATE INDEX share_members_by_member ON share_members (kind, member, feed);

-- Files and folders. Everything below a trashed folder is in the trash as well, with its rows unchanged.
CREATE TABLE nodes (
  feed       INTEGER NOT NULL,
  id         TEXT NOT NULL,                -- fil_... or fld_...
  number     INTEGER NOT NULL,             -- order of creation in the share, from 1
  type       TEXT NOT NULL,                -- file or folder
  parent     TEXT NOT NULL,                -- the folder's id; empty for the share's root
  name       TEXT NOT NULL,                -- NFC
  name_key   TEXT NOT NULL,                -- the form in which names are compared
  version    TEXT,                         -- the current version's id; null for a folder
  position   INTEGER NOT NULL,             -- of its newest change
  trashed_us INTEGER,                      -- microseconds UTC since 1970; null while it lives (its folder may not)
  trashed_by TEXT,                         -- users.id
  created_us INTEGER NOT NULL,             -- microseconds UTC since 1970
  updated_us INTEGER NOT NULL,             -- last change of content or name, microseconds UTC since 1970
  placed_us  INTEGER NOT NULL,             -- last change of name or folder, microseconds UTC since 1970
  PRIMARY KEY (feed, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX nodes_by_name ON nodes (feed, parent, name_key) WHERE trashed_us IS NULL;
CREATE UNIQUE INDEX nodes_by_number ON nodes (feed, number);
CREATE INDEX nodes_in_trash ON nodes (feed, trashed_us) WHERE trashed_us IS NOT NULL;

-- Versions of files: staged by an upload, then part of a file's history; content is never changed in place.
CREATE TABLE versions (
  feed         INTEGER NOT NULL,
  id           TEXT NOT NULL,              -- ver_...
  node         TEXT,                       -- nodes.id; null while it is staged
  number       INTEGER NOT NULL,           -- 1, 2, 3... in its file's history; 0 while it is staged
  state        TEXT NOT NULL,              -- staged, held (a conflict waits for it) or kept
  size_bytes   INTEGER NOT NULL,
  content_hash TEXT NOT NULL,              -- b3:<hex> of a single chunk, m3:<hex> of the list of chunks
  sha256       TEXT,                       -- hex; null until an uploader sends it or a caller requests it
  mime_type    TEXT NOT NULL,
  modified_us  INTEGER NOT NULL,           -- the device's time after clamping, microseconds UTC since 1970
  created_us   INTEGER NOT NULL,           -- received, microseconds UTC since 1970
  user_id      TEXT NOT NULL,
  device_id    TEXT NOT NULL,              -- the client's own id; empty when it has none
  expires_us   INTEGER,                    -- when a staged version expires, microseconds UTC since 1970
  PRIMARY KEY (feed, id)
) WITHOUT ROWID;

CREATE INDEX versions_by_node ON versions (feed, node, number) WHERE node IS NOT NULL;
CREATE INDEX versions_by_expiry ON versions (expires_us) WHERE expires_us IS NOT NULL;

-- A version's chunks in order; chunks listed here are not swept.
CREATE TABLE version_chunks (
  feed         INTEGER NOT NULL,
  version      TEXT NOT NULL,
  place        INTEGER NOT NULL,           -- from 0
  organisation TEXT NOT NULL,
  chunk        BLOB NOT NULL,              -- chunks.chunk
  length_bytes INTEGER NOT NULL,
  PRIMARY KEY (feed, version, place)
) WITHOUT ROWID;

CREATE INDEX version_chunks_by_chunk ON version_chunks (organisation, chunk);

-- Conflicts between two sides; the losing bytes stay as a version.
CREATE TABLE file_conflicts (
  feed              INTEGER NOT NULL,
  id                TEXT NOT NULL,         -- cfl_...
  number            INTEGER NOT NULL,      -- order in the share, from 1
  device_id         TEXT NOT NULL,
  resource_type     TEXT NOT NULL,
  resource_id       TEXT,
  kind              TEXT NOT NULL,         -- content, edit_delete, name_taken or crossed_move
  local_version_id  TEXT,
  server_version_id TEXT,
  item              BLOB NOT NULL,         -- the requested change, JSON
  item_hash         BLOB NOT NULL,         -- hash by which a repeat of the change is recognised
  copy_id           TEXT,                  -- the conflict copy that was created
  resolution        TEXT,                  -- the strategy that ran; null while it waits for a person
  created_us        INTEGER NOT NULL,      -- microseconds UTC since 1970
  resolved_us       INTEGER,               -- microseconds UTC since 1970
  resolved_by       TEXT,                  -- users.id
  PRIMARY KEY (feed, id)
) WITHOUT ROWID;

CREATE INDEX file_conflicts_by_number ON file_conflicts (feed, number);
CREATE INDEX file_conflicts_by_item ON file_conflicts (feed, device_id, item_hash);

-- The part of a share that a device syncs.
CREATE TABLE sync_preferences (
  device       TEXT NOT NULL,              -- devices.id
  feed         INTEGER NOT NULL,
  sync_enabled INTEGER NOT NULL,
  selected     BLOB NOT NULL,              -- JSON list of folder paths; empty: all
  excluded     BLOB NOT NULL,              -- JSON list of folder paths
  updated_us   INTEGER NOT NULL,           -- microseconds UTC since 1970
  PRIMARY KEY (device, feed)
) WITHOUT ROWID;

-- Uploads in progress, of chunk sessions and of tus.
CREATE TABLE uploads (
  id           TEXT PRIMARY KEY,           -- upl_...
  feed         INTEGER NOT NULL,
  organisation TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  protocol     TEXT NOT NULL,              -- chunks or tus
  size_bytes   INTEGER,                    -- null while tus defers it
  chunk_bytes  INTEGER NOT NULL,           -- 0 for tus
  offset_bytes INTEGER NOT NULL,           -- received without a gap from the start
  mime_type    TEXT NOT NULL,
  sha256       TEXT,                       -- hex, as the uploader sent it
  request      BLOB NOT NULL,              -- JSON: target path, folder, name, modified time, device, metadata
  version      TEXT,                       -- the staged version, once it is complete
  created_us   INTEGER NOT NULL,           -- microseconds UTC since 1970
  expires_us   INTEGER NOT NULL            -- microseconds UTC since 1970; postponed by each chunk
);

CREATE INDEX uploads_by_expiry ON uploads (expires_us);

-- The parts that an upload has received, each with its chunks.
CREATE TABLE upload_chunks (
  upload       TEXT NOT NULL,
  part         INTEGER NOT NULL,           -- from 0
  place        INTEGER NOT NULL,           -- the chunk's place in its part, from 0
  organisation TEXT NOT NULL,
  chunk        BLOB NOT NULL,              -- chunks.chunk
  length_bytes INTEGER NOT NULL,
  PRIMARY KEY (upload, part, place)
) WITHOUT ROWID;

CREATE INDEX upload_chunks_by_chunk ON upload_chunks (organisation, chunk);
