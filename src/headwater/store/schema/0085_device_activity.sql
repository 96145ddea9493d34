-- When an operator deactivated a device, microseconds UTC since 1970; its next request activates it again. Null: never.
ALTER TABLE devices ADD COLUMN deactivated_us INTEGER;
