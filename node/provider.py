"""One running provider: every part built from settings and put together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import structlog
from eth_utils.address import to_checksum_address
from fastapi import FastAPI

from contracts.bindings.keys import Signer
from contracts.bindings.remote_signer import RemoteSigner
from contracts.bindings.sender import sender_on_engine
from contracts.bindings.settings import STATE
from contracts.protocol.ether import show_ether
from contracts.protocol.game import ModelRules
from contracts.protocol.trace import AuditedTrace, ProvingTrace
from explorer.errors import CacheUnusableError
from explorer.index import Index
from explorer.search import Place
from explorer.server import Explorer
from prover.sampling import Sampling

from .api.application import create_application
from .api_keys import KeyRing
from .audits.answerer import AuditAnswerer
from .audits.boundaries import BoundaryCommitter
from .audits.desk import AuditDesk
from .backing import Backing
from .capacity import Capacity
from .chain_access import ChainAccess, default_database
from .chain_follower import ChainFollower, ChainState
from .committer import Committer
from .defender import Defender
from .demands import DemandAnswerer
from .errors import KeyNotNamedError, StakeMissingError
from .health import LEAST_BALANCE_WEI, Health
from .keys import KeyState, provider_of
from .metrics import Metrics
from .outbox import Outbox
from .payments.channels import ChainChannels, Channels
from .payments.redeemer import Redeemer
from .payments.till import Till
from .payments.wire import Terms
from .pulse import ChainProbe, DiskProbe, FilesProbe, Pulse
from .receipts import Issuer, ReceiptDesk
from .records import Records
from .remembered_trace import BoundaryFiles
from .service import AnswerService, ServedModel
from .serving import CommittedServing, capacity_file, inference_queue
from .settings import ProviderSettings, view_key_of
from .settlement import Settlement
from .store import AuditBook, Journal, PaymentBook, open_engine
from .store.journal import BatchTerms
from .texts import Texts
from .worker import Worker

log = structlog.get_logger("node.provider")

# The explorer's index is read on for so long after somebody looked.
_EXPLORER_IDLE_S = 60.0
# So many answers' fees are worth a transaction, unless a setting says otherwise.
_FEES_PER_BULK = 100
# Chains take blocks of a few seconds in the future; whoever is further behind dates receipts wrongly.
_MAX_CLOCK_LAG_S = 30.0


class Provider:
    """All parts of one provider. `app` serves; its lifespan starts and stops the background workers."""

    def __init__(
        self,
        settings: ProviderSettings,
        access: ChainAccess,
        serving: CommittedServing,
        signer: Signer,
        receipt_key: Signer | None = None,
    ) -> None:
        """`signer` sends, for the provider that the settings name; `receipt_key` signs receipts (None: `signer`)."""
        contracts, parameters = access.contracts, access.parameters
        self._settings, self._access, self._serving = settings, access, serving
        self.address = provider_of(settings, signer.address)
        receipt_key = receipt_key or signer
        url = settings.database_url or default_database(
            access.chain, contracts.ledger.address, self.address, STATE / "provider"
        )
        engine = open_engine(url)
        self.journal = Journal(engine)
        identity = [access.chain.genesis_hash.hex(), contracts.ledger.address, self.address]
        self.journal.bind_deployment(":".join([str(access.chain.chain_id), *identity]))
        sender = sender_on_engine(
            access.chain, signer, engine, confirmations=access.confirmations, create_tables=False
        )
        self.outbox = Outbox(sender, provider=self.address)
        self.metrics = Metrics()
        self.follower = ChainFollower(
            contracts,
            self.journal,
            self.address,
            account=signer.address,
            receipt_key=receipt_key.address,
            confirmations=access.confirmations,
        )
        clock = self.follower.clock
        issuer = Issuer(
            access.chain.chain_id,
            contracts.ledger.address,
            contracts.receipts.address,
            self.address,
            serving.model_id,
        )
        interval = settings.batch_interval_s or max(1, min(300, parameters.posting_window // 6))
        self.desk = ReceiptDesk(
            self.journal,
            receipt_key,
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
            rules=ModelRules.of(serving.commitment, parameters.arity),
            commitment=lambda: serving.commitment,
            trace=self._replay,
            files=BoundaryFiles(settings.traces_dir, serving.model_id),
        )
        self.demands = DemandAnswerer(
            contracts, self.journal, self.outbox, self.metrics, parameters, access.confirmations
        )
        self.book = PaymentBook(engine)
        self.channels = Channels(
            ChainChannels(contracts.payments, self.address, access.confirmations), self.journal, self.address
        )
        self.redeemer = Redeemer(
            contracts.payments,
            self.book,
            self.channels,
            self.outbox,
            now=clock.now,
            is_playing=self._is_playing,
            least=settings.fee_wei * _FEES_PER_BULK
            if settings.redeem_least is None
            else settings.redeem_least,
            interval_s=settings.redeem_interval_s,
            hurry_s=contracts.payments.withdrawal_delay() // 2,
        )
        boundaries = (
            None
            if serving.own is None
            else BoundaryCommitter(serving.model, serving.own, serving.srs, serving.executor)
        )
        self.answerer = AuditAnswerer(
            contracts,
            self.journal,
            self.outbox,
            self.metrics,
            boundaries,
            window_s=parameters.audit_window,
            now=clock.now,
            timed=self._timed_trace,
        )
        self.audits = AuditDesk(
            self.journal,
            AuditBook(engine),
            boundaries,
            clock.now,
            most_items=settings.audit_items,
            is_playing=self._is_playing,
            refusal=self._audit_reason,
            timed=self._timed_trace,
        )
        steps = {
            "follower": self.follower.step,
            "poster": self._on_this_chain(self._while_named(self.committer.post_due)),
            "settler": self._on_this_chain(self.committer.settle),
            "defender": self._on_this_chain(self._while_named(self.defender.step)),
            "demands": self._on_this_chain(self.demands.step),
            "redeemer": self._on_this_chain(self.redeemer.step),
            "answerer": self._on_this_chain(self._while_named(self.answerer.step)),
            "audits": self.audits.step,
        }
        self._workers = {
            name: Worker(name, step, settings.poll_s, self.metrics) for name, step in steps.items()
        }
        self.health = Health(
            self.journal,
            self.follower,
            self.backing,
            failure_of=lambda name: self._workers[name].failure,
            lock_wei=parameters.lock_per_response,
            bond_wei=parameters.provider_bond,
            posting_window_s=parameters.posting_window,
            poll_s=settings.poll_s,
            max_head_age_s=access.max_head_age_s,
        )
        self.pulse = self._build_pulse([signer, receipt_key])
        records = Records(
            self.journal,
            issuer,
            serving.name,
            list_token_ids=settings.list_token_ids,
            sign=self.desk.sign_again,
        )
        self.texts = Texts(self.journal, serving.model.tokenizer, view_key_of(settings))
        self.explorer = self._explorer(records)
        config = serving.model.config
        self.service = AnswerService(
            served=ServedModel(
                serving.name,
                serving.model_id,
                serving.model.tokenizer,
                config.max_positions,
                int(time.time()),
                serving.model.logit_scale,
            ),
            queue=inference_queue(settings, serving),
            desk=self.desk,
            metrics=self.metrics,
            default_max_tokens=settings.default_max_tokens,
            readiness=self.readiness,
            reserve=self.backing.reserve,
            till=self._till(),
            boundaries=boundaries,
            most_answers=min(settings.answers_per_request, settings.queue_size),
            private_logprobs=settings.private_logprobs,
            shares_prompts=settings.share_prompts and boundaries is None,
        )
        settlement = Settlement(
            self.journal,
            records,
            self.follower,
            issuer,
            parameters,
            model_name=serving.name,
            steps=serving.commitment.step_count,
            step_name=serving.commitment.step_name,
            texts=self.texts,
            game=contracts.game.address,
        )
        self._add_gauges()
        self.app = create_application(
            self.service,
            records,
            settlement.snapshot,
            self.texts,
            self.audits,
            explorer=self.explorer,
            lifespan=self._lifespan,
            cors_origins=settings.cors_origins,
            keys=None if settings.api_keys is None else KeyRing(settings.api_keys),
        )

    def prepare(self) -> None:
        """Catch up with the chain, check the keys and the stake, and finish what the last stop left.

        Raises KeyNotNamedError, StakeMissingError and what the bindings raise.
        """
        self.follower.step()
        state = self.follower.state
        assert state is not None
        if (reason := state.keys.account_reason()) is not None:
            raise KeyNotNamedError(reason)
        self.outbox.recover()
        # Earlier answers must be posted and defended, whatever is left for new ones: then `readiness` says the rest.
        is_busy = bool(state.account.locked or self.journal.pending_response_count())
        if not is_busy:
            self._require_stake(state)
        if state.keys.is_owner:
            self._register_receipt_key(state.keys)
        if not is_busy:
            self._require_receipt_key()
        self.channels.observe()
        if cut_off := self.book.give_all_back():
            log.info("payments of requests that the last stop cut off went back", payments=cut_off)
        if left := self.desk.sign_left_over():
            log.info("signed receipts that the last stop left unsigned", receipts=left)

    def _explorer(self, records: Records) -> Explorer:
        """Pages about the whole deployment, drawn from its events; they are read on only while somebody looks."""
        access, serving = self._access, self._serving
        folder = self._settings.traces_dir if self.journal.file is None else self.journal.file.parent
        path = folder / f"explorer-{access.contracts.ledger.address[2:10].lower()}.sqlite"
        index_in = partial(
            Index, access.contracts, confirmations=access.confirmations, parameters=access.parameters
        )
        try:
            index = index_in(path)
        except CacheUnusableError as error:  # the node serves and defends without it
            log.warning("the explorer keeps its index in memory", because=str(error))
            index = index_in(None)

        def place_of(name: str) -> Place | None:
            found = records.place(name)
            return None if found is None else Place(*found)

        return Explorer.over(
            index,
            self._settings.poll_s,
            idle_s=_EXPLORER_IDLE_S,
            model_names={serving.model_id: serving.name},
            step_names={serving.model_id: serving.commitment.step_name},
            resolvers=[place_of],
            about={"provider": self.address, "model": serving.name, "texts": True},
        )

    def _till(self) -> Till | None:
        """Takes vouchers; None where answers cost nothing."""
        settings, chain = self._settings, self._access.chain
        if not settings.fee_wei:
            return None
        payments, token = self._access.contracts.payments.address, to_checksum_address(settings.fee_token)
        terms = Terms(chain.chain_id, payments, self.address, token, settings.fee_wei)
        return Till(
            terms,
            settings.require_payment,
            self.book,
            self.channels,
            contract_payers=settings.contract_payers,
        )

    def _is_playing(self) -> bool:
        state = self.follower.state
        return (state is not None and bool(state.games)) or self.answerer.is_answering

    def _require_stake(self, state: ChainState) -> None:
        if state.account.is_paused:
            return  # `readiness` says how to resume
        lock = self._access.parameters.lock_per_response
        if state.free_stake_wei < lock:
            bond = self._access.parameters.provider_bond
            raise StakeMissingError(
                f"{self.address} has {show_ether(state.free_stake_wei)} of free stake but each answer locks "
                f"{show_ether(lock)}, and a bond of {show_ether(bond)} stays free beside it; "
                "run `gainsay provider deposit` first"
            )
        if state.balance_wei < LEAST_BALANCE_WEI:
            raise StakeMissingError(
                f"{state.keys.account} holds {show_ether(state.balance_wei)}, too little for gas; "
                f"send it at least {show_ether(LEAST_BALANCE_WEI)}"
            )

    def _register_receipt_key(self, keys: KeyState) -> None:
        """An owner's own node names its receipt key itself; receipts count from the second of the registration on."""
        batch = self._settings.batch_size * self._access.parameters.lock_per_response
        wanted, key = self._settings.receipt_allowance, keys.receipt_signer
        if key.retired_at or (key.registered_at and (wanted is None or wanted <= key.allowance)):
            return
        stake = self._access.contracts.stake
        allowance = batch if wanted is None else wanted
        call = stake.register_signer(keys.receipt_key, allowance)
        self.outbox.send(call, f"receipt key {keys.receipt_key} {allowance}")
        self.follower.step()  # the node's clock is the chain's: no receipt is dated earlier

    def _require_receipt_key(self) -> None:
        state = self.follower.state
        assert state is not None
        reason = state.keys.receipt_reason(self._access.parameters.lock_per_response)
        if reason is not None:
            raise KeyNotNamedError(reason)

    def readiness(self) -> str | None:
        """Why no answer can be backed now, or None."""
        return (
            self.pulse.reason()
            or self._ended_reason()
            or self.pulse.in_time(self.health.reason)
            or self.pulse.in_time(self._defence_reason)
            or self.pulse.in_time(self.answerer.reason)
        )

    def start_workers(self) -> None:
        """Start following, committing and defending."""
        self.pulse.start()
        for worker in self._workers.values():
            worker.start()
        self.explorer.keeper.start()

    def stop_workers(self) -> None:
        """End the background threads; what they leave undone, the next start takes up."""
        self.pulse.stop()
        self.explorer.keeper.stop()
        for worker in self._workers.values():
            worker.stop()

    def _build_pulse(self, signers: Sequence[Signer]) -> Pulse:
        """What is asked several times a second, most basic first."""
        settings, access, serving = self._settings, self._access, self._serving
        lag = settings.max_clock_lag_s
        if lag is None and not access.is_devnet:
            lag = _MAX_CLOCK_LAG_S
        pulse = Pulse(settings.poll_s, self.metrics, self._wake_workers)
        patience_s = pulse.patience_s
        wake = self._workers["follower"].wake
        chain = ChainProbe(access.chain, patience_s, wake, access.max_head_age_s, lag)
        pulse.add("the chain", chain)
        pulse.add("the database", self.journal.probe(patience_s))
        folders = [capacity_file(settings, serving.model_id).parent]
        if (file := self.journal.file) is not None:
            folders.insert(0, file.parent)
        pulse.add("the disk", DiskProbe(folders), bounded=False)
        remote = {signer.address: signer for signer in signers if isinstance(signer, RemoteSigner)}
        for signer in remote.values():
            pulse.add("the signer", partial(signer.check, 1.5 * patience_s))
        model = settings.models_dir / serving.name
        files = sorted(path for path in model.rglob("*") if path.is_file()) if model.is_dir() else []
        pulse.add("the model", FilesProbe("the model", files))
        if settings.srs is not None:
            pulse.add("the reference string", FilesProbe("the reference string", [settings.srs]))
        return pulse

    def _wake_workers(self) -> None:
        """After a fault they wait longer and longer; now that it is over they need not."""
        for worker in self._workers.values():
            worker.wake()

    def _ended_reason(self) -> str | None:
        """A thread that nothing should end (its memory ran out, say) leaves work undone for ever."""
        ended = [name for name, worker in self._workers.items() if worker.has_ended]
        return f"its {ended[0]} ended; restart the node" if ended else None

    def _on_this_chain(self, step: Callable[[], None]) -> Callable[[], None]:
        """Nothing is sent to another chain that took the place of this one."""

        def guarded() -> None:
            self.follower.require_same_chain()
            step()

        return guarded

    def _while_named(self, step: Callable[[], None]) -> Callable[[], None]:
        """Nothing is sent that only the owner and its operator may send, once the account is neither any more."""

        def guarded() -> None:
            state = self.follower.state
            if state is not None and (reason := state.keys.account_reason()) is not None:
                raise KeyNotNamedError(reason)
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
        if state is None:
            return None
        if self._serving.own is None:
            return self.capacity.reason(len(state.games))
        # Audits off chain are put off for those on chain: of them one proof at most is under way.
        under_way = min(1, self.audits.waiting[0])
        return self._audit_reason(1, self._access.parameters.max_audit_items + under_way)

    def _audit_reason(self, audits: int, items: int) -> str | None:
        """Why so many audits more could not be answered beside those that the chain waits for."""
        open_audits = self.answerer.open_audits()
        items += sum(len(audit.items) for audit in open_audits)
        return self.capacity.audit_reason(
            audits + len(open_audits), items, self._access.parameters.audit_window
        )

    def _timed_trace(self, trace: AuditedTrace) -> AuditedTrace:
        """Of an audited answer, made now, so that no proof seems to take as long as it does."""
        timed = cast(AuditedTrace, self.capacity.timed(trace))  # it passes on whatever it does not time
        timed.first_unprovable()
        return timed

    def _replay(
        self, prompt_ids: Sequence[int], output_ids: Sequence[int], sampling: Sampling | None
    ) -> ProvingTrace:
        return self.capacity.timed(self._serving.replay(prompt_ids, output_ids, sampling))

    def _add_gauges(self) -> None:
        def of_state(value: Callable[[], float]) -> Callable[[], float]:
            return lambda: value() if self.follower.state is not None else float("nan")

        gauge, follower = self.metrics.gauge, self.follower
        gauge("gainsay_queue_waiting", "Requests that wait", lambda: self.service.queue.waiting)
        gauge(
            "gainsay_sequences_running", "Answers that are generated now", lambda: self.service.queue.running
        )
        gauge(
            "gainsay_cache_used", "Share of the memory for keys and values that they hold (NaN: one at a time)",
            lambda: self.service.queue.blocks_used,
        )  # fmt: skip
        gauge(
            "gainsay_tokens_reused", "Share of all tokens that stood in memory and were not run again (NaN: none yet)",
            lambda: self.service.queue.reused_share,
        )  # fmt: skip
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
            "gainsay_open_audits",
            "Audits on chain that wait for proofs",
            lambda: len(self.answerer.open_audits()),
        )
        gauge(
            "gainsay_open_disputes",
            "Open games",
            of_state(lambda: len(follower.state.games)),  # type: ignore[union-attr]
        )
