"""What the provider must remember: batches, responses with their receipts, chain events, cursors."""

from .audit_book import AuditBook
from .database import open_engine
from .journal import Journal
from .payment_book import PaymentBook
from .tables import BatchRow, BatchState, ChainEventRow, PaymentAccountRow, ResponseRow, ResponseState

__all__ = [
    "AuditBook",
    "BatchRow",
    "BatchState",
    "ChainEventRow",
    "Journal",
    "PaymentAccountRow",
    "PaymentBook",
    "ResponseRow",
    "ResponseState",
    "open_engine",
]
