-- A conflict between an edit and a deletion: which side had deleted the record.
ALTER TABLE record_conflicts ADD COLUMN deleted TEXT;  -- client or server; null where both sides had edited
