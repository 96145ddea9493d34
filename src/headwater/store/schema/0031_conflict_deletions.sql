-- Conflicts between an edit and a deletion: the side that had deleted the record.
ALTER TABLE record_conflicts ADD COLUMN deleted TEXT;  -- client or server; null where both sides had edited
