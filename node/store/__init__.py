"""What the provider must remember: batches, responses with their receipts, chain events, cursors."""

from .database import open_engine
from .journal import Journal
from .tables import BatchRow, BatchState, ChainEventRow, ResponseRow, ResponseState

__all__ = [
    "BatchRow",
    "BatchState",
    "ChainEventRow",
    "Journal",
    "ResponseRow",
    "ResponseState",
    "open_engine",
]
