-- Time since the last turn, as authorities counted it by clocks that only move forward; which of them counts, and how
-- often one did; and the latest that the database's clock has shown.
ALTER TABLE installation ADD COLUMN turn_counted_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN turn_counter BLOB;
ALTER TABLE installation ADD COLUMN turn_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN clock_latest_us INTEGER NOT NULL DEFAULT 0;

-- When an authority was last told to write a checkpoint.
ALTER TABLE installation ADD COLUMN checkpoint_claimed_us INTEGER NOT NULL DEFAULT 0;
