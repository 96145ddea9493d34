-- The users, tokens and chapters of an organisation.

CREATE TABLE users (
  id           TEXT PRIMARY KEY,           -- usr_...
  organisation TEXT NOT NULL,
  name         TEXT NOT NULL,
  role         TEXT NOT NULL,              -- peer_mentor, coordinator, org_admin or global_admin
  created_us   INTEGER NOT NULL            -- microseconds UTC since 1970
);

CREATE INDEX users_by_organisation ON users (organisation, id);

CREATE TABLE tokens (
  id           TEXT PRIMARY KEY,           -- tok_...
  hash         BLOB NOT NULL UNIQUE,       -- SHA-256 of the token; the token itself is not stored
  user_id      TEXT NOT NULL,
  organisation TEXT NOT NULL,
  scopes       TEXT NOT NULL,              -- separated by spaces
  label        TEXT NOT NULL,
  created_us   INTEGER NOT NULL,           -- microseconds UTC since 1970
  expires_us   INTEGER,                    -- microseconds UTC since 1970; null never
  revoked_us   INTEGER                     -- microseconds UTC since 1970; null while it is valid
);

CREATE INDEX tokens_by_organisation ON tokens (organisation, id);

CREATE TABLE chapters (
  organisation TEXT NOT NULL,
  id           TEXT NOT NULL,
  name         TEXT NOT NULL,
  created_us   INTEGER NOT NULL,           -- microseconds UTC since 1970
  updated_us   INTEGER NOT NULL,           -- microseconds UTC since 1970
  PRIMARY KEY (organisation, id)
);

CREATE TABLE user_chapters (
  user_id    TEXT NOT NULL,
  chapter_id TEXT NOT NULL,
  PRIMARY KEY (user_id, chapter_id)
);
