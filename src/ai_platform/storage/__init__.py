"""Where bytes rest: PostgreSQL (connections, schema, artifacts) and Redis; no business rule lives here."""
