"""The challenger: six kinds of loops over one store, each with its own work and its own tables.

| loop | does | waits for |
| --- | --- | --- |
| watch | events to rows | the chain |
| games | moves, openings, asks, withdrawals, ending what others left: everything that is sent | the chain |
| list, one per URL | batches to responses | that provider, for a bounded time |
| unseen | what is not listed: warnings, what to ask for, what was shown on chain | the chain |
| judge | responses to verdicts | replays of other people's responses |
| trace | own games' traces | replays of responses that are disputed here |
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.sender import Sender
from contracts.protocol.sampling import sampling_of
from contracts.protocol.trace import IdsOnly, OwnTrace, first_unknown_fed_id

from .asking import DEFAULT_ASKS_PER_WINDOW, Asker, Wishes
from .budgets import NO_LIMITS, Budgets, Limits
from .dispatch import Dispatcher
from .errors import LostTooManyGames
from .game_play import GamePlayer, subject_of
from .judging import Judge
from .listing import Lister
from .local_models import ModelFinder
from .loops import Loop
from .metrics import JudgeMetrics
from .openings import Opener, Winnings
from .policies import Policy
from .provider_client import ProviderBook, ProviderClient
from .rewards import Joiner
from .store import ResponseRow, Store
from .tending import Tend, Tender
from .trace_files import TraceFiles
from .tracing import Tracer
from .watcher import Watcher

_RECOVER_EVERY_S = 30.0
_JOIN_S = 10.0
_SETTLE_S = 120.0
_LATE_LOOK_S = 1.0


@dataclass(frozen=True)
class Options:
    """`ask`: pay the price of asking for what providers hide, so that they must show it on chain or lose it;
    `ask_budget_wei`: at most so much per challenge window (None: 25 prices). `opening_margin_s`: do not open a game, or
    ask, so shortly before the challenge window closes. `limits`: what may be risked. `tend`: whose games and asks are ended
    when their time is over."""

    watch_only: bool = False
    ask: bool = False
    ask_budget_wei: int | None = None
    limits: Limits = NO_LIMITS
    tend: Tend = Tend.FOUND
    confirmations: int = 0
    max_head_age_s: float | None = None
    opening_margin_s: int = 2
    poll_s: float = 1.0


class Challenger:
    """One challenger over one deployment. Without a sender it can only watch."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        sender: Sender | None,
        store: Store,
        models: ModelFinder,
        providers: ProviderBook,
        policy: Policy,
        options: Options | None = None,
        traces: TraceFiles | None = None,
        metrics: JudgeMetrics | None = None,
    ) -> None:
        self.options = options or Options()
        self._contracts, self._store, self._models = contracts, store, models
        self._providers = providers
        parameters = contracts.stake.parameters()
        self._arity = parameters.arity
        self._watcher = Watcher(
            contracts, store, sender.address if sender else None, confirmations=self.options.confirmations
        )
        files = traces or TraceFiles(None)
        self._tracer = Tracer(files, self._arity)
        self._lister = Lister(
            contracts,
            store,
            models,
            providers,
            policy,
            lambda: self._watcher.now,
            parameters.challenge_window,
        )
        margin_s = self.options.opening_margin_s
        self._judge = Judge(
            store,
            models,
            self._arity,
            lambda: self._watcher.now,
            margin_s,
            self._found_invalid,
            metrics=metrics,
        )
        self._budgets = Budgets(contracts, store, self.options.limits, lambda: self._watcher.now)
        self._dispatcher = (
            None if sender is None or self.options.watch_only else Dispatcher(sender, self._budgets)
        )
        self._wishes: Wishes | None = None
        self._recovered_at = float("-inf")
        if self._dispatcher is not None:
            self._player = GamePlayer(
                contracts, self._dispatcher, store, models, self._arity, files, self._tracer
            )
            self._opener = Opener(
                contracts,
                self._dispatcher,
                store,
                margin_s=margin_s,
            )
            self._joiner = Joiner(contracts, self._dispatcher, store)
            self._tender = Tender(
                contracts, self._dispatcher, store, models, self._opener, self._budgets, self.options.tend
            )
            budget_wei = self.options.ask_budget_wei
            if budget_wei is None:
                budget_wei = DEFAULT_ASKS_PER_WINDOW * parameters.ask_price
            self._asker = Asker(contracts, self._dispatcher, store, budget_wei=budget_wei, margin_s=margin_s)
            if self.options.ask:
                self._wishes = Wishes(
                    contracts,
                    store,
                    models,
                    policy,
                    lambda: self._watcher.now,
                    parameters.challenge_window,
                    most=budget_wei // max(1, parameters.ask_price),
                )
            self._winnings = Winnings(contracts, self._dispatcher)

    def run(self, stop: threading.Event) -> None:
        """Until stopped. Nothing that fails in one loop keeps another from its work.

        Raises LostTooManyGames when as many games were lost as may be, and the last one is over.
        """
        poll_s = self.options.poll_s
        self._until_the_chain_answers(stop)
        loops = [
            Loop("watch", self.watch, poll_s, stop),
            Loop("games", self.play, poll_s, stop),
            Loop("judge", self._judge.step, poll_s, stop),
            Loop("trace", self._tracer.step, min(poll_s, 0.2), stop),
            *(self._listing_loop(client, poll_s, stop) for client in self._providers.clients()),
            Loop("unseen", self._look_for_unseen, max(poll_s, _LATE_LOOK_S), stop),
        ]
        for loop in loops:
            loop.start()
        while not (stop.wait(poll_s) or self._has_given_up()):
            pass
        stop.set()
        for client in self._providers.clients():
            client.stop()
        until = time.monotonic() + _JOIN_S
        for loop in loops:
            loop.join(max(0.1, until - time.monotonic()))
        self.require_trust()

    def tick(self) -> bool:
        """One round of every loop, one after the other; True when there may be more to do at once."""
        self.watch()
        busy = self.play()
        for client in self._providers.clients():
            busy = self._lister.step(client) or busy
        busy = self._look_for_unseen() or busy
        busy = self._judge.step() or busy
        return self._tracer.step() or busy

    def settle(self) -> None:
        """Everything that is due now, until all that was sent is mined."""
        until = time.monotonic() + _SETTLE_S
        while (busy := self.tick()) or (self._dispatcher is not None and self._dispatcher.count):
            if not busy:
                if time.monotonic() > until:
                    return
                time.sleep(0.1)

    # --- the loops' steps

    def watch(self) -> bool:
        """Read what is new on chain."""
        self._require_fresh()
        self._watcher.poll()
        return False

    def play(self) -> bool:
        """Submit all that is due, moves before openings before asks, and see what became of what was submitted before."""
        if self._dispatcher is None:
            return False
        self._require_fresh()
        if time.monotonic() - self._recovered_at > _RECOVER_EVERY_S:
            self._recovered_at = time.monotonic()
            self._dispatcher.sender.recover()
        ended = self._dispatcher.collect()
        head = self._contracts.chain.confirmed_head(self.options.confirmations)
        moved = self._player.play(head)
        held_back = self._budgets.held_back(head) is not None
        opened = 0 if held_back else self._opener.open_due()
        opened += self._joiner.join_due(head)
        opened += self._tender.tend(head)
        # Asks come last: nothing that runs waits for them. What was asked for once is claimed in any case.
        opened += self._asker.claim_due(head)
        if self._wishes is not None and not held_back:
            opened += self._asker.ask_due(head)
        self._winnings.withdraw(head)
        ended += self._dispatcher.collect()
        return bool(moved or opened or ended)

    def _listing_loop(self, client: ProviderClient, poll_s: float, stop: threading.Event) -> Loop:
        return Loop(f"list {client.base_url}", lambda: self._lister.step(client), poll_s, stop)

    def _look_for_unseen(self) -> bool:
        self._lister.close_unseen()
        busy = self._lister.take_shown()
        return (self._wishes is not None and self._wishes.choose()) or busy

    def _found_invalid(self, row: ResponseRow, trace: OwnTrace | None) -> None:
        """Its game will need the trace; only then it is worth more than the verdict."""
        model = self._models.find(row.model_id)
        if self._dispatcher is None or model is None or row.ids is None or trace is None:
            return
        if first_unknown_fed_id(IdsOnly(*row.ids), model.commitment.vocabulary) is None:
            self._tracer.complete(
                subject_of(row.model_id, model, *row.ids, sampling_of(row.fields.sampling_hash)), trace
            )

    def require_trust(self) -> None:
        """Raises LostTooManyGames when it stopped itself and nothing of its own runs any more."""
        if self._has_given_up():
            raise LostTooManyGames(f"the challenger stopped itself: {self._budgets.stopped()}")

    def _has_given_up(self) -> bool:
        if self._dispatcher is None or self._dispatcher.count:
            return False
        return self._budgets.stopped() is not None and not self._store.games(open_only=True)

    def _until_the_chain_answers(self, stop: threading.Event) -> None:
        """The windows of what is stored are told by the chain's clock: nothing starts before it was read."""
        first = threading.Event()

        def watch() -> bool:
            self.watch()
            first.set()
            return False

        loop = Loop("first look", watch, self.options.poll_s, first)
        loop.start()
        while not first.wait(0.1):
            if stop.is_set():
                first.set()

    def _require_fresh(self) -> None:
        if self.options.max_head_age_s is not None:
            self._contracts.chain.require_fresh(self.options.max_head_age_s)
