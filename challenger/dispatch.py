"""Transactions on their way: all that are due are submitted first, then awaited together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from contracts.bindings.contract import Call
from contracts.bindings.errors import (
    BindingsError,
    ContractError,
    InsufficientFunds,
    ReceiptMissing,
    RpcRefused,
    TransactionTimedOut,
)
from contracts.bindings.journal import IntentStatus
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender

from .budgets import Budgets

log = structlog.get_logger(__name__)
_LOOK_AGAIN_S = 5.0  # a node may have dropped one without mining a block

#: Called once with how it ended: mined and confirmed, or refused by the contract.
Done = Callable[[Mined | ContractError], None]


@dataclass(frozen=True)
class _Sent:
    intent_id: int
    done: Done


class Dispatcher:
    """Used by the game loop only, which owns all sending."""

    def __init__(self, sender: Sender, budgets: Budgets | None = None) -> None:
        self.sender, self._budgets = sender, budgets
        if budgets is not None:
            sender.on_mined = budgets.paid
        self._on_the_way: dict[str, _Sent] = {}
        self._looked_at_block, self._looked_at_s = -1, 0.0

    @property
    def count(self) -> int:
        return len(self._on_the_way)

    def carries(self, key: str) -> bool:
        return key in self._on_the_way

    def key_of(self, name: str) -> str:
        """The journal key for something that the chain says is still to be done: its name, or with a number when it was
        confirmed under that name before and something else took its nonce after a reorganisation."""
        key, number = name, 0
        while (
            (intent := self.sender.journal.find(key)) is not None
            and intent.status is IntentStatus.CONFIRMED
            and not self.sender.comes_back(key)
        ):
            number += 1
            key = f"{name} again {number}"
        return key

    def submit(self, call: Call, key: str, done: Done) -> None:
        """Journal, sign and send; `done` is called from a later `collect`. Raises `OverBudget` and what
        `Sender.submit` raises."""
        if key not in self._on_the_way:
            if self._budgets is not None:
                self._budgets.take(key, call)
            try:
                intent_id = self.sender.submit(call, key)
            except ContractError as refused:
                if self._budgets is not None:
                    self._budgets.ended(key, refused)  # nothing was sent, so nothing is at risk
                raise
            self._on_the_way[key] = _Sent(intent_id, done)

    def collect(self) -> int:
        """See what became of everything, once per block; the number that came to an end."""
        if not self._on_the_way:
            return 0
        block = self.sender.chain.head().number
        if block == self._looked_at_block and time.monotonic() - self._looked_at_s < _LOOK_AGAIN_S:
            return 0
        self._looked_at_block, self._looked_at_s = block, time.monotonic()
        ended = 0
        for key, sent in list(self._on_the_way.items()):
            result: Mined | ContractError
            try:
                result = self.sender.wait(sent.intent_id, timeout_s=0.0)
            except (TransactionTimedOut, InsufficientFunds, RpcRefused) as error:
                # It stays in the journal and is carried on with the next block. One that was confirmed and has no receipt
                # any more was reorganised: whoever wanted it looks at the chain afresh.
                if isinstance(error, ReceiptMissing):
                    del self._on_the_way[key]
                continue
            except ContractError as error:
                result = error
            del self._on_the_way[key]
            ended += 1
            try:
                if self._budgets is not None:
                    self._budgets.ended(key, result)
                sent.done(result)
            except BindingsError:
                raise
            except Exception:
                log.exception("the end of a transaction was not noted", key=key)
        return ended
