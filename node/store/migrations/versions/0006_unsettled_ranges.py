"""Ranges of blocks that are to be read again, with how many logs they had."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unsettled_range",
        sa.Column("end_block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("start_block", sa.BigInteger, nullable=False),
        sa.Column("logs", sa.Integer),
    )
