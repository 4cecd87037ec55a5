"""What the settlement explorer shows: the account, batches with their answers, disputes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from contracts.protocol.parameters import ProtocolParameters
from contracts.protocol.token_ids import unpack_token_ids
from prover.model.tokenizer import Tokenizer

from .chain_follower import ChainFollower
from .game_story import GAME_EVENTS, tell
from .receipts import Issuer
from .records import Records
from .store import BatchRow, BatchState, Journal, ResponseRow

_BATCHES_SHOWN = 30
_RESPONSES_SHOWN = 20
_GAMES_SHOWN = 30
_EVENTS_READ = 3_000
_TEXT_SHOWN = 400


class Settlement:
    """Builds the explorer's snapshot; one per look at the chain, however many people watch."""

    def __init__(
        self,
        journal: Journal,
        records: Records,
        follower: ChainFollower,
        issuer: Issuer,
        parameters: ProtocolParameters,
        *,
        model_name: str,
        steps: int,
        step_name: Callable[[int], str],
        tokenizer: Tokenizer,
        game: str,
    ) -> None:
        self._journal, self._records, self._follower = journal, records, follower
        self._issuer, self._parameters, self._game = issuer, parameters, game
        self._model_name, self._steps, self._tokenizer = model_name, steps, tokenizer
        self._step_name = step_name
        self._cached: tuple[tuple[float, int], dict[str, Any]] | None = None

    def snapshot(self) -> dict[str, Any]:
        """The present state as JSON values."""
        state = self._follower.state
        answers = self._journal.response_count()
        key = (state.seen_at if state else 0.0, answers)
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self._build(answers))
        return self._cached[1]

    def _build(self, answers: int) -> dict[str, Any]:
        state = self._follower.state
        games = self._games()
        account = state.account if state else None
        return {
            "chain": {
                "id": self._issuer.chain_id,
                "head": state.head.number if state else 0,
                "time": self._follower.clock.now(),
                "delayed_until": state.delayed_until if state else 0,
                "ledger": self._issuer.ledger,
                "game": self._game,
            },
            "provider": {
                "address": self._issuer.provider,
                "stake_wei": str(account.total if account else 0),
                "locked_wei": str(account.locked if account else 0),
                "free_wei": str(state.free_stake_wei if state else 0),
                "credits_wei": str(state.credits_wei if state else 0),
                "balance_wei": str(state.balance_wei if state else 0),
                "burned_wei": str(state.totals.burned if state else 0),
            },
            "model": {
                "name": self._model_name,
                "model_id": "0x" + self._issuer.model_id.hex(),
                "steps": self._steps,
                "deprecated": self._is_deprecated(),
            },
            "parameters": {
                name: str(value) if name in _WEI else value
                for name, value in asdict(self._parameters).items()
            },
            "totals": {
                "responses": answers,
                "batches": self._journal.posted_count(),
                "open_games": sum(game["outcome"] is None for game in games),
                "provider_won": sum(game["outcome"] == "provider_won" for game in games),
                "challenger_won": sum(game["outcome"] == "challenger_won" for game in games),
            },
            "games": games[::-1][:_GAMES_SHOWN],
            "batches": self._batches(),
        }

    def _is_deprecated(self) -> bool:
        """Whether the registrant of the model marked it."""
        model_id = "0x" + self._issuer.model_id.hex()
        events = self._journal.events(names=["ModelDeprecated"])
        return any(json.loads(event.arguments)["model_id"] == model_id for event in events)

    def _games(self) -> list[dict[str, Any]]:
        state = self._follower.state
        present = state.games if state else {}
        events = self._journal.events(names=GAME_EVENTS, limit=_EVENTS_READ)
        rules = self._parameters
        amounts = rules.challenger_bond, rules.lock_per_response, rules.game_reward
        stories = tell(events, self._steps, self._step_name)
        told = [story for story in stories if story.provider == self._issuer.provider]
        return [story.as_json(present.get(story.game_id), *amounts) for story in told]

    def _batches(self) -> list[dict[str, Any]]:
        gas = {
            event.batch_id: event.gas_used
            for event in self._journal.events(names=["BatchPosted"], limit=_EVENTS_READ)
        }
        return [
            self._records.batch_summary(batch)
            | {
                "gas": gas.get(batch.chain_batch_id, 0),
                "failure": batch.failure,
                "responses": self._responses(batch),
            }
            for batch in self._journal.batches(limit=_BATCHES_SHOWN)[::-1]
        ]

    def _responses(self, batch: BatchRow) -> list[dict[str, Any]]:
        # An answer becomes public with its batch: before that only its owner has the receipt.
        if batch.id is None or batch.state == BatchState.OPEN:
            return []
        return [self._response(row) for row in self._journal.responses_of(batch.id)[:_RESPONSES_SHOWN]]

    def _response(self, row: ResponseRow) -> dict[str, Any]:
        return {
            "index": row.index_in_batch,
            "state": row.state,
            "prompt": self._text(row.prompt_ids),
            "answer": self._text(row.output_ids),
        }

    def _text(self, packed: bytes) -> str:
        text = self._tokenizer.decode(unpack_token_ids(packed)).strip()
        return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"


_WEI = {"lock_per_response", "challenger_bond", "receipt_claim_bond"}
