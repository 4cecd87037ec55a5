"""The challenger's loop: watch, play, list, judge, dispute, settle."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from contracts.bindings.chain import Block
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.errors import BindingsError, ContractError
from contracts.bindings.sender import Sender
from prover.errors import GainsayError

from .errors import ProviderUnreachable
from .game_play import GamePlayer
from .local_models import ModelFinder
from .policies import Candidate, Policy, drawn
from .provider_client import BatchOnChain, KnownResponse, ProviderClient
from .store import BatchRow, ResponseRow, Store, encode_fields
from .verdicts import Judgement, Verdict, judge
from .watcher import Watcher

log = structlog.get_logger(__name__)
_RETRY_S = 5.0
_UNDECIDED = ("pending", "unknown", "withheld")


@dataclass(frozen=True)
class Options:
    """`force_reveal`: stake a bond on responses whose ids the provider withholds, so that it must show them on
    chain; the bond is lost when they turn out right. `opening_margin_s`: do not open a game so shortly before
    the challenge window closes."""

    watch_only: bool = False
    force_reveal: bool = False
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
        providers: Mapping[str, ProviderClient],
        policy: Policy,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self._contracts = contracts
        self._sender = None if self.options.watch_only else sender
        self._store = store
        self._models = models
        self._providers = providers
        self._policy = policy
        self._secret = store.secret()
        parameters = contracts.stake.parameters()
        self._bond_wei = parameters.challenger_bond
        self._arity = parameters.arity
        address = sender.address if sender else None
        self._watcher = Watcher(contracts, store, address, confirmations=self.options.confirmations)
        self._player = (
            GamePlayer(contracts, self._sender, store, models, self._arity) if self._sender else None
        )

    def run(self, stop: threading.Event) -> None:
        """Until stopped; a failing chain or provider is logged and tried again."""
        while not stop.is_set():
            try:
                busy = self.tick()
            except BindingsError as error:
                log.error("chain trouble", because=str(error))
                busy = False
            if not busy:
                stop.wait(self.options.poll_s)

    def tick(self) -> bool:
        """One round; True when there may be more to do at once. Own games come first: they have clocks."""
        if self.options.max_head_age_s is not None:
            self._contracts.chain.require_fresh(self.options.max_head_age_s)
        if self._sender is not None:
            self._sender.recover()
        self._watcher.poll()
        head = self._contracts.chain.confirmed_head(self.options.confirmations)
        moved = self._player.play(head) if self._player else 0
        listed = self._list_batches(head)
        judged = self._judge_one(head)
        self._withdraw(head)
        return bool(moved or listed or judged)

    # --- what is there

    def _list_batches(self, head: Block) -> int:
        """Ask the providers about new batches."""
        listed = 0
        for row in self._store.batches("new", time.time()):
            if row.deadline < head.timestamp:
                row.state, row.problem = "closed", row.problem or "its challenge window closed unseen"
                self._store.save_batch(row)
                continue
            client = self._providers.get(row.provider) or self._providers.get("")
            try:
                if client is None:
                    raise ProviderUnreachable(f"no URL is known for {row.provider}; name it with --provider")
                known = client.responses(_on_chain(row), self._chain_id, self._contracts.ledger.address)
            except ProviderUnreachable as error:
                if row.problem != str(error):
                    log.warning("batch not shown", batch=row.batch_id, because=str(error))
                row.problem, row.next_try_at = str(error), time.time() + _RETRY_S
                self._store.save_batch(row)
                continue
            row.problem = (
                None if len(known) == row.count else f"only {len(known)} of {row.count} responses are shown"
            )
            complete = len(known) == row.count
            row.state = "listed" if complete else "new"
            row.next_try_at = 0.0 if complete else time.time() + _RETRY_S
            self._store.save_batch(row, [_response_row(row.batch_id, response) for response in known])
            listed += 1 if complete else 0
        return listed

    # --- what it is worth

    def _judge_one(self, head: Block) -> bool:
        """Decide one response; one only, because a replay takes seconds and games have clocks."""
        for row in self._store.responses(_UNDECIDED, time.time()):
            batch = self._store.batch(row.batch_id)
            if batch is None:
                continue
            if self._too_late(batch, row, head):
                self._settle_verdict(row, "skipped", row.why or "its challenge window is over")
            elif row.state == "pending" and not self._drawn(batch, row):
                self._settle_verdict(row, "skipped", "not drawn by the policy")
            else:
                self._judge(batch, row)
                return True
        for row in self._store.responses(["invalid"], time.time()):
            # An invalid response whose game could not be opened yet (no ether, or a kill in between).
            if row.next_try_at > 0:
                self._dispute(row, reveal_requested=False)
                return False
        return False

    def _judge(self, batch: BatchRow, row: ResponseRow) -> None:
        model = self._models.find(batch.model_id)
        if model is None:
            verdict = Verdict(Judgement.UNKNOWN, "its model is not on this machine, or not a trusted one")
        elif row.ids is None:
            client = self._providers.get(batch.provider) or self._providers.get("")
            row = self._look_again(batch, row, client)
            if row.ids is None:
                self._settle_verdict(row, "withheld", "the provider does not show the token ids", again=True)
                if self.options.force_reveal:
                    self._dispute(row, reveal_requested=True)
                return
            return self._judge(batch, row)
        else:
            prompt_ids, output_ids = row.ids
            verdict = judge(
                row.fields,
                prompt_ids,
                output_ids,
                model.rules(self._arity),
                model.commitment.max_positions,
                model.replay,
            )
        log.info(
            "verdict", batch=row.batch_id, index=row.index, verdict=str(verdict.judgement), why=verdict.why
        )
        unknown = verdict.judgement is Judgement.UNKNOWN
        invalid = verdict.judgement is Judgement.INVALID
        # The verdict is written down as one to dispute before the bond is staked.
        self._settle_verdict(row, str(verdict.judgement), verdict.why, again=unknown or invalid)
        if invalid:
            self._dispute(row, reveal_requested=False)

    def _look_again(self, batch: BatchRow, row: ResponseRow, client: ProviderClient | None) -> ResponseRow:
        """The ids may be shown by now."""
        if client is None:
            return row
        try:
            known = client.responses(_on_chain(batch), self._chain_id, self._contracts.ledger.address)
        except ProviderUnreachable:
            return row
        found = next((response for response in known if response.index == row.index), None)
        if found is not None and found.ids is not None:
            row.ids_json = json.dumps(found.ids)
            row.state = "pending"
            self._store.save_response(row)
        return row

    def _drawn(self, batch: BatchRow, row: ResponseRow) -> bool:
        prompt_ids, output_ids = row.ids or ([], [])
        candidate = Candidate(
            leaf=row.leaf,
            provider=batch.provider,
            fee_wei=row.fields.fee_wei,
            locked_stake_wei=self._contracts.stake.account(batch.provider).locked,
            prompt_ids=prompt_ids,
            output_ids=output_ids,
            repeats=self._store.repeats(row),
            latency_s=row.latency_s,
        )
        return drawn(self._policy.share(candidate), row.leaf, self._secret)

    def _too_late(self, batch: BatchRow, row: ResponseRow, head: Block) -> bool:
        limit = batch.deadline
        state = self._contracts.ledger.response(row.batch_id, row.index)
        if state.disputed:
            limit = max(limit, state.challenge_deadline)
        return state.is_void or head.timestamp + self.options.opening_margin_s > limit

    # --- what is done about it

    def _dispute(self, row: ResponseRow, *, reveal_requested: bool) -> None:
        """Open a game, once per response; its moves are the player's business."""
        if self._sender is None:
            self._settle_verdict(row, row.state, row.why, again=row.state == "withheld")
            return
        call = self._contracts.game.open(
            row.batch_id,
            row.index,
            row.fields,
            row.path,
            reveal_requested=reveal_requested,
            bond_wei=self._bond_wei,
        )
        try:
            self._sender.send(call, key=f"open {row.leaf.hex()}")
        except ContractError as error:
            log.warning("not disputed", batch=row.batch_id, index=row.index, because=str(error))
            again = error.name == "TooManyGames"
            self._settle_verdict(row, row.state, f"{row.why}; {error.name}", again=again)
        except BindingsError as error:
            # Ether or the chain is missing; the intent is journalled and tried again.
            log.error("not disputed yet", batch=row.batch_id, index=row.index, because=str(error))
            self._settle_verdict(row, row.state, row.why, again=True)
        else:
            log.info("disputed", batch=row.batch_id, index=row.index, reveal=reveal_requested)
            state = "disputed" if reveal_requested else row.state
            self._settle_verdict(row, state, row.why)

    def _settle_verdict(self, row: ResponseRow, state: str, why: str, *, again: bool = False) -> None:
        row.state, row.why = state, why
        row.next_try_at = time.time() + _RETRY_S if again else 0.0
        self._store.save_response(row)

    def _withdraw(self, head: Block) -> None:
        """Fetch what was won."""
        if self._sender is None:
            return
        credits_wei = self._contracts.stake.credits(self._sender.address, block=head.number)
        if credits_wei == 0:
            return
        try:
            self._sender.send(self._contracts.stake.withdraw(), key=f"withdraw at block {head.number}")
            log.info("withdrawn", wei=credits_wei)
        except GainsayError as error:
            log.warning("not withdrawn", because=str(error))

    @property
    def _chain_id(self) -> int:
        return self._contracts.chain.chain_id


def _on_chain(row: BatchRow) -> BatchOnChain:
    return BatchOnChain(row.batch_id, row.provider, row.model_id, row.root, row.salt, row.count)


def _response_row(batch_id: int, response: KnownResponse) -> ResponseRow:
    return ResponseRow(
        batch_id=batch_id,
        index=response.index,
        leaf=response.leaf,
        fields_json=encode_fields(response.fields),
        path_json=json.dumps([node.hex() for node in response.path]),
        ids_json=None if response.ids is None else json.dumps(response.ids),
        output_hash=response.fields.output_hash,
        prompt_hash=response.fields.prompt_hash,
        latency_s=response.latency_s,
    )
