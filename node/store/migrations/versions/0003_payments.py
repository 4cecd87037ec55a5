"""Who paid for a response; vouchers, and what requests under way take of them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("response", sa.Column("payer", sa.String(42), nullable=False, server_default=""))
    op.add_column("response", sa.Column("fee_token", sa.String(42), nullable=False, server_default=""))
    op.create_table(
        "payment_account",
        sa.Column("payer", sa.String(42), primary_key=True),
        sa.Column("token", sa.String(42), primary_key=True),
        sa.Column("cumulative", sa.String(78), nullable=False),
        sa.Column("spent", sa.String(78), nullable=False),
        sa.Column("redeemed", sa.String(78), nullable=False),
        sa.Column("published", sa.String(78), nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("key", sa.String(42), nullable=False),
    )
    op.create_table(
        "payment_hold",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("payer", sa.String(42), nullable=False),
        sa.Column("token", sa.String(42), nullable=False),
        sa.Column("amount", sa.String(78), nullable=False),
    )
