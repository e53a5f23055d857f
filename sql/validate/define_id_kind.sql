-- One row: nothing; defines id_kind(text): the kind of text that an id or a category is. Quoted words are filled in: expressions that are
-- constants are compiled once.
-- $whole_number VARCHAR: the expression of the kind
-- $negative_number VARCHAR: the expression of the kind
-- $decimal_number VARCHAR: the expression of the kind
-- $uuid VARCHAR: the expression of the kind
-- $hexadecimal VARCHAR: the expression of the kind
-- $email VARCHAR: the expression of the kind
-- $address VARCHAR: the expression of the kind
-- $prefix_and_number VARCHAR: the expression of the kind
-- $letters VARCHAR: the expression of the kind
-- $letters_and_digits VARCHAR: the expression of the kind
CREATE OR REPLACE MACRO memory.main.id_kind(id) AS (
    CASE WHEN regexp_full_match(id, '$whole_number') THEN 'whole_number'
        WHEN regexp_full_match(id, '$negative_number') THEN 'negative_number'
        WHEN regexp_full_match(id, '$decimal_number') THEN 'decimal_number'
        WHEN regexp_full_match(id, '$uuid') THEN 'uuid'
        WHEN regexp_full_match(id, '$hexadecimal') THEN 'hexadecimal'
        WHEN regexp_full_match(id, '$email') THEN 'email'
        WHEN regexp_full_match(id, '$address') THEN 'address'
        WHEN regexp_full_match(id, '$prefix_and_number') THEN 'prefix_and_number'
        WHEN regexp_full_match(id, '$letters') THEN 'letters'
        WHEN regexp_full_match(id, '$letters_and_digits') THEN 'letters_and_digits'
        ELSE 'text' END
)
