-- One row: whether the secret was made with which DuckDB reads and writes S3 in this process. Quoted words are filled in.
-- $key VARCHAR: access key
-- $secret VARCHAR: secret key
-- $token VARCHAR: session token, or empty
-- $region VARCHAR: region
-- $endpoint VARCHAR: host and port
-- $style VARCHAR: path or vhost
-- $tls VARCHAR: true or false
CREATE OR REPLACE TEMPORARY SECRET nightloop_s3 (
    TYPE s3, KEY_ID '$key', SECRET '$secret', SESSION_TOKEN '$token', REGION '$region', ENDPOINT '$endpoint',
    URL_STYLE '$style', USE_SSL '$tls'
)
