-- Who exchanged the refresh token last: the same token from another client is a finding.
ALTER TABLE sessions ADD COLUMN rotated_by TEXT NOT NULL DEFAULT '';   -- JSON: address, user agent, device id
ALTER TABLE sessions ADD COLUMN rotated_before_us INTEGER;                -- the rotation before rotated_us, or the opening
ALTER TABLE sessions ADD COLUMN shared_generation INTEGER;                -- the last generation of which that was found
