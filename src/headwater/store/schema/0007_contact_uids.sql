-- By which key a contact stands in files that were imported, and what those files say beyond its fields.
CREATE TABLE contact_keys (
  feed       INTEGER NOT NULL,
  uid        TEXT NOT NULL,                -- the file's own key (UID), or one derived from the row
  contact_id TEXT NOT NULL,
  extra      TEXT,                         -- JSON {property: [vCard line]}; null: nothing more
  PRIMARY KEY (feed, uid)
) WITHOUT ROWID;

CREATE INDEX contact_keys_by_contact ON contact_keys (feed, contact_id);
