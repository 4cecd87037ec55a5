"""What pages show, as JSON values: batches, responses, disputes, models, accounts. Times are seconds of the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from contracts.bindings import events as logs
from contracts.bindings.books import AuditBook, GameBook
from contracts.bindings.events import Event
from contracts.bindings.inference_ledger import Batch
from contracts.protocol.game import MOVER_OF_PHASE, Outcome
from contracts.protocol.parameters import NOBODY
from prover.errors import NotFoundError

from .index import Index, Run
from .stories import GameStory, StepName, Told

#: The most entries of a page, and what a page has where nobody says.
LONGEST_PAGE = 200
PAGE = 25

_WEI = (
    "lock_per_response",
    "provider_bond",
    "challenger_bond",
    "receipt_claim_bond",
    "ask_price",
    "game_reward",
)


class Pages:
    """Reads one index. Raises NotFoundError for what is not there."""

    def __init__(
        self,
        index: Index,
        *,
        model_names: Mapping[bytes, str] | None = None,
        step_names: Mapping[bytes, StepName] | None = None,
    ) -> None:
        """`model_names`, `step_names`: of models that somebody here knows by more than their id."""
        self._index = index
        self._model_names, self._step_names = dict(model_names or {}), dict(step_names or {})

    # --- the whole

    def overview(self) -> dict[str, Any]:
        index = self._index
        with index.lock:
            books, head, cursor = index.books, index.head, index.cursor
            outcomes = [game.outcome for game in books.games.values()]
            totals = books.totals()
            stakes = [book.stake for book in books.accounts.values()]
            return {
                "chain": {
                    "id": index.chain.chain_id,
                    "head": head.number if head else 0,
                    "time": head.timestamp if head else 0,
                    "read_to": cursor.number if cursor else index.contracts.deployment.first_block - 1,
                    "from": index.contracts.deployment.first_block,
                    "delayed_until": books.delayed_until,
                },
                "contracts": self._contracts(),
                "parameters": {
                    name: str(value) if name in _WEI else value
                    for name, value in asdict(index.parameters).items()
                },
                "totals": {
                    "batches": len(books.batches),
                    "responses": index.ledgers.all.total,
                    "void": sum(state.is_void for state in books.responses.values()),
                    "games": len(books.games),
                    "open_games": outcomes.count(Outcome.UNDECIDED),
                    "provider_won": outcomes.count(Outcome.PROVIDER_WON),
                    "challenger_won": outcomes.count(Outcome.CHALLENGER_WON),
                    "audits": len(books.audits),
                    "models": len(books.models),
                    "providers": sum(stake.total > 0 for stake in stakes),
                    "claims": len(books.receipts),
                    "stake_wei": str(totals.stake),
                    "escrow_wei": str(totals.escrow),
                    "credits_wei": str(totals.credits),
                    "burned_wei": str(totals.burned),
                },
                "unreadable": len(books.unreadable),
            }

    def _contracts(self) -> dict[str, str]:
        record = self._index.contracts
        return {
            "registry": record.registry.address,
            "stake": record.stake.address,
            "ledger": record.ledger.address,
            "game": record.game.address,
            "audits": record.audits.address,
            "receipts": record.receipts.address,
            "payments": record.payments.address,
        }

    # --- batches and responses

    def batches(
        self,
        *,
        before: int | None = None,
        limit: int = PAGE,
        provider: str | None = None,
        model: str | None = None,
    ) -> dict[str, Any]:
        """Newest first; `before`: only those behind the entry of this place in the list."""
        with self._index.lock:
            run = self._run(provider, model)
            places, older = _page(len(run.batches), before, limit)
            return {
                "total": len(run.batches),
                "before": older,
                "batches": [self._batch(run.batches[place]) for place in places],
            }

    def batch(self, batch_id: int, *, first: int = 0, limit: int = PAGE) -> dict[str, Any]:
        """One batch, with its responses from `first` on."""
        index = self._index
        with index.lock:
            shown = self._batch(batch_id)
            batch = index.books.batches[batch_id]
            last = min(batch.count, first + _limit(limit))
            responses = [self._response(batch_id, place) for place in range(max(0, first), last)]
            events = index.events_of_batch(batch_id)
        posting = next((event for event in events if isinstance(event, logs.BatchPosted)), None)
        return shown | {
            "first": first,
            "responses": responses,
            "transaction": _hex(posting.at.transaction_hash) if posting else None,
            "block": posting.at.block_number if posting else None,
            "gas": index.gas_used(posting) if posting else 0,
            "events": [self._event(event) for event in events],
        }

    def responses(
        self,
        *,
        before: int | None = None,
        limit: int = PAGE,
        provider: str | None = None,
        model: str | None = None,
    ) -> dict[str, Any]:
        """All responses, newest first."""
        with self._index.lock:
            run = self._run(provider, model)
            numbers, older = _page(run.total, before, limit)
            shown = [self._response(*run.response(number)) | {"number": number + 1} for number in numbers]
            return {"total": run.total, "before": older, "responses": shown}

    def response(self, batch_id: int, place: int) -> dict[str, Any]:
        index = self._index
        with index.lock:
            batch = self._batch(batch_id)
            if not 0 <= place < batch["count"]:
                raise NotFoundError(f"batch {batch_id} has {batch['count']} responses, counted from 0")
            shown = self._response(batch_id, place) | {"batch": batch}
            events = index.events_of_response(batch_id, place)
            games = index.books.games_of_response(batch_id, place, 0, LONGEST_PAGE).games
            shown["games"] = [self._game(game) for game in games]
            shown["audits"] = [
                self._audit(audit)
                for audit in index.books.audits.values()
                if (audit.batch_id, audit.index) == (batch_id, place)
            ]
        fields = next((event.fields for event in events if hasattr(event, "fields")), None)
        shown["fields"] = None if fields is None else plain(asdict(fields))
        shown["leaf"] = next((_hex(event.leaf) for event in events if hasattr(event, "leaf")), None)
        shown["events"] = [self._event(event) for event in events]
        return shown

    def _run(self, provider: str | None, model: str | None) -> Run:
        ledgers = self._index.ledgers
        if provider is not None:
            return ledgers.of_provider.get(provider, Run())
        if model is not None:
            return ledgers.of_model.get(_bytes(model), Run())
        return ledgers.all

    def _batch(self, batch_id: int) -> dict[str, Any]:
        books = self._index.books
        if (batch := books.batches.get(batch_id)) is None:
            raise NotFoundError(f"there is no batch {batch_id}; {len(books.batches)} are known")
        return {
            "batch_id": batch_id,
            "provider": batch.provider,
            "model": self._model_label(batch.model_id),
            "root": _hex(batch.root),
            "salt": _hex(batch.salt),
            "count": batch.count,
            "touched": batch.disputed_count,
            "posted_at": batch.posted_at,
            "challenge_deadline": batch.deadline,
            "state": self._batch_state(batch),
        }

    def _batch_state(self, batch: Batch) -> str:
        if batch.finalised:
            return "final"
        return "can be disputed" if self._now() <= batch.deadline else "waits to be finalised"

    def _response(self, batch_id: int, place: int) -> dict[str, Any]:
        books = self._index.books
        batch, state = books.batches[batch_id], books.response(batch_id, place)
        deadline = state.challenge_deadline if state.disputed else batch.deadline
        if state.is_void:
            status = "void"
        elif state.open_games:
            status = "disputed"
        elif self._now() > deadline and not state.is_asked_for:
            status = "final"
        else:
            status = "pending"
        return {
            "batch_id": batch_id,
            "index": place,
            "provider": batch.provider,
            "model": self._model_label(batch.model_id),
            "state": status,
            "challenge_deadline": deadline,
            "posted_at": batch.posted_at,
            "open_games": state.open_games,
            "games": books.games_of_response(batch_id, place, 0, 0).total,
            "asked": state.is_asked_for,
            "show_deadline": state.show_deadline if state.is_asked_for else None,
            "shown": state.shown,
        }

    # --- disputes and audits

    def games(
        self,
        *,
        before: int | None = None,
        limit: int = PAGE,
        account: str | None = None,
        open_only: bool = False,
    ) -> dict[str, Any]:
        """Disputes, newest first; of one side, or those that are not over."""
        with self._index.lock:
            games = list(self._index.books.games.values())
            if account is not None:
                games = [game for game in games if account in (game.provider, game.challenger)]
            if open_only:
                games = [game for game in games if game.outcome is Outcome.UNDECIDED]
            places, older = _page(len(games), before, limit)
            return {
                "total": len(games),
                "before": older,
                "games": [self._game(games[place]) for place in places],
            }

    def game(self, game_id: int) -> dict[str, Any]:
        """One dispute as a story."""
        index = self._index
        with index.lock:
            book = index.books.games.get(game_id)
            if book is None:
                raise NotFoundError(f"there is no dispute {game_id}; {len(index.books.games)} are known")
            shown = self._game(book)
            model = index.ledgers.models.get(book.model_id)
            void = index.books.response(book.batch_id, book.index).is_void
        events = index.events_of_game(game_id)
        if not events:
            raise NotFoundError(f"dispute {game_id} left the chain just now")
        told = [(event, self._told(event)) for event in events]
        steps = model.spec.step_count if model else 1
        names = self._step_names.get(book.model_id) or _unnamed
        story = GameStory(game_id, told[0][1], steps, names, index.parameters)
        for _, event in told:
            story.add(event)
        return shown | story.as_json(self._bond_wei(events[0])) | {"void": void}

    def _told(self, event: Event) -> Told:
        return Told(
            type(event).__name__,
            asdict(event),
            self._index.timestamp(event),
            self._index.gas_used(event),
            _hex(event.at.transaction_hash),
        )

    def _bond_wei(self, opening: Event) -> int:
        """What came with the opening, from the ledger's own event in the same transaction."""
        for event in self._index.events_of_transaction(opening.at.transaction_hash):
            if (
                isinstance(event, logs.ResponseDisputed)
                and isinstance(opening, logs.GameOpened)
                and (event.batch_id, event.index) == (opening.batch_id, opening.index)
            ):
                return event.bond
        return self._index.parameters.challenger_bond

    def _game(self, game: GameBook) -> dict[str, Any]:
        undecided = game.outcome is Outcome.UNDECIDED
        mover = MOVER_OF_PHASE.get(game.phase) if undecided else None
        return {
            "game_id": game.game_id,
            "batch_id": game.batch_id,
            "index": game.index,
            "provider": game.provider,
            "challenger": game.challenger,
            "model": self._model_label(game.model_id),
            "block": game.opened_in_block,
            "phase": game.phase.name.removeprefix("AWAIT_").lower(),
            "mover": None if mover is None else mover.name.lower(),
            "deadline": game.deadline,
            "outcome": None if undecided else game.outcome.name.lower(),
            "reason": None if undecided else game.reason.name.lower(),
        }

    def audits(self, *, before: int | None = None, limit: int = PAGE) -> dict[str, Any]:
        """Audits of private models, newest first."""
        with self._index.lock:
            audits = list(self._index.books.audits.values())
            places, older = _page(len(audits), before, limit)
            return {
                "total": len(audits),
                "before": older,
                "audits": [self._audit(audits[place]) for place in places],
            }

    def _audit(self, audit: AuditBook) -> dict[str, Any]:
        undecided = audit.outcome is Outcome.UNDECIDED
        return {
            "audit_id": audit.audit_id,
            "batch_id": audit.batch_id,
            "index": audit.index,
            "provider": audit.provider,
            "auditor": audit.auditor,
            "model": self._model_label(audit.model_id),
            "block": audit.opened_in_block,
            "items": len(audit.items),
            "proven": len(audit.proven),
            "bond_wei": str(audit.bond_wei),
            "deadline": audit.deadline,
            "outcome": None if undecided else audit.outcome.name.lower(),
            "reason": None if undecided else audit.reason.name.lower(),
        }

    # --- models and accounts

    def models(self) -> dict[str, Any]:
        with self._index.lock:
            return {"models": [self._model(model_id) for model_id in reversed(self._index.ledgers.models)]}

    def model(self, model_id: str) -> dict[str, Any]:
        with self._index.lock:
            identity = _bytes(model_id)
            if identity not in self._index.ledgers.models:
                raise NotFoundError(f"no model {model_id[:80]} is registered here")
            event = self._index.ledgers.models[identity]
            spec = plain(asdict(event.spec))
            return self._model(identity) | {
                "spec": spec,
                "step_verifiers": list(event.step_verifiers),
                "embedding_verifier": event.embedding_verifier,
                "head_verifier": event.head_verifier,
                "transaction": _hex(event.at.transaction_hash),
            }

    def _model(self, model_id: bytes) -> dict[str, Any]:
        ledgers = self._index.ledgers
        event, book, run = (
            ledgers.models[model_id],
            ledgers.books.models[model_id],
            ledgers.of_model.get(model_id),
        )
        return self._model_label(model_id) | {
            "registrant": book.registrant,
            "deprecated": book.deprecated,
            "steps": event.spec.step_count,
            "kinds": len(event.spec.kinds),
            "vocabulary": event.spec.vocab_size,
            "positions": event.spec.max_positions,
            "private": bool(event.spec.audit_stride),
            "batches": len(run.batches) if run else 0,
            "responses": run.total if run else 0,
            "block": event.at.block_number,
        }

    def _model_label(self, model_id: bytes) -> dict[str, Any]:
        return {"model_id": _hex(model_id), "name": self._model_names.get(model_id)}

    def accounts(self) -> dict[str, Any]:
        """Everybody with a stake or a batch, the most responses first."""
        with self._index.lock:
            ledgers = self._index.ledgers
            addresses = {a for a, book in ledgers.books.accounts.items() if book.stake.total} | set(
                ledgers.of_provider
            )
            shown = [self._account(address) for address in addresses]
            return {"accounts": sorted(shown, key=lambda one: (-one["responses"], one["address"]))}

    def account(self, address: str) -> dict[str, Any]:
        """An address as provider and as challenger; all zero for one that did nothing here."""
        with self._index.lock:
            books = self._index.books
            operator = books.operators.get(address, NOBODY)
            return self._account(address) | {
                "withdrawn_wei": str(books.account(address).withdrawn_wei),
                "operator": None if operator == NOBODY else operator,
                "signers": [
                    {"signer": key, "allowance_wei": str(facts.allowance), "slashed_wei": str(facts.slashed)}
                    | {"registered_at": facts.registered_at, "retired_at": facts.retired_at}
                    for (provider, key), facts in books.signers.items()
                    if provider == address
                ],
                "challenged": books.games_of_challenger(address, 0, 0).total,
            }

    def _account(self, address: str) -> dict[str, Any]:
        ledgers = self._index.ledgers
        book, run = ledgers.books.account(address), ledgers.of_provider.get(address)
        outcomes = [game.outcome for game in ledgers.books.games_of_provider(address, 0, 1 << 30).games]
        return {
            "address": address,
            "stake_wei": str(book.stake.total),
            "locked_wei": str(book.stake.locked),
            "exiting_wei": str(book.stake.exiting),
            "credits_wei": str(book.credits_wei),
            "paused": book.stake.is_paused,
            "batches": len(run.batches) if run else 0,
            "responses": run.total if run else 0,
            "games": len(outcomes),
            "open_games": outcomes.count(Outcome.UNDECIDED),
            "won": outcomes.count(Outcome.PROVIDER_WON),
            "lost": outcomes.count(Outcome.CHALLENGER_WON),
        }

    def _event(self, event: Event) -> dict[str, Any]:
        return {
            "name": type(event).__name__,
            "block": event.at.block_number,
            "at": self._index.timestamp(event),
            "transaction": _hex(event.at.transaction_hash),
        }

    def _now(self) -> int:
        return self._index.head.timestamp if self._index.head else 0


def _unnamed(step: int) -> str:
    """A step of a model that nobody here knows."""
    return f"step {step}"


def _page(total: int, before: int | None, limit: int) -> tuple[Sequence[int], int | None]:
    """Places of a page of a list whose newest entry is the last, and where the next page begins (None: nowhere)."""
    end = total if before is None else max(0, min(before, total))
    start = max(0, end - _limit(limit))
    return range(end - 1, start - 1, -1), start or None


def _limit(limit: int) -> int:
    return max(1, min(limit, LONGEST_PAGE))


def plain(value: Any) -> Any:
    """JSON of a decoded value: bytes as hex, integers above 2^53 as text."""
    match value:
        case bytes():
            return _hex(value)
        case bool() | str() | None:
            return value
        case int():
            return int(value) if abs(value) < 2**53 else str(int(value))
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case _:
            return [plain(item) for item in value]


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return b""


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
