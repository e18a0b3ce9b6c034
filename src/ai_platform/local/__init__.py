"""The embedded stack: PostgreSQL and Valkey from wheels, and the platform's own parts, as supervised processes."""
