-- One row: the PostgreSQL server and the database that the catalog is in, which a restored copy does not share, and its address.
SELECT server, address
FROM postgres_query(
    '__ducklake_metadata_lake',
    'SELECT system_identifier || ''/'' || oid AS server, coalesce(host(inet_server_addr()), '''') AS address FROM pg_control_system(), pg_database WHERE datname = current_database()'
)
