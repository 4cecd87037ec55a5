"""A node over the built-in tiny model: real executor, real database, real signatures; no chain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from fastapi import FastAPI
from fastapi.testclient import TestClient

from contracts.bindings.keys import SignedTransaction
from node.api.application import create_application
from node.api_keys import KeyRing
from node.audits.boundaries import BoundaryCommitter
from node.audits.desk import AuditDesk
from node.inference import InferenceQueue
from node.metrics import Metrics
from node.payments.till import Till
from node.receipts import Issuer, ReceiptDesk
from node.records import Records
from node.service import AnswerService, ServedModel
from node.store import AuditBook, Journal, open_engine
from node.store.journal import BatchTerms
from node.texts import Texts
from prover.model.batch import batch_in_memory
from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model.weights import IntegerModel

CHAIN_ID = 31337
LEDGER = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
MODEL_ID = bytes(range(32))


class LocalSigner:
    """A key in memory."""

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


@dataclass
class LocalNode:
    """Everything behind the API."""

    app: FastAPI
    service: AnswerService
    journal: Journal
    issuer: Issuer
    unready: list[str]
    audits: AuditDesk


@pytest.fixture(scope="session")
def tiny() -> IntegerModel:
    return load_model("tiny")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(open_engine(f"sqlite:///{tmp_path}/node.db"))


def build_node(
    model: IntegerModel,
    journal: Journal,
    *,
    generator: Any = None,
    capacity: int = 4,
    signer: LocalSigner | None = None,
    till: Till | None = None,
    boundaries: BoundaryCommitter | None = None,
    most_items: int = 8,
    cors_origins: tuple[str, ...] = (),
    keys: KeyRing | None = None,
    most_answers: int = 20,
) -> LocalNode:
    signer = signer or LocalSigner()
    issuer = Issuer(CHAIN_ID, LEDGER, LEDGER, signer.address, MODEL_ID)
    terms = BatchTerms(interval_s=30, posting_window_s=60, largest=100)
    unready: list[str] = []
    service = AnswerService(
        served=ServedModel(
            "tiny", MODEL_ID, model.tokenizer, model.config.max_positions, int(time.time()), model.logit_scale
        ),
        queue=InferenceQueue(generator, capacity) if generator else batching(model, capacity, boundaries),
        desk=ReceiptDesk(journal, signer, issuer, terms, now=lambda: int(time.time())),
        metrics=Metrics(),
        default_max_tokens=16,
        readiness=lambda: unready[0] if unready else None,
        till=till,
        boundaries=boundaries,
        most_answers=most_answers,
        shares_prompts=boundaries is None,
    )
    book = AuditBook(journal.engine)
    desk = AuditDesk(journal, book, boundaries, lambda: int(time.time()), most_items=most_items)
    texts = Texts(journal, model.tokenizer)
    app = create_application(
        service, Records(journal, issuer, "tiny"), lambda _: {"batches": []}, texts, desk,
        cors_origins=cors_origins, keys=keys,
    )  # fmt: skip
    return LocalNode(app, service, journal, issuer, unready, desk)


def batching(model: IntegerModel, capacity: int, boundaries: BoundaryCommitter | None) -> InferenceQueue:
    """As a provider does it: together, save of a private model."""
    executor = Executor(model)
    batch = None if boundaries is not None else batch_in_memory(executor, 1 << 22, 4)
    return InferenceQueue(executor, capacity, batch, 4)


@pytest.fixture
def node(tiny: IntegerModel, journal: Journal) -> LocalNode:
    return build_node(tiny, journal)


@pytest.fixture
def client(node: LocalNode) -> Iterator[TestClient]:
    with TestClient(node.app, raise_server_exceptions=False) as client:
        yield client


from tests.contracts.local_chain import contracts, deployment, local_chain  # noqa: E402, F401
from tests.node.chain import house, serving  # noqa: E402, F401
