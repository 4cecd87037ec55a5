"""What a provider's receipts cost beside its answers: the production desk, journal and signature."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from eth_account import Account

from contracts.bindings.keys import SignedTransaction
from node.receipts import Issuer, ReceiptDesk
from node.store import Journal, open_engine
from node.store.journal import BatchTerms
from prover.model.execute import Executor
from prover.model.library import load_model

LEDGER = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
CHAIN_ID = 31337


class MemorySigner:
    """A fresh key that lives as long as the measurement."""

    def __init__(self) -> None:
        self._account = Account.create()

    @property
    def address(self) -> str:
        return str(self._account.address)

    def sign_transaction(self, transaction: dict[str, Any]) -> SignedTransaction:
        signed = self._account.sign_transaction(transaction)
        return SignedTransaction(bytes(signed.raw_transaction), bytes(signed.hash))

    def sign_typed_data(self, message: dict[str, Any]) -> bytes:
        return bytes(self._account.sign_typed_data(full_message=message).signature)


def measure_serving(name: str, models: Path, answers: int, tokens: int) -> dict[str, Any]:
    """Median seconds to generate an answer and to place, write down and sign its receipt (SQLite on disk)."""
    executor = Executor(load_model(name, models=models))
    prompt = list(range(1, 17))
    executor.generate(prompt, 2, end_ids=())
    generation, receipts = [], []
    with tempfile.TemporaryDirectory() as folder:
        signer = MemorySigner()
        desk = ReceiptDesk(
            Journal(open_engine(f"sqlite:///{folder}/node.db")),
            signer,
            Issuer(CHAIN_ID, LEDGER, LEDGER, signer.address, bytes(range(32))),
            BatchTerms(interval_s=30, posting_window_s=60, largest=1000),
            now=lambda: int(time.time()),
        )
        desk.issue(prompt, [1], 1, "length")
        for _ in range(answers):
            started = time.perf_counter()
            output = executor.generate(prompt, tokens, end_ids=()).ids
            generation.append(time.perf_counter() - started)
            receipts.append(desk.issue(prompt, output, tokens, "length").seconds)
    generation_s, receipt_s = statistics.median(generation), statistics.median(receipts)
    return {
        "model": name,
        "answers": answers,
        "tokens": tokens,
        "generation_s": round(generation_s, 4),
        "receipt_s": round(receipt_s, 5),
        "overhead_percent": round(100 * receipt_s / generation_s, 3),
    }
