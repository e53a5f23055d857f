-- One row per line at the head of a text file, a hundred at most; none where it is empty.
-- $file VARCHAR: its path
-- $encoding VARCHAR: such as utf-8, latin-1, utf-16
SELECT line
FROM read_csv(
    $file, hive_partitioning = false, columns = struct_pack(line := 'VARCHAR'), auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', strict_mode = false,
    encoding = $encoding, max_line_size = 4000000, ignore_errors = true
)
LIMIT 100
