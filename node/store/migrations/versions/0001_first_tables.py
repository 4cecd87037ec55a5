"""The first tables: batches, responses, chain events, cursors, facts, and the sender's journal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("salt", sa.String(66), nullable=False, unique=True),
        sa.Column("model_id", sa.String(66), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("post_at", sa.BigInteger, nullable=False),
        sa.Column("posting_deadline", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("root", sa.String(66)),
        sa.Column("chain_batch_id", sa.BigInteger),
        sa.Column("posted_at", sa.BigInteger),
        sa.Column("challenge_deadline", sa.BigInteger),
        sa.Column("failure", sa.Text),
    )
    op.create_index("ix_batch_state", "batch", ["state"])
    op.create_index("ix_batch_chain_batch_id", "batch", ["chain_batch_id"])
    op.create_table(
        "response",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("batch_id", sa.Integer, sa.ForeignKey("batch.id"), nullable=False),
        sa.Column("index_in_batch", sa.Integer, nullable=False),
        sa.Column("receipt_id", sa.String(66), nullable=False, unique=True),
        sa.Column("leaf", sa.String(66), nullable=False, unique=True),
        sa.Column("prompt_ids", sa.LargeBinary, nullable=False),
        sa.Column("output_ids", sa.LargeBinary, nullable=False),
        sa.Column("max_tokens", sa.Integer, nullable=False),
        sa.Column("fee_wei", sa.String(78), nullable=False),
        sa.Column("signature", sa.String(132)),
        sa.Column("finish_reason", sa.String(16), nullable=False),
        sa.Column("answered_at", sa.BigInteger, nullable=False),
        sa.Column("generation_ms", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.UniqueConstraint("batch_id", "index_in_batch"),
    )
    op.create_index("ix_response_batch_id", "response", ["batch_id"])
    op.create_index("ix_response_state", "response", ["state"])
    op.create_table(
        "chain_event",
        sa.Column("block_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("log_index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("block_hash", sa.String(66), nullable=False),
        sa.Column("transaction_hash", sa.String(66), nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("game_id", sa.BigInteger),
        sa.Column("batch_id", sa.BigInteger),
        sa.Column("gas_used", sa.BigInteger, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
    )
    op.create_index("ix_chain_event_name", "chain_event", ["name"])
    op.create_index("ix_chain_event_game_id", "chain_event", ["game_id"])
    op.create_index("ix_chain_event_batch_id", "chain_event", ["batch_id"])
    op.create_table(
        "cursor",
        sa.Column("block_number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("block_hash", sa.String(66), nullable=False),
    )
    op.create_table(
        "fact",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "transaction_intent",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("target", sa.String),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("value_wei", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("nonce", sa.Integer),
        sa.Column("mined_hash", sa.LargeBinary),
        sa.Column("mined_block", sa.Integer),
        sa.Column("error", sa.String),
        sa.Column("planned_at", sa.Float, nullable=False),
        sa.UniqueConstraint("scope", "key"),
    )
    op.create_index("ix_transaction_intent_scope", "transaction_intent", ["scope"])
    op.create_index("ix_transaction_intent_status", "transaction_intent", ["status"])
    op.create_table(
        "transaction_attempt",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("intent_id", sa.Integer, sa.ForeignKey("transaction_intent.id"), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("max_fee_wei", sa.String, nullable=False),
        sa.Column("priority_fee_wei", sa.String, nullable=False),
        sa.Column("signed_at", sa.Float, nullable=False),
    )
    op.create_index("ix_transaction_attempt_intent_id", "transaction_attempt", ["intent_id"])


def downgrade() -> None:
    for table in (
        "transaction_attempt", "transaction_intent", "fact", "cursor", "chain_event", "response", "batch",
    ):  # fmt: skip
        op.drop_table(table)
