-- One row: nothing; gives `landed` a text column. The quoted word is filled in: names cannot be parameters.
-- $column VARCHAR: its name
ALTER TABLE lake.landed ADD COLUMN IF NOT EXISTS "$column" VARCHAR
