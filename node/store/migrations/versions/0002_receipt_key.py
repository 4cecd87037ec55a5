"""Which key signs a response's receipt; empty: the provider's own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("response", sa.Column("signer", sa.String(42), nullable=False, server_default=""))
