-- One row: nothing; from now on every file of `landed` holds one version of one period.
ALTER TABLE lake.landed SET PARTITIONED BY (period, version)
