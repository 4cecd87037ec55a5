"""Tables. Hashes, salts and addresses are 0x-hex text; wei is decimal text; times are seconds of the chain.

A batch and its responses are written before anything about them is signed or sent, so after a kill the rows say
everything that may have left the process.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Column, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


class BatchState(StrEnum):
    """OPEN takes responses; SEALED has a root and must be posted; POSTED is on chain; FINAL cannot be disputed."""

    OPEN = "open"
    SEALED = "sealed"
    POSTED = "posted"
    FINAL = "final"


class ResponseState(StrEnum):
    """What the chain says about a response; PENDING until its batch is final."""

    PENDING = "pending"
    DISPUTED = "disputed"
    FINAL = "final"
    VOID = "void"


class AuditState(StrEnum):
    """WAITING and PROVING are answered by the next start, too; FAILED cannot be proven."""

    WAITING = "waiting"
    PROVING = "proving"
    PROVEN = "proven"
    FAILED = "failed"


class BatchRow(SQLModel, table=True):
    """One Merkle tree of responses."""

    __tablename__ = "batch"

    id: int | None = Field(default=None, primary_key=True)
    salt: str = Field(max_length=66, unique=True)
    model_id: str = Field(max_length=66)
    state: BatchState = Field(sa_column=Column(Text, nullable=False, index=True))
    opened_at: int = Field(sa_type=BigInteger)
    post_at: int = Field(sa_type=BigInteger)  # when the committer seals it, at the latest
    posting_deadline: int = Field(sa_type=BigInteger)  # what its receipts promise
    count: int = 0
    root: str | None = Field(default=None, max_length=66)
    chain_batch_id: int | None = Field(default=None, sa_type=BigInteger, index=True)
    posted_at: int | None = Field(default=None, sa_type=BigInteger)
    challenge_deadline: int | None = Field(default=None, sa_type=BigInteger)
    failure: str | None = Field(default=None, sa_type=Text)  # why the last attempt to post failed


class ResponseRow(SQLModel, table=True):
    """One answer and its receipt. `signature` is empty between writing the row and signing it."""

    __tablename__ = "response"
    __table_args__ = (UniqueConstraint("batch_id", "index_in_batch"),)

    id: str = Field(primary_key=True, max_length=64)
    batch_id: int = Field(foreign_key="batch.id", index=True)
    index_in_batch: int
    receipt_id: str = Field(max_length=66, unique=True)
    leaf: str = Field(max_length=66, unique=True)
    prompt_ids: bytes = Field(sa_type=LargeBinary)
    output_ids: bytes = Field(sa_type=LargeBinary)
    max_tokens: int
    sampling: str = Field(default="", max_length=66)  # the rule's word; empty: greedy
    fee_wei: str = Field(default="0", max_length=78)
    signer: str = Field(default="", max_length=42)  # the receipt's key; empty: the provider's own
    payer: str = Field(default="", max_length=42)  # whose voucher paid the fee; empty: nobody's
    fee_token: str = Field(default="", max_length=42)  # empty: ether
    signature: str | None = Field(default=None, max_length=132)
    finish_reason: str = Field(max_length=16)
    answered_at: int = Field(sa_type=BigInteger)
    generation_ms: int = 0
    audit_root: str = Field(default="", max_length=66)  # of a private model's boundaries; empty: public
    audit_nonce: str = Field(default="", max_length=64)  # with the model's seed it gives their blindings
    state: ResponseState = Field(
        default=ResponseState.PENDING, sa_column=Column(Text, nullable=False, index=True)
    )

    @property
    def prompt_length(self) -> int:
        return len(self.prompt_ids) // 4

    @property
    def output_length(self) -> int:
        return len(self.output_ids) // 4


class AuditRow(SQLModel, table=True):
    """Items of an answer that somebody asked to be proven; `items` and `evidence` are JSON (`audit_wire`)."""

    __tablename__ = "audit"

    id: str = Field(primary_key=True, max_length=32)
    response_id: str = Field(foreign_key="response.id", unique=True, max_length=64)
    items: str = Field(sa_type=Text)
    state: AuditState = Field(default=AuditState.WAITING, sa_column=Column(Text, nullable=False, index=True))
    done: int = 0
    asked_at: int = Field(sa_type=BigInteger)
    evidence: bytes | None = Field(default=None, sa_type=LargeBinary)
    failure: str | None = Field(default=None, sa_type=Text)


class PaymentAccountRow(SQLModel, table=True):
    """What a payer has promised this provider in a token, and how much of it was used up; amounts are decimal text.

    `signature` is that of the voucher over `cumulative`; empty when it is known from the chain alone.
    """

    __tablename__ = "payment_account"

    payer: str = Field(primary_key=True, max_length=42)
    token: str = Field(primary_key=True, max_length=42)
    cumulative: str = Field(default="0", max_length=78)
    spent: str = Field(default="0", max_length=78)  # prices of answers, and of requests that are under way
    redeemed: str = Field(default="0", max_length=78)  # as the chain said last
    published: str = Field(default="0", max_length=78)  # the largest voucher that went into a transaction
    signature: str = Field(default="", sa_type=Text)
    key: str = Field(
        default="", max_length=42
    )  # who signed; empty: the payer is a contract and says so itself


class PaymentHoldRow(SQLModel, table=True):
    """The price of a request under way. It goes when the answer is placed, or when its price goes back."""

    __tablename__ = "payment_hold"

    id: str = Field(primary_key=True, max_length=32)
    payer: str = Field(max_length=42)
    token: str = Field(max_length=42)
    amount: str = Field(max_length=78)


class ChainEventRow(SQLModel, table=True):
    """A decoded log of the protocol's contracts. Rows of blocks that a reorganisation removed are deleted."""

    __tablename__ = "chain_event"

    block_number: int = Field(primary_key=True, sa_type=BigInteger)
    log_index: int = Field(primary_key=True)
    block_hash: str = Field(max_length=66)
    transaction_hash: str = Field(max_length=66)
    timestamp: int = Field(sa_type=BigInteger)
    name: str = Field(max_length=64, index=True)
    game_id: int | None = Field(default=None, sa_type=BigInteger, index=True)
    batch_id: int | None = Field(default=None, sa_type=BigInteger, index=True)
    gas_used: int = Field(sa_type=BigInteger)
    arguments: str = Field(sa_type=Text)  # JSON


class CursorRow(SQLModel, table=True):
    """A block that the event follower has worked through; the newest ones show where a reorganisation forked."""

    __tablename__ = "cursor"

    block_number: int = Field(primary_key=True, sa_type=BigInteger)
    block_hash: str = Field(max_length=66)


class RangeRow(SQLModel, table=True):
    """Blocks start_block + 1 .. end_block and how many logs they had (empty: not known): they are to be read
    again, by the next life of the program if this one ends before."""

    __tablename__ = "unsettled_range"

    end_block: int = Field(primary_key=True, sa_type=BigInteger)
    start_block: int = Field(sa_type=BigInteger)
    logs: int | None = None


class FactRow(SQLModel, table=True):
    """Facts about the database itself, such as the deployment that it belongs to."""

    __tablename__ = "fact"

    name: str = Field(primary_key=True, max_length=64)
    value: str = Field(sa_type=Text)
