-- One row: nothing; defines too_wide(bytes, most, text): what stands in place of a row that has too many bytes.
CREATE OR REPLACE MACRO memory.main.too_wide(bytes, most, text) AS (
    format('the texts of this row have {:,} bytes, and a row may have {:,}: shorten them at the source. It begins: ', bytes::BIGINT, most::BIGINT) || text
)
