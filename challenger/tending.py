"""Ends what others left: games whose turn is over, asks whose time is over. Part of the game loop, behind everything of its own.

Nobody is paid for it, so nobody may do it; and games without players keep everybody else out of a response, which stays
disputed for ever then. By default that is done where a finding of this challenger's waits for it:

| left behind, on a response found invalid or hidden | then |
| --- | --- |
| a game, on the provider's turn | `timeout` makes the response void |
| an ask | `claimNotShown` makes the response void |
| a game, on its challenger's turn | `timeout` frees a place; only where all are taken (or one is kept empty) and no game of its own runs |

The last is not done where places are free: it would only let the lie become final. Before a response becomes void this
challenger's opening is committed, so that it is paid (`rewards.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import StrEnum

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.contract import Call
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import ContractError, RpcUnavailable
from contracts.bindings.log_setup import told_of
from contracts.bindings.results import Mined
from contracts.protocol.game import Side

from .budgets import TENDING, Budgets
from .dispatch import Dispatcher
from .local_models import ModelFinder
from .openings import Opener
from .pace import backoff_s
from .store import Store
from .tend_store import LeftAsk, LeftGame

log = structlog.get_logger(__name__)
#: On their way at once, and so per block.
_MOST_AT_ONCE = 4
_LOOKED_AT_PER_ROUND = 16
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


class Tend(StrEnum):
    """Whose games and asks are ended when their time is over: this challenger's `own`; also others', where something that
    was `found` waits for it; or `all`, also where nothing was found."""

    OWN = "own"
    FOUND = "found"
    ALL = "all"


class Tender:
    """At most a few transactions at once, each under a key of its own."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        dispatcher: Dispatcher,
        store: Store,
        models: ModelFinder,
        opener: Opener,
        budgets: Budgets,
        tend: Tend,
    ) -> None:
        self._contracts, self._dispatcher, self._store = contracts, dispatcher, store
        self._models, self._opener, self._budgets, self._tend = models, opener, budgets, tend
        self._most_games = contracts.stake.parameters().max_games_per_response
        self._on_the_way: set[str] = set()
        self._pauses: dict[LeftGame | LeftAsk, tuple[int, float]] = {}  # tries, until when

    def tend(self, head: Block) -> int:
        """Submit what is due, what was left first in front; the number."""
        self._on_the_way = {key for key in self._on_the_way if self._dispatcher.carries(key)}
        if self._tend is Tend.OWN or len(self._on_the_way) >= _MOST_AT_ONCE:
            return 0
        left = self._left(head)
        if not left or self._budgets.tending_held_back(head) is not None:
            return 0
        sent = 0
        for each in left:
            if len(self._on_the_way) >= _MOST_AT_ONCE:
                break
            try:
                ended = (
                    self._end_game(each, head) if isinstance(each, LeftGame) else self._end_ask(each, head)
                )
            except RpcUnavailable:
                raise
            except Exception as error:
                expected = isinstance(error, ContractError)  # somebody was faster
                log.info(
                    "not ended",
                    left=str(each),
                    because=f"{type(error).__name__}: {told_of(error)}",
                    exc_info=not expected,
                )
                ended = False
            sent += ended
            if not ended:
                self._pause(each)
        return sent

    def _left(self, head: Block) -> list[LeftGame | LeftAsk]:
        now_s = time.monotonic()
        pausing = {each for each, (_, until) in self._pauses.items() if until > now_s}
        everybodys, own = self._tend is Tend.ALL, self._dispatcher.sender.address
        games = self._store.left.games(
            head.timestamp,
            [each.game_id for each in pausing if isinstance(each, LeftGame)],
            everybodys,
            _LOOKED_AT_PER_ROUND,
        )
        asks = self._store.left.asks(head.timestamp, own, everybodys, len(pausing) + _LOOKED_AT_PER_ROUND)
        left: list[LeftGame | LeftAsk] = [*(ask for ask in asks if ask not in pausing), *games]
        self._forget_all_but(left, pausing)
        return left

    def _end_game(self, left: LeftGame, head: Block) -> bool:
        game = self._contracts.game.game(left.game_id, block=head.number)
        response = self._contracts.ledger.response(left.batch_id, left.index, block=head.number)
        if game.phase.name == "RESOLVED" or response.is_void or head.timestamp <= game.deadline:
            return False
        makes_void = game.mover is Side.PROVIDER
        if makes_void:
            is_due = self._is_mine_to_end(left)
        elif left.is_invalid:
            taken = response.open_games + response.is_asked_for
            is_shut = taken >= self._most_games or head.timestamp <= response.empty_until
            is_due = is_shut and not left.has_own_game
        else:
            is_due = self._tend is Tend.ALL
        if not is_due:
            return False
        call = self._contracts.game.timeout(left.game_id)
        return self._send(left, call, f"game {left.game_id} from {game.turn_started_at}", makes_void)

    def _end_ask(self, left: LeftAsk, head: Block) -> bool:
        response = self._contracts.ledger.response(left.batch_id, left.index, block=head.number)
        is_over = response.is_asked_for and head.timestamp > response.show_deadline
        if response.is_void or not is_over or not self._is_mine_to_end(left):
            return False
        call = self._contracts.ledger.claim_not_shown(left.batch_id, left.index)
        return self._send(left, call, f"ask {left.batch_id} {left.root.hex()} {left.index}", True)

    def _is_mine_to_end(self, left: LeftGame | LeftAsk) -> bool:
        """Hidden responses of models that are not here are nobody's finding."""
        if self._tend is Tend.ALL or left.is_invalid:
            return True
        return left.is_hidden and self._models.find(left.model_id) is not None

    def _send(self, left: LeftGame | LeftAsk, call: Call, name: str, makes_void: bool) -> bool:
        key = self._dispatcher.key_of(f"{TENDING}{name}")
        if self._dispatcher.carries(key):
            return False
        if makes_void and left.is_invalid and not left.has_own_game:
            row = self._store.response(left.batch_id, left.index)
            if row is None or not self._opener.commit_first(row):
                return False

        def done(result: Mined | ContractError) -> None:
            if isinstance(result, ContractError):
                log.info("not ended", left=str(left), because=str(result))
                self._pause(left)
            else:
                log.info("ended what others left", left=str(left), makes_void=makes_void)

        self._dispatcher.submit(call, key, done)
        self._on_the_way.add(key)
        return True

    def _pause(self, left: LeftGame | LeftAsk) -> None:
        tries = self._pauses.get(left, (0, 0.0))[0] + 1
        pause_s = backoff_s(tries, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S)
        self._pauses[left] = (tries, time.monotonic() + pause_s)

    def _forget_all_but(self, left: Iterable[LeftGame | LeftAsk], pausing: set[LeftGame | LeftAsk]) -> None:
        kept = pausing.union(left)
        self._pauses = {each: pause for each, pause in self._pauses.items() if each in kept}
