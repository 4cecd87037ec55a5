"""One running provider: every part built from settings and put together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from fastapi import FastAPI

from contracts.bindings.keys import Signer
from contracts.bindings.sender import sender_on_engine
from contracts.bindings.settings import STATE
from contracts.protocol.ether import show_ether
from contracts.protocol.game import ModelRules
from contracts.protocol.trace import ProvingTrace
from prover.curve.srs import SRS
from prover.model.execute import Executor
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment
from prover.replay import Replay

from .api.application import create_application
from .backing import Backing
from .capacity import Capacity
from .chain_access import ChainAccess, default_database
from .chain_follower import ChainFollower
from .committer import Committer
from .defender import Defender
from .demands import DemandAnswerer
from .errors import StakeMissingError
from .health import LEAST_BALANCE_WEI, Health
from .inference import InferenceQueue
from .metrics import Metrics
from .outbox import Outbox
from .receipts import Issuer, ReceiptDesk
from .records import Records
from .remembered_trace import BoundaryFiles
from .service import AnswerService, ServedModel
from .settings import ProviderSettings
from .settlement import Settlement
from .store import Journal, open_engine
from .store.journal import BatchTerms
from .worker import Worker

log = structlog.get_logger("node.provider")


@dataclass(frozen=True)
class CommittedServing:
    """A model with everything that defending its answers needs."""

    name: str
    model: IntegerModel
    commitment: ModelCommitment
    srs: SRS
    model_id: bytes

    def replay(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> ProvingTrace:
        """A lazy trace of an answer."""
        return Replay(self.model, self.commitment, self.srs, list(prompt_ids), list(output_ids))


def capacity_file(settings: ProviderSettings, model_id: bytes) -> Path:
    """Where it is kept what defending this model's answers takes on this machine."""
    return settings.traces_dir / model_id.hex() / "capacity.json"


# Whoever holds the account of a node that signs its own receipts holds all of its stake: nothing to limit.
_OWN_ALLOWANCE_WEI = 2**128


class Provider:
    """All parts of one provider. `app` serves; its lifespan starts and stops the background workers."""

    def __init__(
        self, settings: ProviderSettings, access: ChainAccess, serving: CommittedServing, signer: Signer
    ) -> None:
        contracts, parameters = access.contracts, access.parameters
        self._access, self._serving, self.address = access, serving, signer.address
        url = settings.database_url or default_database(
            access.chain, contracts.ledger.address, signer.address, STATE / "provider"
        )
        engine = open_engine(url)
        self.journal = Journal(engine)
        identity = [access.chain.genesis_hash.hex(), contracts.ledger.address, signer.address]
        self.journal.bind_deployment(":".join([str(access.chain.chain_id), *identity]))
        sender = sender_on_engine(
            access.chain, signer, engine, confirmations=access.confirmations, create_tables=False
        )
        self.outbox = Outbox(sender)
        self.metrics = Metrics()
        self.follower = ChainFollower(
            contracts, self.journal, signer.address, confirmations=access.confirmations
        )
        clock = self.follower.clock
        issuer = Issuer(
            access.chain.chain_id,
            contracts.ledger.address,
            contracts.receipts.address,
            signer.address,
            serving.model_id,
        )
        interval = settings.batch_interval_s or max(1, min(300, parameters.posting_window // 6))
        self.desk = ReceiptDesk(
            self.journal,
            signer,
            issuer,
            BatchTerms(interval, parameters.posting_window, settings.batch_size),
            clock.now,
            settings.fee_wei,
        )
        self.backing = Backing(
            self.journal,
            parameters.lock_per_response,
            lambda: self.follower.state.stake_views if self.follower.state is not None else (),
        )
        self.capacity = Capacity(capacity_file(settings, serving.model_id), parameters.clock)
        self.committer = Committer(contracts, self.journal, self.outbox, self.metrics, clock.now)
        self.defender = Defender(
            contracts,
            self.journal,
            self.outbox,
            self.metrics,
            confirmations=access.confirmations,
            rules=ModelRules(
                step_count=serving.commitment.step_count,
                vocab_size=serving.commitment.vocabulary,
                end_tokens=tuple(serving.commitment.end_tokens),
                arity=parameters.arity,
            ),
            commitment=lambda: serving.commitment,
            trace=self._replay,
            files=BoundaryFiles(settings.traces_dir, serving.model_id),
        )
        self.demands = DemandAnswerer(
            contracts, self.journal, self.outbox, self.metrics, parameters, access.confirmations
        )
        steps = {
            "follower": self.follower.step,
            "poster": self._on_this_chain(self.committer.post_due),
            "settler": self._on_this_chain(self.committer.settle),
            "defender": self._on_this_chain(self.defender.step),
            "demands": self._on_this_chain(self.demands.step),
        }
        self._workers = {
            name: Worker(name, step, settings.poll_s, self.metrics) for name, step in steps.items()
        }
        self.health = Health(
            self.journal,
            self.follower,
            self.backing,
            failure_of=lambda name: self._workers[name].failure,
            posting_window_s=parameters.posting_window,
            poll_s=settings.poll_s,
            max_head_age_s=access.max_head_age_s,
        )
        records = Records(self.journal, issuer, serving.name)
        config = serving.model.config
        self.service = AnswerService(
            served=ServedModel(
                serving.name,
                serving.model_id,
                serving.model.tokenizer,
                config.max_positions,
                int(time.time()),
            ),
            queue=InferenceQueue(Executor(serving.model), settings.queue_size),
            desk=self.desk,
            metrics=self.metrics,
            default_max_tokens=settings.default_max_tokens,
            readiness=self.readiness,
            reserve=self.backing.reserve,
        )
        settlement = Settlement(
            self.journal,
            records,
            self.follower,
            issuer,
            parameters,
            model_name=serving.name,
            steps=serving.commitment.step_count,
            tokenizer=serving.model.tokenizer,
            game=contracts.game.address,
        )
        self._add_gauges()
        self.app = create_application(
            self.service,
            records,
            settlement.snapshot,
            lifespan=self._lifespan,
            cors_origins=settings.cors_origins,
        )

    def _register_own_key(self) -> None:
        """This account signs its receipts itself; they count from the second of the registration on."""
        stake = self._access.contracts.stake
        if not stake.receipt_signer(self.address, self.address).registered_at:
            self.outbox.send(stake.register_signer(self.address, _OWN_ALLOWANCE_WEI), "register receipt key")
            self.follower.step()  # the node's clock is the chain's: no receipt is dated earlier

    def prepare(self) -> None:
        """Catch up with the chain, finish what the last stop left, and check that the stake suffices.

        Raises StakeMissingError and what the bindings raise.
        """
        self.follower.step()
        if left := self.desk.sign_left_over():
            log.info("signed receipts that the last stop left unsigned", receipts=left)
        self.outbox.recover()
        state = self.follower.state
        assert state is not None
        if state.account.locked or self.journal.pending_response_count():
            return  # earlier answers must be posted and defended, whatever is left for new ones
        lock = self._access.parameters.lock_per_response
        if state.free_stake_wei < lock:
            raise StakeMissingError(
                f"{self.address} has {show_ether(state.free_stake_wei)} of free stake but each answer locks "
                f"{show_ether(lock)}; run `gainsay provider deposit` first"
            )
        if state.balance_wei < LEAST_BALANCE_WEI:
            raise StakeMissingError(
                f"{self.address} holds {show_ether(state.balance_wei)}, too little for gas; "
                f"send it at least {show_ether(LEAST_BALANCE_WEI)}"
            )
        self._register_own_key()

    def readiness(self) -> str | None:
        """Why no answer can be backed now, or None."""
        return self.health.reason() or self._defence_reason()

    def start_workers(self) -> None:
        """Start following, committing and defending."""
        for worker in self._workers.values():
            worker.start()

    def stop_workers(self) -> None:
        """End the background threads; what they leave undone, the next start takes up."""
        for worker in self._workers.values():
            worker.stop()

    def _on_this_chain(self, step: Callable[[], None]) -> Callable[[], None]:
        """Nothing is sent to another chain that took the place of this one."""

        def guarded() -> None:
            self.follower.require_same_chain()
            step()

        return guarded

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.start_workers()
        try:
            yield
        finally:
            self.stop_workers()

    def _defence_reason(self) -> str | None:
        state = self.follower.state
        return None if state is None else self.capacity.reason(len(state.games))

    def _replay(self, prompt_ids: Sequence[int], output_ids: Sequence[int]) -> ProvingTrace:
        return self.capacity.timed(self._serving.replay(prompt_ids, output_ids))

    def _add_gauges(self) -> None:
        def of_state(value: Callable[[], float]) -> Callable[[], float]:
            return lambda: value() if self.follower.state is not None else float("nan")

        gauge, follower = self.metrics.gauge, self.follower
        gauge("gainsay_queue_waiting", "Requests that wait", lambda: self.service.queue.waiting)
        gauge("gainsay_responses_unposted", "Answers not on chain yet", self.journal.pending_response_count)
        gauge("gainsay_answers_reserved", "Answers promised but not placed", lambda: self.backing.reserved)
        gauge("gainsay_answers_available", "Answers that may still be promised", self.backing.available)
        gauge(
            "gainsay_posting_seconds_left", "Until the earliest deadline of an unposted receipt (NaN: none)",
            self.health.posting_seconds_left,
        )  # fmt: skip
        gauge(
            "gainsay_stake_shortfall_ether", "Stake to add before all that is promised can be posted",
            lambda: self.backing.shortfall_wei() / 1e18,
        )  # fmt: skip
        gauge("gainsay_ready", "1 when answers can be backed", lambda: float(self.readiness() is None))
        gauge(
            "gainsay_chain_head",
            "Newest block",
            of_state(lambda: follower.state.head.number),  # type: ignore[union-attr]
        )
        gauge(
            "gainsay_free_stake_ether", "Stake for new answers",
            of_state(lambda: follower.state.free_stake_wei / 1e18),  # type: ignore[union-attr]
        )  # fmt: skip
        gauge(
            "gainsay_defendable_games", "Games that this machine can defend at once (NaN: not measured)",
            lambda: float("nan") if (games := self.capacity.games) is None else games,
        )  # fmt: skip
        gauge(
            "gainsay_open_disputes",
            "Open games",
            of_state(lambda: len(follower.state.games)),  # type: ignore[union-attr]
        )
