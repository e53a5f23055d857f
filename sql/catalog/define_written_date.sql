-- One row: nothing; defines written_date(number): the time that 8, 12 or 14 digits from 19000101 to 20991231 spell, or null where they
-- spell none.
CREATE OR REPLACE MACRO memory.main.written_date(number) AS (
    CASE
        WHEN number BETWEEN 19000101 AND 20991231 THEN try_strptime(CAST(number AS VARCHAR), '%Y%m%d')
        WHEN number BETWEEN 19000101000000 AND 20991231235959 THEN try_strptime(CAST(number AS VARCHAR), '%Y%m%d%H%M%S')
        WHEN number BETWEEN 190001010000 AND 209912312359 THEN try_strptime(CAST(number AS VARCHAR), '%Y%m%d%H%M')
    END
)
