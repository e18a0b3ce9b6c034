"""Columns get the names that the code uses; a database that was made with these names is left as it is.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Table, a pattern of the former name, the name now.
RENAMED = (
    ("jobs", "alone", "isolated"),
    ("jobs", "rung_at", "notified_at"),
    ("workers", "beat_at", "heartbeat_at"),
    ("api_keys", "rows%second", "rows_per_second"),
    ("model_versions", "proof", "validation"),
)

RENAME = """
DO $$
DECLARE
    former text;
BEGIN
    SELECT attname INTO former FROM pg_attribute
    WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attname LIKE '{pattern}';
    IF former <> '{name}' THEN
        EXECUTE format('ALTER TABLE {table} RENAME COLUMN %I TO {name}', former);
    END IF;
END $$
"""

# PostgreSQL keeps the body of a function as text, with the names that columns had when it was written.
GRANTS = """
DO $$
BEGIN
    EXECUTE regexp_replace(regexp_replace(
        pg_get_functiondef('grant_platform_roles_0004'::regproc), '\\malone\\M', 'isolated', 'g'),
        '\\mrung_at\\M', 'notified_at', 'g');
END $$
"""


def upgrade() -> None:
    """Rename what has a former name."""
    for table, pattern, name in RENAMED:
        op.execute(RENAME.format(table=table, pattern=pattern, name=name))
    op.execute(GRANTS)


def downgrade() -> None:
    """Nothing: the earlier revisions use these names too."""
