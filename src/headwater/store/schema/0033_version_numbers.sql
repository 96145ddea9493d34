-- Each number of a file's history is unique. Files in which two versions have the same one are renumbered by age.
UPDATE versions SET number = ranked.place
FROM (
  SELECT feed, id, row_number() OVER (PARTITION BY feed, node ORDER BY number, created_us, id) AS place
  FROM versions WHERE node IS NOT NULL
) AS ranked
WHERE versions.feed = ranked.feed AND versions.id = ranked.id AND versions.number <> ranked.place;

DROP INDEX versions_by_node;
CREATE UNIQUE INDEX versions_by_node ON versions (feed, node, number) WHERE node IS NOT NULL;
