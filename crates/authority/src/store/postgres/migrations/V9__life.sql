-- The issuer that the first start kept: a start with another one is refused.
ALTER TABLE installation ADD COLUMN issuer TEXT;
