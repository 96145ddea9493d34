-- Indexes for quotas, which also count uploads in progress and staged versions.

CREATE INDEX uploads_by_feed ON uploads (feed);

CREATE INDEX versions_staged ON versions (feed) WHERE state = 'staged';
