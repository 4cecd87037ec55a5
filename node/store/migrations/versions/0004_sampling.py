"""How a response was sampled; empty for a greedy one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("response", sa.Column("sampling", sa.String(66), nullable=False, server_default=""))
