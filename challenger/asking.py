"""Asks for what providers hide, by its place alone, and fetches what was not shown in time.

An ask costs its price. The provider gets it when it shows the response, on chain and for everybody; otherwise the
response is void and the asker gets the price back and is paid like a game. So hiding is never cheaper than showing,
and looking never costs a bond. `Wishes` chooses what to ask for, beside the games; `Asker` sends, as part of the game
loop and behind all moves and openings.
"""

from __future__ import annotations

import hmac
import random
import time
from collections.abc import Callable, Iterable
from hashlib import sha256

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.log_setup import told_of
from contracts.bindings.results import Mined
from contracts.protocol.ether import LARGEST_WEI

from .dispatch import Dispatcher
from .local_models import ModelFinder
from .pace import backoff_s, next_try
from .policies import Candidate, Policy, drawn, ticket_of
from .store import BatchRow, Store
from .tables import AskedRow, AskingRow

log = structlog.get_logger(__name__)
#: What a challenger asks for per challenge window unless it is told otherwise.
DEFAULT_ASKS_PER_WINDOW = 25
_PLACES_LOOKED_AT = 1 << 16  # of one batch, which may say that it holds 2^32 - 1 responses
_SENT_PER_ROUND = 4  # moves come first again after each round
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0
#: Somebody else was faster; what it shows is shown to everybody.
_ASKED_BY_OTHERS = ("AlreadyAsked", "AlreadyShown")


class Wishes:
    """Chooses what to ask for: drawn responses whose ids are withheld at once, and responses of batches that are
    not listed when half of the window is over. `now` is the chain's time, `most` what one window's budget buys."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        store: Store,
        models: ModelFinder,
        policy: Policy,
        now: Callable[[], int],
        window_s: int,
        most: int,
    ) -> None:
        self._contracts, self._store, self._models, self._policy = contracts, store, models, policy
        self._now, self._window_s, self._most = now, window_s, most
        self._secret = store.secret()
        # By number and root: a reorganisation changes numbers, and anybody may post one root several times.
        self._chosen: set[tuple[int, bytes]] = set()
        self._rewinds = store.rewinds

    def choose(self) -> bool:
        """Note down what is to be asked for; what is noted already stays as it is. Whether there was anything new."""
        now = self._now()
        if self._rewinds != self._store.rewinds:  # wishes went with their batches, which may be there again
            self._rewinds = self._store.rewinds
            self._chosen.clear()
        wishes = [
            AskingRow(
                batch_id=row.batch_id,
                index=row.index,
                provider=row.provider,
                deadline=row.deadline,
                ticket=row.ticket,
            )
            for row in self._store.asks.withheld(now)
        ]
        for batch in self._store.batches("new"):
            is_due = now <= batch.deadline and batch.deadline - now <= self._window_s / 2
            if (
                is_due
                and (batch.batch_id, batch.root) not in self._chosen
                and self._models.find(batch.model_id) is not None
            ):
                wishes += self._hidden(batch)
                self._chosen.add((batch.batch_id, batch.root))
        return self._store.asks.add_wishes(wishes) > 0

    def _hidden(self, batch: BatchRow) -> list[AskingRow]:
        """Responses of which nobody shows the leaf, drawn like any other. What is not known of them is taken for
        the worst (the highest fee), so that hiding them is no way around a policy."""
        known = self._store.known_responses(batch.batch_id)
        locked_wei = self._contracts.stake.account(batch.provider).locked

        def is_drawn(place: bytes) -> bool:
            candidate = Candidate(
                leaf=place,
                provider=batch.provider,
                fee_wei=LARGEST_WEI,
                locked_stake_wei=locked_wei,
                prompt_ids=(),
                output_ids=(),
            )
            return drawn(self._policy.share(candidate), place, self._secret)

        places = {
            index: batch.root + index.to_bytes(32, "big")
            for index in self._looked_at(batch)
            if index not in known
        }
        tickets = sorted(
            (ticket_of(place, self._secret), index) for index, place in places.items() if is_drawn(place)
        )
        return [
            AskingRow(
                batch_id=batch.batch_id,
                index=index,
                provider=batch.provider,
                deadline=batch.deadline,
                ticket=ticket,
            )
            for ticket, index in tickets[: self._most]
        ]

    def _looked_at(self, batch: BatchRow) -> Iterable[int]:
        if batch.count <= _PLACES_LOOKED_AT:
            return range(batch.count)
        seed = hmac.new(self._secret, b"places" + batch.root, sha256).digest()
        return random.Random(seed).sample(range(batch.count), _PLACES_LOOKED_AT)


class Asker:
    """Sends asks and claims what was not shown; every transaction's journal key is its place, so it happens once.

    `budget_wei` is what may be spent on asks per challenge window; what the account holds is spent down to one bond
    and one price (for gas) at most. `margin_s`: nothing is asked for so shortly before its window closes.
    """

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        *,
        budget_wei: int,
        margin_s: int,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        parameters = contracts.stake.parameters()
        self._price_wei, self._bond_wei = parameters.ask_price, parameters.challenger_bond
        self._window_s, self._show_window_s = parameters.challenge_window, parameters.show_window
        self._budget_wei, self._margin_s = budget_wei, margin_s
        self._on_the_way: dict[str, str] = {}  # keys of asks -> provider

    # --- asking

    def ask_due(self, head: Block) -> int:
        """Submit asks, providers in turn, within budget and balance; the number."""
        self._on_the_way = {k: v for k, v in self._on_the_way.items() if self._dispatcher.carries(k)}
        asked = self._store.asks.asked_since(
            head.timestamp - self._window_s, self._dispatcher.sender.address, self._show_window_s
        )
        asked.update(self._on_the_way.values())
        left = min(self._affordable(asked.total()), _SENT_PER_ROUND)
        wishes = self._store.asks.wishes(head.timestamp + self._margin_s, time.time()) if left > 0 else []
        if wishes:
            left = min(left, self._payable())
        submitted = 0
        for _ in range(min(left, len(wishes))):
            row, root = min(
                wishes, key=lambda wish: (asked[wish[0].provider], wish[0].deadline, wish[0].ticket)
            )
            wishes.remove((row, root))
            key = self._dispatcher.key_of(f"ask {row.batch_id} {root.hex()} {row.index}")
            if not self._dispatcher.carries(key) and self._ask(row, key, head):
                asked[row.provider] += 1
                submitted += 1
        return submitted

    def _affordable(self, asked: int) -> int:
        """How many more the window's budget pays for."""
        return self._budget_wei // self._price_wei - asked if self._price_wei else _SENT_PER_ROUND

    def _payable(self) -> int:
        """How many more leave the account a bond, and a price for gas."""
        if not self._price_wei:
            return _SENT_PER_ROUND
        balance_wei = self._contracts.chain.balance_wei(self._dispatcher.sender.address)
        kept_wei = self._bond_wei + (1 + len(self._on_the_way)) * self._price_wei
        return (balance_wei - kept_wei) // self._price_wei

    def _ask(self, row: AskingRow, key: str, head: Block) -> bool:
        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                self._refused(row, result)
                return
            log.info("asked for", batch=row.batch_id, index=row.index, provider=row.provider)
            self._store.asks.set_asking(row.batch_id, row.index, state="asked", asked_at=head.timestamp)

        try:
            call = self._contracts.ledger.ask(row.batch_id, row.index, self._price_wei)
            self._dispatcher.submit(call, key, done)
        except RpcUnavailable:
            raise
        except ContractError as error:
            self._refused(row, error)
            return False
        except Exception as error:
            # Ether is missing, say; what was journalled is carried on under the same key.
            log.error(
                "not asked yet",
                batch=row.batch_id,
                index=row.index,
                because=f"{type(error).__name__}: {told_of(error)}",
            )
            self._wait(row, str(error))
            return False
        self._on_the_way[key] = row.provider
        return True

    def _refused(self, row: AskingRow, error: ContractError) -> None:
        others = error.name in _ASKED_BY_OTHERS
        tell = log.info if others else log.warning
        tell("not asked for", batch=row.batch_id, index=row.index, because=error.name)
        state = "others" if others else "refused"
        self._store.asks.set_asking(row.batch_id, row.index, state=state, problem=error.name)

    def _wait(self, row: AskingRow, problem: str) -> None:
        pause_s = backoff_s(row.tries + 1, first_s=_FIRST_RETRY_S, longest_s=_LONGEST_RETRY_S)
        self._store.asks.set_asking(
            row.batch_id,
            row.index,
            state="wanted",
            problem=problem[:500],
            tries=row.tries + 1,
            next_try_at=next_try(pause_s),
        )

    # --- what was not shown

    def claim_due(self, head: Block) -> int:
        """Claim own asks that were not answered, or whose response became void otherwise; the number."""
        claimed = 0
        own = self._dispatcher.sender.address
        for row, root in self._store.asks.unanswered(own, head.timestamp, time.time(), _SENT_PER_ROUND):
            key = self._dispatcher.key_of(f"not shown {row.batch_id} {root.hex()} {row.index}")
            if not self._dispatcher.carries(key):
                claimed += self._claim(row, key)
        return claimed

    def _claim(self, row: AskedRow, key: str) -> bool:
        place = {"batch": row.batch_id, "index": row.index}

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                refused(result)
                return
            log.warning("the price of an ask is back: it was not shown, or is void", **place)
            self._store.asks.set_asking(row.batch_id, row.index, state="settled")

        def refused(error: ContractError) -> None:
            if error.name == "NobodyAsked":  # it was shown, or anybody else claimed it for this account
                self._store.asks.set_asking(row.batch_id, row.index, state="settled")
            else:
                wait(str(error))

        def wait(why: str) -> None:
            log.warning("not claimed yet", **place, because=why)
            next_try_at = next_try(_LONGEST_RETRY_S / 4)
            self._store.asks.set_asking(row.batch_id, row.index, state="asked", next_try_at=next_try_at)

        try:
            call = self._contracts.ledger.claim_not_shown(row.batch_id, row.index)
            self._dispatcher.submit(call, key, done)
        except RpcUnavailable:
            raise
        except ContractError as error:
            refused(error)
            return False
        except Exception as error:
            wait(f"{type(error).__name__}: {error}")
            return False
        return True
