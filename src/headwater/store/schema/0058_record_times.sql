-- The last time that was given to a record: the next one is never before it, when the clock steps back by a day at most.
INSERT INTO counters (feed, name, value)
SELECT feed, 'clock', max(updated_us) FROM records WHERE kind IN ('contact', 'labels') GROUP BY feed;

-- A database with one writer has one such counter, of feed 0.
INSERT INTO counters (feed, name, value)
SELECT 0, 'clock', max(value) FROM counters WHERE name = 'clock' HAVING max(value) IS NOT NULL;
