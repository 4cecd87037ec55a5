"""Sends every intended transaction exactly once, whatever is killed, dropped or reorganised meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from .chain import Chain, TransactionReceipt
from .contract import Call
from .errors import ContractError, InsufficientFunds, RpcRefused, TransactionTimedOut
from .journal import FINISHED, Attempt, Intent, IntentStatus, Journal, SqlJournal
from .keys import Signer

_GAS_MARGIN_PERCENT = 125  # the estimate is made against an older state
_TRANSFERABLE = ("already known", "known transaction", "already imported", "alreadyknown")
_NONCE_USED = ("nonce too low", "nonce is too low", "already been used", "oldnonce")
_UNDERPRICED = ("underpriced", "fee too low", "max fee per gas less than block base fee", "gas price below")
_NO_FUNDS = ("insufficient funds",)
_INDEX_LAG_S = 600


@dataclass(frozen=True)
class FeePolicy:
    """How much is offered, and when more. A replacement must offer at least an eighth more."""

    bump_after_s: float = 30.0
    bump_percent: int = 113
    highest_fee_wei: int = 500 * 10**9


@dataclass(frozen=True)
class Mined:
    """A transaction that is in the chain and succeeded."""

    transaction_hash: bytes
    block_number: int
    gas_used: int
    fee_wei: int
    contract_address: str | None
    receipt: TransactionReceipt


class Sender:
    """Owns one account's nonce. One sender per account and journal; its methods may be called from
    several threads.

    An intent is journalled, then signed, then the signed transaction is journalled, then sent: a kill
    between any two of these is repaired by `recover` (or the next `send` with the same key), which reads
    the chain before it does anything.
    """

    def __init__(
        self,
        chain: Chain,
        signer: Signer,
        journal: Journal,
        *,
        confirmations: int = 0,
        fees: FeePolicy | None = None,
        poll_s: float = 0.05,
    ) -> None:
        self.chain = chain
        self.signer = signer
        self.journal = journal
        self._confirmations = confirmations
        self._fees = fees or FeePolicy()
        self._poll_s = poll_s
        self._lock = threading.RLock()

    @property
    def address(self) -> str:
        return self.signer.address

    def send(self, call: Call, key: str, *, timeout_s: float = 120.0) -> Mined:
        """Make `call` happen once under this key, and wait until it is mined (and confirmed).

        A key that succeeded before is not sent again: its result is returned. Raises `ContractError` when
        the contract refuses (then nothing was sent, or it was mined and reverted), `TransactionTimedOut`,
        `InsufficientFunds`, `RpcUnavailable`.
        """
        return self.wait(self.submit(call, key), timeout_s=timeout_s)

    def submit(self, call: Call, key: str) -> int:
        """Journal, sign and send without waiting; the intent's id for `wait`."""
        with self._lock:
            intent = self.journal.plan(key, call)
            if intent.status not in FINISHED:
                self._advance(intent)
            return intent.id

    def wait(self, intent_id: int, *, timeout_s: float = 120.0) -> Mined:
        """Until mined and confirmed, bumping the fee now and then."""
        until, pause = time.monotonic() + timeout_s, self._poll_s
        while True:
            with self._lock:
                intent = self.journal.get(intent_id)
                if intent.status not in FINISHED:
                    intent = self._advance(intent)
            if intent.status in FINISHED:
                return self._result(intent)
            if time.monotonic() > until:
                raise TransactionTimedOut(
                    f"{intent.call.description} was not mined within {timeout_s:.0f} s; it stays in the "
                    "journal and is carried on later. Check the fee limit and the RPC endpoint."
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 20 * self._poll_s)

    def recover(self) -> list[Intent]:
        """Carry every unfinished intent one step on; call it at start and now and then.

        An intent that the contract would refuse by now becomes `refused`; other failures leave it as it
        is, for the next time. Returns what is still unfinished.
        """
        with self._lock:
            for intent in self.journal.unfinished():
                try:
                    self._advance(intent)
                except (ContractError, InsufficientFunds, RpcRefused):
                    continue
            return self.journal.unfinished()

    # --- one step of an intent; each can be repeated at will

    def _advance(self, intent: Intent) -> Intent:
        if intent.status is IntentStatus.MINED:
            return self._confirm(intent)
        if intent.status is IntentStatus.SIGNED:
            used = self.chain.nonce(self.address)
            if (receipt := self._find_receipt(intent)) is not None:
                mined = self.journal.set_mined(intent.id, receipt.transaction_hash, receipt.block_number)
                return self._confirm(mined)
            assert intent.nonce is not None
            if used > intent.nonce:
                return self._take_new_nonce(intent)
            return self._broadcast(intent)
        return self._sign_first(intent)

    def _sign_first(self, intent: Intent) -> Intent:
        try:
            gas = self._estimate_gas(intent.call)
        except ContractError as error:
            self.journal.finish(intent.id, IntentStatus.REFUSED, str(error))
            raise
        waiting = self.journal.highest_nonce()
        nonce = max(self.chain.nonce(self.address, pending=True), -1 if waiting is None else waiting + 1)
        return self._broadcast(self._sign(intent, nonce, gas, minimum=None))

    def _sign(self, intent: Intent, nonce: int, gas: int, minimum: Attempt | None) -> Intent:
        """Sign at today's fees (and above those of the attempt to replace); journalled before it is sent."""
        priority = self.chain.priority_fee_wei()
        highest = 2 * self.chain.head().base_fee_wei + priority
        if minimum is not None:
            priority = max(priority, self._bumped(minimum.priority_fee_wei))
            highest = max(highest, self._bumped(minimum.max_fee_wei))
        highest = max(min(highest, self._fees.highest_fee_wei), 1)
        priority = min(priority, highest)
        transaction = {
            "type": 2,
            "chainId": self.chain.chain_id,
            "from": self.address,
            "nonce": nonce,
            "to": intent.call.to,
            "value": intent.call.value_wei,
            "data": intent.call.data,
            "gas": gas,
            "maxFeePerGas": highest,
            "maxPriorityFeePerGas": priority,
        }
        if intent.call.to is None:
            del transaction["to"]
        signed = self.signer.sign_transaction(transaction)
        attempt = Attempt(signed.hash, signed.raw, highest, priority, time.time())
        return self.journal.add_attempt(intent.id, nonce, attempt)

    def _broadcast(self, intent: Intent) -> Intent:
        """Hand the newest attempt to the node, replacing it first when it has waited too long."""
        newest = intent.attempts[-1]
        waited = time.time() - newest.signed_at
        may_bump = self._bumped(newest.max_fee_wei) <= self._fees.highest_fee_wei
        if waited > self._fees.bump_after_s and may_bump:
            intent = self._replace(intent)
        try:
            self.chain.send_raw(intent.attempts[-1].raw)
        except RpcRefused as error:
            reason = error.rpc_message.lower()
            if any(text in reason for text in _TRANSFERABLE + _NONCE_USED):
                return intent  # it is there already; the next step reads the chain
            if any(text in reason for text in _UNDERPRICED) and may_bump:
                return self._replace(intent)
            if any(text in reason for text in _NO_FUNDS):
                raise self._too_poor(intent.call) from error
            raise
        return intent

    def _replace(self, intent: Intent) -> Intent:
        assert intent.nonce is not None
        try:
            gas = self._estimate_gas(intent.call)
        except ContractError:
            # It would revert now, but the earlier attempt may be mined before what made it so: keep it.
            return intent
        return self._sign(intent, intent.nonce, gas, minimum=intent.attempts[-1])

    def _take_new_nonce(self, intent: Intent) -> Intent:
        """The nonce is used, but no receipt is known. A node may count a transaction before it shows its
        receipt, so the intent starts afresh only when a foreign transaction is seen in its place, deep enough
        that no reorganisation brings ours back."""
        assert intent.nonce is not None
        try:
            taker = self.chain.transaction_at_nonce(self.address, intent.nonce)
        except RpcRefused:
            # The node has forgotten the states of that time. An index does not lag by minutes: if it still
            # does not know our transactions, they were never mined.
            forgotten = time.time() - intent.attempts[-1].signed_at > _INDEX_LAG_S
            if forgotten and not any(self.chain.knows(attempt.hash) for attempt in intent.attempts):
                return self._sign_first(self.journal.release_nonce(intent.id))
            return intent
        if taker is None or taker.hash in {attempt.hash for attempt in intent.attempts}:
            return intent  # ours: its receipt will show up
        if self._confirmations and self.chain.head().number < taker.block_number + self._confirmations:
            return intent
        return self._sign_first(self.journal.release_nonce(intent.id))

    def _confirm(self, intent: Intent) -> Intent:
        assert intent.mined_hash is not None
        receipt = self.chain.receipt(intent.mined_hash)
        if receipt is None:
            return self.journal.set_unmined(intent.id)
        if self._confirmations and self.chain.head().number < receipt.block_number + self._confirmations:
            return intent
        if receipt.succeeded:
            return self.journal.finish(intent.id, IntentStatus.CONFIRMED)
        return self.journal.finish(intent.id, IntentStatus.REVERTED, str(self._why_reverted(intent, receipt)))

    # --- reading

    def _result(self, intent: Intent) -> Mined:
        if intent.status is IntentStatus.REFUSED:
            raise ContractError("Refused", {}, intent.error or "", intent.call.description)
        assert intent.mined_hash is not None
        receipt = self._receipt_of(intent.mined_hash)
        if receipt is None:
            raise TransactionTimedOut(
                f"{intent.call.description} was confirmed, but the RPC endpoint no longer has its receipt; "
                "send it again under the same key once the endpoint has caught up."
            )
        if intent.status is IntentStatus.REVERTED:
            raise self._why_reverted(intent, receipt)
        return Mined(
            transaction_hash=intent.mined_hash,
            block_number=receipt.block_number,
            gas_used=receipt.gas_used,
            fee_wei=receipt.gas_used * receipt.effective_gas_price_wei,
            contract_address=receipt.contract_address,
            receipt=receipt,
        )

    def _receipt_of(self, transaction_hash: bytes) -> TransactionReceipt | None:
        """Asked a few times: behind one URL there may be nodes that lag."""
        for _ in range(20):
            if (receipt := self.chain.receipt(transaction_hash)) is not None:
                return receipt
            time.sleep(self._poll_s)
        return None

    def _find_receipt(self, intent: Intent) -> TransactionReceipt | None:
        receipts = (self.chain.receipt(attempt.hash) for attempt in reversed(intent.attempts))
        return next((receipt for receipt in receipts if receipt is not None), None)

    def _why_reverted(self, intent: Intent, receipt: TransactionReceipt) -> ContractError:
        """The contract's reason, by running the call again on the state before the block."""
        call = intent.call
        if call.to is not None:
            try:
                self.chain.call(
                    call.to,
                    call.data,
                    block=max(0, receipt.block_number - 1),
                    sender=self.address,
                    value_wei=call.value_wei,
                    description=call.description,
                )
            except ContractError as error:
                return error
        return ContractError("Reverted", {}, "it no longer fitted when it was mined", call.description)

    def _estimate_gas(self, call: Call) -> int:
        try:
            gas = self.chain.estimate_gas(
                call.to,
                call.data,
                sender=self.address,
                value_wei=call.value_wei,
                description=call.description,
            )
        except RpcRefused as error:
            if any(text in error.rpc_message.lower() for text in _NO_FUNDS):
                raise self._too_poor(call) from error
            raise
        return gas * _GAS_MARGIN_PERCENT // 100

    def _too_poor(self, call: Call) -> InsufficientFunds:
        return InsufficientFunds(
            f"{self.address} cannot pay for {call.description}; send it some ether. "
            "The transaction stays in the journal."
        )

    def _bumped(self, fee_wei: int) -> int:
        return fee_wei * self._fees.bump_percent // 100 + 1


def open_sender(
    chain: Chain, signer: Signer, database_url: str, *, confirmations: int = 0, fees: FeePolicy | None = None
) -> Sender:
    """A sender whose journal is in this database (`sqlite:///...`, `postgresql+psycopg://...`)."""
    return sender_on_engine(chain, signer, _open_engine(database_url), confirmations=confirmations, fees=fees)


def _open_engine(database_url: str) -> Engine:
    """SQLite with a write-ahead log that reaches the disk before a commit returns."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import StaticPool

    if not database_url.startswith("sqlite"):
        return create_engine(database_url)
    in_memory = database_url in ("sqlite://", "sqlite:///:memory:")
    engine = create_engine(
        database_url,
        connect_args={"check_same_thread": False, "timeout": 30},
        # One connection for all threads: each connection to ":memory:" would be a database of its own.
        **({"poolclass": StaticPool} if in_memory else {}),
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def sender_on_engine(
    chain: Chain,
    signer: Signer,
    engine: Engine,
    *,
    confirmations: int = 0,
    fees: FeePolicy | None = None,
    create_tables: bool = True,
) -> Sender:
    """A sender whose journal shares a program's own database."""
    scope = f"{chain.chain_id}:{chain.genesis_hash.hex()}:{signer.address}"
    journal = SqlJournal(engine, scope, create_tables=create_tables)
    return Sender(chain, signer, journal, confirmations=confirmations, fees=fees)
