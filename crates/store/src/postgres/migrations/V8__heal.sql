-- Time since the last turn, as authorities counted it by clocks that only move forward; which of them counts, and how
-- often one did; and the latest that the database's clock has shown.
ALTER TABLE installation ADD COLUMN turn_counted_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN turn_counter BYTEA;
ALTER TABLE installation ADD COLUMN turn_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN clock_latest_us BIGINT NOT NULL DEFAULT 0;

-- When an authority was last told to write a checkpoint.
ALTER TABLE installation ADD COLUMN checkpoint_claimed_us BIGINT NOT NULL DEFAULT 0;
