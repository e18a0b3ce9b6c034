"""${message}

Revision ID: ${up_revision}
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What changes."""
    ${upgrades if upgrades else "raise SystemExit('write the migration')"}


def downgrade() -> None:
    """The way back."""
    ${downgrades if downgrades else "raise SystemExit('write the migration')"}
