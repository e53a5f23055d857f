-- One row: how many clean rows of one version of a period lie on the first day of 1970, if the newest lies in these years; if all rows are
-- at its very start, all of them; else 0.
-- $period INTEGER: index of the period
-- $version INTEGER: version of its rows
-- $day BIGINT: µs of a day
-- $old BIGINT: µs since 1970 from which on times are of these years
WITH clean AS (
    SELECT epoch_us(time) AS micros
    FROM landed
    ANTI JOIN quarantine USING (period, version, arrival)
    WHERE period = $period AND version = $version
)
SELECT CASE
    WHEN max(micros) >= $old OR min(micros) = 0 AND max(micros) = 0 THEN count(*) FILTER (micros BETWEEN 0 AND $day - 1)
    ELSE 0
END::DOUBLE AS rows
FROM clean
