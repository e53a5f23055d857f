-- One row per landed row whose time could be read: the time in µs.
SELECT epoch_us(time) AS micros
FROM landed
WHERE time IS NOT NULL
