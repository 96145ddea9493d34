-- The record that a stored answer shows: the answer loses its content when the record is deleted.
ALTER TABLE answers ADD COLUMN record_feed INTEGER;  -- feeds.feed; null: the answer shows no record
ALTER TABLE answers ADD COLUMN record_kind TEXT;
ALTER TABLE answers ADD COLUMN record_id TEXT;

-- Answers of before this step may show any record: feed 0 and an empty id mean that any deletion removes their content.
UPDATE answers SET record_feed = 0, record_kind = '', record_id = '';

CREATE INDEX answers_by_record ON answers (record_feed, record_kind, record_id) WHERE record_id IS NOT NULL;
