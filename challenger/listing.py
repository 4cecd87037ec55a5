"""Asks providers about batches: one worker per URL, so that none waits for another, and none can wait for ever."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from contracts.bindings.deployment import ProtocolContracts
from contracts.protocol.response import ResponseFields, response_leaf
from contracts.protocol.token_ids import pack_token_ids, unpack_token_ids

from .errors import ProviderUnreachable
from .local_models import LocalModel, ModelFinder
from .pace import backoff_s
from .policies import BySuspicion, Candidate, Policy, drawn, ticket_of
from .provider_client import BatchOnChain, KnownResponse, ProviderBook, ProviderClient
from .store import BatchRow, ResponseRow, Store
from .tables import ShownRow, decode_fields, encode_fields
from .verdicts import malformed

log = structlog.get_logger(__name__)
_FIRST_RETRY_S = 2.0
_LONGEST_RETRY_S = 60.0
#: What one provider's batches may take of a URL's worker per minute, in seconds.
_BUDGET_S_PER_MINUTE = 30.0
_FOREIGN = "its model is not on this machine, or not a trusted one"
_MOST_POSITIONS = 2**31


BatchName = tuple[str, bytes]
#: What a well-formed response keeps to: positions, and the scale of logits that says which sampling rules there are.
Limits = tuple[int, int]


def name_of(batch: BatchRow) -> BatchName:
    """(provider, salt): a provider uses a salt once, and a reorganisation changes neither. Numbers change then, and one
    root can be posted many times."""
    return batch.provider, batch.salt


@dataclass
class _Asking:
    """What one URL was asked so far. Only its own worker uses it; after a restart everything is asked again."""

    tries: dict[BatchName, int] = field(default_factory=lambda: defaultdict(int))
    next_try_s: dict[BatchName, float] = field(default_factory=lambda: defaultdict(float))
    spent_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    minute: int = 0
    spent_this_minute_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def spend(self, provider: str, seconds: float) -> None:
        self.spent_s[provider] += seconds
        self.spent_this_minute_s[provider] += seconds

    def forget_all_but(self, names: set[BatchName]) -> None:
        if len(self.tries) > 2 * len(names) + 64:
            self.tries = defaultdict(int, {name: self.tries[name] for name in names & self.tries.keys()})
            self.next_try_s = defaultdict(
                float, {name: self.next_try_s[name] for name in names & self.next_try_s.keys()}
            )

    def new_minute(self) -> None:
        if self.minute != (minute := int(time.monotonic() // 60)):
            self.minute = minute
            self.spent_this_minute_s.clear()


class Lister:
    """Turns posted batches into responses. `now` is the chain's time."""

    def __init__(
        self,
        contracts: ProtocolContracts,
        store: Store,
        models: ModelFinder,
        book: ProviderBook,
        policy: Policy,
        now: Callable[[], int],
        window_s: int,
    ) -> None:
        self._contracts, self._store, self._models = contracts, store, models
        self._book, self._policy, self._now = book, policy, now
        self._window_s = window_s
        self._secret = store.secret()
        self._asked: dict[str, _Asking] = {}
        self._warned: set[BatchName] = set()
        self._foreign: set[bytes] = set()  # models that were told to be not here

    def step(self, client: ProviderClient) -> bool:
        """Ask this URL about one batch, if one is due; whether one was."""
        asking = self._asked.setdefault(client.base_url, _Asking())
        asking.new_minute()
        if (batch := self._next(client, asking)) is None:
            return False
        asking.tries[name_of(batch)] += 1
        started = time.monotonic()
        try:
            self._ask(client, batch)
        except ProviderUnreachable as error:
            self._not_shown(batch, str(error))
        except Exception as error:
            log.exception("batch not read", batch=batch.batch_id, provider=batch.provider)
            self._not_shown(batch, f"it could not be read here ({type(error).__name__}); trying again later")
        finally:
            asking.spend(batch.provider, time.monotonic() - started)
            left_s = max(0, batch.deadline - self._now())
            longest_s = min(_LONGEST_RETRY_S, max(_FIRST_RETRY_S, left_s / 8))
            pause_s = backoff_s(asking.tries[name_of(batch)], first_s=_FIRST_RETRY_S, longest_s=longest_s)
            asking.next_try_s[name_of(batch)] = time.monotonic() + pause_s
        return True

    def close_unseen(self) -> None:
        """Say loudly which batches are not shown when half of the window is over, and when it is closed."""
        now = self._now()
        for batch in self._store.batches("new"):
            if batch.deadline < now:
                problem = batch.problem or "its challenge window closed unseen"
                self._store.set_batch(batch.batch_id, batch.root, "closed", problem)
                log.error(
                    "batch closed unseen", batch=batch.batch_id, provider=batch.provider, because=problem
                )
            elif name_of(batch) not in self._warned and batch.deadline - now < self._window_s / 2:
                self._warned.add(name_of(batch))
                log.error(
                    "batch still not shown whole",
                    batch=batch.batch_id,
                    provider=batch.provider,
                    left_s=batch.deadline - now,
                    because=batch.problem or "nobody was asked yet",
                )
            if batch.problem is None and not self._book.of(batch.provider):
                self._not_shown(batch, f"no URL is known for {batch.provider}; name it with --provider")

    def take_shown(self) -> bool:
        """Put what was shown on chain among the responses, whoever asked for it; whether there was anything."""
        taken = 0
        for row, batch in self._store.asks.shown():
            try:
                response = None if batch is None else self._read_shown(row, batch)
            except Exception:
                log.exception("shown response not read", batch=row.batch_id, index=row.index)
                response = None
            try:
                self._store.asks.take_shown(row, response)
                taken += 1
            except Exception:  # the database is busy, say: it stays to be taken
                log.exception("shown response not taken yet", batch=row.batch_id, index=row.index)
                continue
            if batch is not None:
                known = self._store.known_responses(batch.batch_id)
                if sum(known.values()) == batch.count:
                    self._store.set_batch(batch.batch_id, batch.root, "listed", None)
        return taken > 0

    def _read_shown(self, row: ShownRow, batch: BatchRow) -> ResponseRow | None:
        """The contract checked leaf and ids; a lying endpoint must still not cost a bond."""
        fields = decode_fields(row.fields_json)
        ids = tuple(unpack_token_ids(row.prompt_packed)), tuple(unpack_token_ids(row.output_packed))
        leaf = response_leaf(
            self._contracts.chain.chain_id,
            self._contracts.ledger.address,
            batch.provider,
            batch.model_id,
            batch.salt,
            row.index,
            fields,
        )
        if leaf != row.leaf or not fields.matches(*ids):
            log.error(
                "the chain shows something else than its event says", batch=row.batch_id, index=row.index
            )
            return None
        response = KnownResponse(row.index, leaf, fields, tuple(row.path), ids)
        model = self._models.find(batch.model_id)
        is_drawn = self._store.asks.is_asked_for(row.batch_id, row.index)
        if not is_drawn:
            locked_wei = self._contracts.stake.account(batch.provider).locked
            is_drawn = self._is_drawn(batch, response, locked_wei, 0)
        return self._row(batch, response, None if model is None else _limits(model), is_drawn)

    def _next(self, client: ProviderClient, asking: _Asking) -> BatchRow | None:
        """Never asked before asked again; providers in turn by the time spent on them; first deadline first."""
        now, now_s = self._now(), time.monotonic()
        new = self._store.batches("new")
        asking.forget_all_but({name_of(batch) for batch in new})
        due = [
            batch
            for batch in new
            if batch.deadline >= now
            and asking.next_try_s.get(name_of(batch), 0.0) <= now_s
            and asking.spent_this_minute_s.get(batch.provider, 0.0) < _BUDGET_S_PER_MINUTE
            and client in self._book.of(batch.provider)
        ]
        return min(
            due,
            key=lambda batch: (
                asking.tries.get(name_of(batch), 0) > 0,
                asking.spent_s.get(batch.provider, 0.0),
                batch.deadline,
                batch.batch_id,
            ),
            default=None,
        )

    def _ask(self, client: ProviderClient, batch: BatchRow) -> None:
        on_chain = BatchOnChain(
            batch.batch_id, batch.provider, batch.model_id, batch.root, batch.salt, batch.count
        )
        before = self._store.known_responses(batch.batch_id)
        known = client.responses(
            on_chain, self._contracts.chain.chain_id, self._contracts.ledger.address, before.keys()
        )
        model = self._models.find(batch.model_id)
        limits = None if model is None else _limits(model)
        if model is None and batch.model_id not in self._foreign:
            self._foreign.add(batch.model_id)
            named = "0x" + batch.model_id.hex()
            log.warning(
                "responses of a model are not judged", model_id=named, batch=batch.batch_id, because=_FOREIGN
            )
        locked_wei = self._contracts.stake.account(batch.provider).locked
        outputs: dict[bytes, set[bytes]] = defaultdict(set)
        for response in known:
            outputs[response.fields.output_hash].add(response.fields.prompt_hash)
        rows = []
        for response in known:
            if before.get(response.index, False) or (response.index in before and response.ids is None):
                continue
            fields = response.fields
            repeats = 0
            if isinstance(self._policy, BySuspicion):
                elsewhere = self._store.repeats(fields.output_hash, fields.prompt_hash)
                repeats = max(len(outputs[fields.output_hash]) - 1, elsewhere)
            is_drawn = self._is_drawn(batch, response, locked_wei, repeats)
            rows.append(self._row(batch, response, limits, is_drawn))
        self._store.add_responses(batch, rows)
        after = self._store.known_responses(batch.batch_id)
        with_ids = sum(after.values())
        if len(after) < batch.count:
            self._not_shown(batch, f"only {len(after)} of {batch.count} responses are shown")
        elif with_ids < batch.count:
            self._not_shown(batch, f"the token ids of {batch.count - with_ids} responses are withheld")
        else:
            self._store.set_batch(batch.batch_id, batch.root, "listed", None)

    def _not_shown(self, batch: BatchRow, problem: str) -> None:
        if batch.problem != problem:
            log.warning("batch not shown", batch=batch.batch_id, provider=batch.provider, because=problem)
            self._store.set_batch(batch.batch_id, batch.root, "new", problem)

    def _is_drawn(self, batch: BatchRow, response: KnownResponse, locked_wei: int, repeats: int) -> bool:
        prompt_ids, output_ids = response.ids or ((), ())
        candidate = Candidate(
            leaf=response.leaf,
            provider=batch.provider,
            fee_wei=response.fields.fee_wei,
            locked_stake_wei=locked_wei,
            prompt_ids=prompt_ids,
            output_ids=output_ids,
            repeats=repeats,
            latency_s=response.latency_s,
        )
        return drawn(self._policy.share(candidate), response.leaf, self._secret)

    def _row(
        self, batch: BatchRow, response: KnownResponse, limits: Limits | None, is_drawn: bool
    ) -> ResponseRow:
        state, why = _first_state(response.fields, response.ids is not None, limits, is_drawn)
        return ResponseRow(
            batch_id=batch.batch_id,
            index=response.index,
            provider=batch.provider,
            model_id=batch.model_id,
            deadline=batch.deadline,
            positions=_replayed_positions(response.fields, limits),
            ticket=ticket_of(response.leaf, self._secret),
            leaf=response.leaf,
            fields_json=encode_fields(response.fields),
            path_nodes=b"".join(response.path),
            prompt_packed=None if response.ids is None else pack_token_ids(response.ids[0]),
            output_packed=None if response.ids is None else pack_token_ids(response.ids[1]),
            output_hash=response.fields.output_hash,
            prompt_hash=response.fields.prompt_hash,
            latency_s=response.latency_s,
            state=state,
            why=why,
        )


def _limits(model: LocalModel) -> Limits:
    return model.commitment.max_positions, model.commitment.logit_scale


def _first_state(
    fields: ResponseFields, has_ids: bool, limits: Limits | None, is_drawn: bool
) -> tuple[str, str]:
    if not is_drawn:
        return "skipped", "not drawn by the policy"
    if limits is None:
        return "unknown", _FOREIGN
    # What the contract itself voids needs no ids.
    if not has_ids and malformed(fields, *limits) is None:
        return "withheld", "the provider does not show the token ids"
    return "pending", ""


def _replayed_positions(fields: ResponseFields, limits: Limits | None) -> int:
    """How many positions deciding it takes: what is malformed is decided without a replay."""
    if limits is None or malformed(fields, *limits) is not None:
        return 1
    return min(fields.positions, _MOST_POSITIONS)
