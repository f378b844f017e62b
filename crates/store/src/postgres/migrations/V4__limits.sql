-- A revoked API key that has expired leaves the view of gates.
ALTER TABLE api_keys ADD COLUMN forgotten_us BIGINT;  -- since when gates do not hold its revocation any more

CREATE INDEX api_keys_to_forget ON api_keys (expires_us)
    WHERE end_event IS NOT NULL AND forgotten_us IS NULL;
