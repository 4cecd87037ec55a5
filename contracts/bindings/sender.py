"""Sends every intended transaction exactly once, whatever is killed, dropped or reorganised meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from sqlalchemy import Engine

from .chain import Chain, TransactionReceipt
from .contract import Call
from .elapsed import Elapsed
from .errors import (
    BindingsError,
    ContractError,
    InsufficientFunds,
    LeaseLost,
    Overtaken,
    RpcRefused,
    TransactionTimedOut,
)
from .fees import NO_FUNDS, FeePolicy, Prices
from .journal import COMMAND_S, FINISHED, Attempt, Intent, IntentStatus, Journal, SqlJournal
from .journal_engine import open_journal_engine
from .keys import Signer
from .lease import Lease, heartbeat
from .results import Mined, Results

_TRANSFERABLE = ("already known", "known transaction", "already imported", "alreadyknown")
_NONCE_USED = ("nonce too low", "nonce is too low", "already been used", "oldnonce")
_UNDERPRICED = ("underpriced", "fee too low", "max fee per gas less than block base fee", "gas price below")
_INDEX_LAG_S = 600
_REMEMBERED_S = 3600  # how long a finished command that nobody was told of is remembered, by the chain's time
_HAND_OVER_AGAIN_S = 2.0  # a node may have dropped what it was given
_REQUESTS_AT_ONCE = 8
_MOST_TAKEN_BACK = 64  # a step's worth; the next one goes on
_T = TypeVar("_T")


class Sender:
    """Sends for one account. Any number of threads, and of processes on one journal, may do so at once.

    An intent is journalled, then signed, then the signed transaction is journalled, then sent: a kill
    between any two of these is repaired by `recover` (or the next `send` with the same key), which reads
    the chain before it does anything. Nonces are given out and transactions signed only under the journal's
    signing lease; nothing else waits for it.
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
        self.prices = Prices(chain, signer.address, fees or FeePolicy())
        self._results = Results(chain, signer.address, poll_s)
        self._poll_s = poll_s
        self._signing_lock = threading.Lock()  # threads queue here, processes at the journal's lease
        self._handed_over: dict[int, float] = {}  # intent -> when its transaction was last given to the node
        self._waiting, self._unindexed = Elapsed(), Elapsed()  # both by the hash of a signed transaction
        #: Told of every transaction that is mined and confirmed, reverted ones too, before it is written down as
        #: finished: after a kill in between it is told again.
        self.on_mined: Callable[[Intent, TransactionReceipt], None] | None = None

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

    def send_next(self, call: Call, name: str, *, timeout_s: float = 120.0) -> Mined:
        """Make `call` happen again, unless something of this name is under way: then wait for that.

        Choosing the key and planning is one step of the journal. For calls whose effect the contract itself
        takes only once: the caller has seen that it is missing, but another process may just have made it.
        """
        return self.wait(self.submit_next(call, name), timeout_s=timeout_s)

    def submit_next(self, call: Call, name: str) -> int:
        """Like `send_next`, without waiting; the intent's id for `wait`."""
        intent = self.journal.plan_next(name, call)
        _raise_error(self._carry_on([intent]).get(intent.id))
        return intent.id

    def send_by_hand(self, call: Call, name: str, *, timeout_s: float = 120.0) -> tuple[Mined, bool]:
        """What a person's command sends. Two equal commands are two effects, at the same time or one after the
        other; but one that was interrupted before its end is carried on by the next equal one (True)."""
        intent, lease, carried_on = self.journal.plan_by_hand(name, call, self._is_long_over)
        with heartbeat(self.journal.leases, lease, COMMAND_S / 5, on_loss=lambda: None):
            try:
                _raise_error(self._carry_on([intent]).get(intent.id))
                mined = self.wait(intent.id, timeout_s=timeout_s)
            except ContractError:
                self.journal.told(lease)
                raise
            self.journal.told(lease)
            return mined, carried_on

    def _is_long_over(self, intent: Intent) -> bool:
        """Whether a finished command is too old to be what an equal one repeats. Only the chain's time counts: a clock that
        jumps would forget it, and its repetition happen twice."""
        head = self.chain.head()
        if intent.mined_block is None or intent.mined_block > head.number:
            return False
        return head.timestamp - self.chain.block(intent.mined_block).timestamp > _REMEMBERED_S

    def submit(self, call: Call, key: str) -> int:
        """Journal, sign and send without waiting; the intent's id for `wait`."""
        (outcome,) = self.submit_all([(call, key)])
        if isinstance(outcome, BindingsError):
            raise outcome
        return outcome

    def submit_all(self, moves: Sequence[tuple[Call, str]]) -> list[int | BindingsError]:
        """Journal, sign with consecutive nonces and send many (call, key) pairs without waiting.

        Per pair the intent's id, or why it was not sent: a refused one does not stop the others.
        """
        intents = [self.journal.plan(key, call) for call, key in moves]
        failures = self._carry_on([intent for intent in intents if intent.status not in FINISHED])
        return [failures.get(intent.id, intent.id) for intent in intents]

    def wait(self, intent_id: int, *, timeout_s: float = 120.0) -> Mined:
        """Until mined and confirmed, bumping the fee now and then."""
        (outcome,) = self.wait_all([intent_id], timeout_s=timeout_s)
        if isinstance(outcome, BindingsError):
            raise outcome
        return outcome

    def wait_all(self, intent_ids: Sequence[int], *, timeout_s: float = 120.0) -> list[Mined | BindingsError]:
        """Until each is mined and confirmed, or has failed; one poll for all of them."""
        until, pause = time.monotonic() + timeout_s, self._poll_s
        failures: dict[int, BindingsError] = {}
        while True:
            intents = {number: self.journal.get(number) for number in intent_ids}
            waiting = [i for i in intents.values() if i.status not in FINISHED and i.id not in failures]
            if waiting:
                failures |= self._carry_on(waiting)
                intents |= {i.id: self.journal.get(i.id) for i in waiting}
                waiting = [
                    i for i in waiting if intents[i.id].status not in FINISHED and i.id not in failures
                ]
            if not waiting:
                break
            if time.monotonic() > until:
                failures |= {i.id: self._timed_out(i, timeout_s) for i in waiting}
                break
            time.sleep(pause)
            pause = min(pause * 1.5, 20 * self._poll_s)
        done = [intents[number] for number in dict.fromkeys(intent_ids) if number not in failures]
        results = dict(zip((i.id for i in done), self._in_parallel(self._results.of, done), strict=True))
        return [failures.get(number) or results[number] for number in intent_ids]

    def recover(self) -> list[Intent]:
        """Carry every unfinished intent one step on; call it at start and now and then.

        An intent that the contract would refuse by now becomes `refused`; other failures leave it as it
        is, for the next time. Returns what is still unfinished.
        """
        failures = self._carry_on(self.journal.unfinished())
        for failure in failures.values():
            if not isinstance(failure, ContractError | InsufficientFunds | RpcRefused):
                raise failure
        return self.journal.unfinished()

    def comes_back(self, key: str) -> bool:
        """Whether what was sent under `key` is on its way (again): not finished yet, or finished but taken back by a reorganisation, so
        that its nonce is free.

        It is then sent again as it was signed, never anew under another key: nothing behind its nonce is mined before it, so
        whoever plans it afresh does it twice.
        """
        intent = self.journal.find(key)
        if intent is None or intent.nonce is None or not intent.attempts:
            return False
        if intent.status in FINISHED:
            used = self.chain.nonce(self.address)
            if used > intent.nonce or self._results.receipt(intent) is not None:
                return False
            self._carry_on(self._taken_back(used, intent.nonce + 1))  # what fails stays in the journal
            return True
        self._carry_on([intent])
        return self.journal.get(intent.id).status not in FINISHED

    def is_replaced(self, key: str) -> bool:
        """Whether something else was mined, and confirmed, with the nonce of what was sent under `key`: a reorganisation took that
        back, and it can never be mined again. Only what the chain shows counts, not that a receipt is missing."""
        intent = self.journal.find(key)
        if intent is None or intent.nonce is None or not intent.attempts:
            return False
        try:
            taker = self.chain.transaction_at_nonce(self.address, intent.nonce)
        except RpcRefused:  # the node has forgotten the states of that time
            return False
        if taker is None or taker.hash in {attempt.hash for attempt in intent.attempts}:
            return False
        return self.chain.is_confirmed(taker.block_number, self._confirmations)

    def mined_in(self, key: str) -> int | None:
        """The block in which the chain has what was sent under `key` now, whatever the journal says."""
        intent = self.journal.find(key)
        receipt = None if intent is None else self._results.receipt(intent)
        return None if receipt is None else receipt.block_number

    # --- one step of many intents; each can be repeated at will

    def _carry_on(self, intents: Sequence[Intent]) -> dict[int, BindingsError]:
        """One step of each; per intent that failed, why."""
        failures: dict[int, BindingsError] = {}
        open_ones = {intent.id: intent for intent in intents if intent.status not in FINISHED}
        planned = [i for i in open_ones.values() if i.status is IntentStatus.PLANNED]
        sent = [i for i in open_ones.values() if i.status is not IntentStatus.PLANNED]
        try:
            if any(intent.status is IntentStatus.SIGNED for intent in sent):
                # Read before any receipt: a nonce that is used now has its receipt by the time we look.
                used = self.chain.nonce(self.address)
                sent = self._with_blockers(sent, used)
            else:
                used = 0
        except BindingsError as error:
            return dict.fromkeys(open_ones, error)
        seen = self._in_parallel(lambda intent: self._look_for(intent, used), sent)
        for intent, receipt in zip(sent, seen, strict=True):
            try:
                if isinstance(receipt, BindingsError):
                    raise receipt
                if self._advance(intent, used, receipt).status is IntentStatus.PLANNED:
                    planned.append(self.journal.get(intent.id))
            except (Overtaken, LeaseLost):
                continue
            except BindingsError as error:
                failures[intent.id] = error
        if planned:
            failures |= self._sign_planned(planned)
        return failures

    def _with_blockers(self, sent: list[Intent], used: int) -> list[Intent]:
        """Also what holds a lower nonce, once ours have waited long: nothing is mined before it is. A reorganisation deeper
        than the confirmations can take back what is finished, and a node need not keep what it took back."""
        ours = [i for i in sent if i.status is IntentStatus.SIGNED and i.nonce is not None]
        if not any([self._has_waited(i.attempts[0]) for i in ours]) or any(i.nonce == used for i in ours):
            return sent
        known, highest = {intent.id for intent in sent}, max(i.nonce or 0 for i in ours)
        lower = [
            i
            for i in self.journal.unfinished()
            if i.status is IntentStatus.SIGNED and i.id not in known and (i.nonce or 0) < highest
        ]
        lowest = min(i.nonce or 0 for i in [*ours, *lower])
        return self._taken_back(used, lowest) + self._filled(used, lowest) + lower + sent

    def _taken_back(self, used: int, lowest: int) -> list[Intent]:
        """Finished intents whose nonces the chain waits for, in front of `lowest`; their signed transactions are sent again.

        The account's nonce alone could be that of an endpoint that is behind: there is to be no receipt either. Where there is
        one after all, the intent is found mined at the next step, as after a kill."""
        found = (
            self.journal.finished_at(nonce) for nonce in range(used, min(lowest, used + _MOST_TAKEN_BACK))
        )
        reopened = []
        for intent in found:
            if intent is not None and intent.attempts and self._results.receipt(intent) is None:
                with suppress(Overtaken):  # another process was faster
                    reopened.append(self.journal.reopen(intent))
        return reopened

    def _filled(self, used: int, lowest: int) -> list[Intent]:
        """Empty transactions at the nonces in front of `lowest` that the chain waits for and this journal knows nothing of.

        An endpoint that named too high a nonce leaves such a gap, and so does a reorganisation that took back what another program
        sent with this key: nothing behind it would ever be mined. What waits there already is left to be mined.
        """
        nonces = range(used, min(lowest, used + _MOST_TAKEN_BACK))
        signed = {intent.nonce for intent in self.journal.unfinished()}
        unknown = [n for n in nonces if n not in signed and self.journal.finished_at(n) is None]
        if not unknown or self.chain.nonce(self.address, pending=True) > used:
            return []
        filled = []
        fees = self.prices.now()
        for nonce in unknown:
            call = Call(
                self.address, b"", 0, f"an empty transaction, which frees what waits behind nonce {nonce}"
            )
            gas = self.prices.gas(call)
            with self._signing() as lease:
                intent = self.journal.plan(f"fill nonce {nonce}", call)
                if intent.status is IntentStatus.PLANNED:
                    filled.append(self._sign(intent, nonce, gas, fees, None, lease))
        return filled

    def _look_for(self, intent: Intent, used: int) -> TransactionReceipt | BindingsError | None:
        """The receipt of an intent, if it can have one."""
        try:
            if intent.status is IntentStatus.MINED:
                assert intent.mined_hash is not None
                return self.chain.receipt(intent.mined_hash)
            assert intent.nonce is not None
            return self._results.receipt(intent) if used > intent.nonce else None
        except BindingsError as error:
            return error

    def _advance(self, intent: Intent, used: int, receipt: TransactionReceipt | None) -> Intent:
        """One step of an intent that was signed. `used`: the account's next nonce, read before its receipt."""
        if intent.status is IntentStatus.MINED:
            return self._confirm(intent, receipt)
        assert intent.nonce is not None
        if used > intent.nonce:
            if receipt is not None:
                mined = self.journal.set_mined(intent, receipt.transaction_hash, receipt.block_number)
                return self._confirm(mined, receipt)
            return self._take_new_nonce(intent)
        self._unindexed.forget(attempt.hash for attempt in intent.attempts)
        if time.monotonic() - self._handed_over.get(intent.id, -_HAND_OVER_AGAIN_S) < _HAND_OVER_AGAIN_S:
            return self._broadcast(intent) if self._has_waited(intent.attempts[-1]) else intent
        return self._broadcast(intent)

    def _sign_planned(self, intents: Sequence[Intent]) -> dict[int, BindingsError]:
        """Give nonces to intents that have none, sign and send them. Per intent that failed, why."""
        failures: dict[int, BindingsError] = {}
        gas = dict(zip((i.id for i in intents), self._in_parallel(self._gas_or_error, intents), strict=True))
        for intent in intents:
            if isinstance(error := gas[intent.id], BindingsError) and not self._refuse(intent, error):
                failures[intent.id] = error
        ready = {intent.id: intent for intent in intents if isinstance(gas[intent.id], int)}
        if not ready:
            return failures
        signed: list[Intent] = []
        try:
            fees = self.prices.now()
            with self._signing() as lease:
                waiting = self.journal.highest_nonce()
                nonce = max(
                    self.chain.nonce(self.address, pending=True), -1 if waiting is None else waiting + 1
                )
                for number in ready:
                    intent = self.journal.get(number)
                    if intent.status is not IntentStatus.PLANNED:
                        continue  # another process was faster
                    units = gas[number]
                    assert isinstance(units, int)
                    try:
                        signed.append(self._sign(intent, nonce, units, fees, None, lease))
                    except LeaseLost:
                        break  # the rest stays planned, for the next step
                    except Overtaken:
                        continue
                    except BindingsError as error:
                        failures[number] = error
                        continue
                    nonce += 1
        except LeaseLost:
            pass
        except BindingsError as error:
            failures |= dict.fromkeys(ready.keys() - {intent.id for intent in signed}, error)
        for intent, failure in zip(signed, self._in_parallel(self._broadcast_or_error, signed), strict=True):
            if failure is not None:
                failures[intent.id] = failure
        return failures

    @contextmanager
    def _signing(self) -> Iterator[Lease]:
        with self._signing_lock:
            lease = self.journal.take_signing_lease()
            try:
                yield lease
            finally:
                self.journal.release_signing_lease(lease)

    # Only questions to the chain are asked in parallel: one thread writes the journal (but for a replacement).

    def _in_parallel(self, act: Callable[[Intent], _T], intents: Sequence[Intent]) -> list[_T]:
        if len(intents) <= 1:
            return [act(intent) for intent in intents]
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(act, intents))

    def _gas_or_error(self, intent: Intent) -> int | BindingsError:
        try:
            return self.prices.gas(intent.call)
        except BindingsError as error:
            return error

    def _refuse(self, intent: Intent, error: BindingsError) -> bool:
        """Write down that the contract refuses. True when another process has sent this very intent meanwhile: then
        that is why."""
        if not isinstance(error, ContractError):
            return False
        try:
            self.journal.finish(intent, IntentStatus.REFUSED, str(error))
        except Overtaken:
            return self.journal.get(intent.id).status is not IntentStatus.REFUSED
        return False

    def _broadcast_or_error(self, intent: Intent) -> BindingsError | None:
        try:
            self._broadcast(intent)
        except (Overtaken, LeaseLost):
            return None
        except BindingsError as error:
            return error
        return None

    def _sign(
        self,
        intent: Intent,
        nonce: int,
        gas: int,
        fees: tuple[int, int],
        minimum: Attempt | None,
        lease: Lease,
    ) -> Intent:
        """Sign at these fees (and above those of the attempt to replace); journalled before it is sent."""
        highest, priority = fees
        if minimum is not None:
            priority = max(priority, self.prices.bumped(minimum.priority_fee_wei))
            highest = max(highest, self.prices.bumped(minimum.max_fee_wei))
        highest = max(min(highest, self.prices.policy.highest_fee_wei), 1)
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
        return self.journal.add_attempt(intent, nonce, attempt, lease)

    def _broadcast(self, intent: Intent) -> Intent:
        """Hand the newest attempt to the node, replacing it first when it has waited too long."""
        newest = intent.attempts[-1]
        may_bump = self.prices.bumped(newest.max_fee_wei) <= self.prices.policy.highest_fee_wei
        if self._has_waited(newest) and may_bump:
            intent = self._replace(intent)
            if intent.status is not IntentStatus.SIGNED:
                return intent
        try:
            self.chain.send_raw(intent.attempts[-1].raw)
        except RpcRefused as error:
            reason = error.rpc_message.lower()
            if any(text in reason for text in _TRANSFERABLE + _NONCE_USED):
                self._handed_over[intent.id] = time.monotonic()
                return intent  # it is there already; the next step reads the chain
            if any(text in reason for text in _UNDERPRICED) and may_bump:
                return self._replace(intent)
            if any(text in reason for text in NO_FUNDS):
                raise self.prices.too_poor(intent.call) from error
            raise
        self._handed_over[intent.id] = time.monotonic()
        return intent

    def _has_waited(self, attempt: Attempt) -> bool:
        """Whether it is time to offer more for it, or to look for what it waits for."""
        return self._waiting.is_older(attempt.hash, attempt.signed_at, self.prices.policy.bump_after_s)

    def _replace(self, intent: Intent) -> Intent:
        assert intent.nonce is not None
        try:
            gas = self.prices.gas(intent.call)
        except ContractError:
            # It would revert now, but the earlier attempt may be mined before what made it so: keep it.
            return intent
        fees = self.prices.now()
        with self._signing() as lease:
            now = self.journal.get(intent.id)
            if now.status is not IntentStatus.SIGNED or now.attempts != intent.attempts:
                return now  # another process replaced it meanwhile
            return self._sign(now, intent.nonce, gas, fees, now.attempts[-1], lease)

    def _take_new_nonce(self, intent: Intent) -> Intent:
        """The nonce is used, but no receipt is known. A node may count a transaction before it shows its
        receipt, so the intent starts afresh only when a foreign transaction is seen in its place, deep enough
        that no reorganisation brings ours back."""
        assert intent.nonce is not None
        missing_s = self._unindexed.seen_s(intent.attempts[-1].hash)
        try:
            taker = self.chain.transaction_at_nonce(self.address, intent.nonce)
        except RpcRefused:
            # The node has forgotten the states of that time. An index does not lag by minutes: if it still
            # does not know our transactions, they were never mined. How long ago they were signed says
            # nothing about that: they may have been mined a moment ago, and the clock may be wrong.
            if missing_s > _INDEX_LAG_S and not any(
                self.chain.knows(attempt.hash) for attempt in intent.attempts
            ):
                return self._release_nonce(intent)
            return intent
        if taker is None or taker.hash in {attempt.hash for attempt in intent.attempts}:
            return intent  # ours: its receipt will show up
        if not self.chain.is_confirmed(taker.block_number, self._confirmations):
            return intent
        return self._release_nonce(intent)

    def _release_nonce(self, intent: Intent) -> Intent:
        with self._signing() as lease:
            now = self.journal.get(intent.id)
            if now.status is not IntentStatus.SIGNED or now.attempts != intent.attempts:
                return now  # another process signed again: what was seen of the chain says nothing about that
            self._forget(now)
            return self.journal.release_nonce(now, lease)

    def _confirm(self, intent: Intent, receipt: TransactionReceipt | None) -> Intent:
        if receipt is None:
            self._handed_over.pop(intent.id, None)
            self._forget(intent)
            return self.journal.set_unmined(intent)
        if not self.chain.is_confirmed(receipt.block_number, self._confirmations):
            return intent
        self._handed_over.pop(intent.id, None)
        self._forget(intent)
        if self.on_mined is not None:
            self.on_mined(intent, receipt)
        if receipt.succeeded:
            return self.journal.finish(intent, IntentStatus.CONFIRMED)
        return self.journal.finish(
            intent, IntentStatus.REVERTED, str(self._results.why_reverted(intent, receipt))
        )

    def _forget(self, intent: Intent) -> None:
        hashes = [attempt.hash for attempt in intent.attempts]
        self._waiting.forget(hashes)
        self._unindexed.forget(hashes)

    def _timed_out(self, intent: Intent, timeout_s: float) -> TransactionTimedOut:
        return TransactionTimedOut(
            f"{intent.call.description} was not mined within {timeout_s:.0f} s; it stays in the "
            "journal and is carried on later. Check the fee limit and the RPC endpoint."
        )


def _raise_error(error: BindingsError | None) -> None:
    if error is not None:
        raise error


def open_sender(
    chain: Chain, signer: Signer, database_url: str, *, confirmations: int = 0, fees: FeePolicy | None = None
) -> Sender:
    """A sender whose journal is in this database (`sqlite:///...`, `postgresql://...`)."""
    return sender_on_engine(
        chain, signer, open_journal_engine(database_url), confirmations=confirmations, fees=fees
    )


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
