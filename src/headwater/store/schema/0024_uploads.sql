-- What quotas count beside kept versions: uploads under way and versions that wait to be kept.

CREATE INDEX uploads_by_feed ON uploads (feed);

CREATE INDEX versions_staged ON versions (feed) WHERE state = 'staged';
