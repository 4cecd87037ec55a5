"""What answers of a private model commit to, and their audits."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("response", sa.Column("audit_root", sa.String(66), nullable=False, server_default=""))
    op.add_column("response", sa.Column("audit_nonce", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "audit",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("response_id", sa.String(64), sa.ForeignKey("response.id"), nullable=False, unique=True),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("evidence", sa.LargeBinary, nullable=True),
        sa.Column("failure", sa.Text, nullable=True),
    )
