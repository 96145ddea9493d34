-- Recognises a conflict that is sent again, and the base of a folder's deletion.

-- A conflict is known again only while both sides stand as they stood when it was recorded or answered.
ALTER TABLE file_conflicts ADD COLUMN sides TEXT;  -- JSON: node id to the position of its newest change; null: unknown

-- The position that GET /status begins with was never reported by the device: it is no base of a deletion.
ALTER TABLE device_positions ADD COLUMN reported INTEGER NOT NULL DEFAULT 1;  -- 1: by POST /cursor
