-- The keys of contacts in imported files, and the content of those files beyond the contact's fields.
CREATE TABLE contact_keys (
  feed       INTEGER NOT NULL,
  uid        TEXT NOT NULL,                -- the file's own key (UID), or one derived from the row
  contact_id TEXT NOT NULL,
  extra      TEXT,                         -- JSON {property: [vCard line]}; null: nothing more
  PRIMARY KEY (feed, uid)
) WITHOUT ROWID;

CREATE INDEX contact_keys_by_contact ON contact_keys (feed, contact_id);
