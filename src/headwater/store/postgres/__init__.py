"""PostgreSQL through psycopg: the database of several processes."""
