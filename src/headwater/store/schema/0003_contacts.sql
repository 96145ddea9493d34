-- The chapters of each contact.
CREATE TABLE affiliations (
  feed       INTEGER NOT NULL,
  contact_id TEXT NOT NULL,
  place      INTEGER NOT NULL,             -- the order in which the caller named them, from 0
  chapter_id TEXT NOT NULL,
  joined_us  INTEGER NOT NULL,             -- microseconds UTC since 1970; unchanged while the contact stays
  PRIMARY KEY (feed, contact_id, chapter_id)
) WITHOUT ROWID;

CREATE INDEX affiliations_by_chapter ON affiliations (feed, chapter_id, contact_id);
