"""PostgreSQL and Valkey from wheels, in one data folder."""
