"""What a node tells of its own answers: the account, batches and their responses, disputes. Texts only to who may see them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from contracts.protocol.parameters import ProtocolParameters
from explorer.stories import GAME_EVENTS, StepName, Told, tell

from .chain_follower import ChainFollower
from .receipts import Issuer
from .records import Records
from .store import BatchRow, BatchState, Journal, ResponseRow
from .texts import Texts

_BATCHES_SHOWN = 30
_RESPONSES_SHOWN = 20
_GAMES_SHOWN = 30
_EVENTS_READ = 3_000
_TEXT_SHOWN = 400


class Settlement:
    """Builds the snapshot; one per look at the chain and kind of reader, however many people watch."""

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
        step_name: StepName,
        texts: Texts,
        game: str,
    ) -> None:
        self._journal, self._records, self._follower = journal, records, follower
        self._issuer, self._parameters, self._game = issuer, parameters, game
        self._model_name, self._steps, self._texts = model_name, steps, texts
        self._step_name = step_name
        self._cached: dict[bool, tuple[tuple[float, int], dict[str, Any]]] = {}

    def snapshot(self, token: str | None = None) -> dict[str, Any]:
        """The present state as JSON values. `token`: the operator's key opens all texts, an answer's own id that answer's."""
        with_texts = self._texts.is_operator(token)
        state = self._follower.state
        answers = self._journal.response_count()
        key = (state.seen_at if state else 0.0, answers)
        cached = self._cached.get(with_texts)
        if cached is None or cached[0] != key:
            cached = self._cached[with_texts] = (key, self._build(answers, with_texts))
        own = None if with_texts else self._texts.own(token)
        return cached[1] if own is None else self._with_own(cached[1], own)

    def _with_own(self, shown: dict[str, Any], own: ResponseRow) -> dict[str, Any]:
        """The same with one client's own texts."""

        def opened(response: dict[str, Any]) -> dict[str, Any]:
            return response | self._shortened(own) if response["leaf"] == own.leaf else response

        batches = [
            batch | {"responses": [opened(one) for one in batch["responses"]]} for batch in shown["batches"]
        ]
        return shown | {"batches": batches}

    def _build(self, answers: int, with_texts: bool) -> dict[str, Any]:
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
            "batches": self._batches(with_texts),
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
        told = [
            (event.game_id, Told(event.name, json.loads(event.arguments), event.timestamp, event.gas_used, event.transaction_hash))
            for event in events
            if event.game_id is not None
        ]  # fmt: skip
        stories = tell(told, self._steps, self._step_name, self._parameters)
        least = self._parameters.challenger_bond
        return [
            story.as_json(present[story.game_id].bond if story.game_id in present else least)
            for story in stories
            if story.provider == self._issuer.provider
        ]

    def _batches(self, with_texts: bool) -> list[dict[str, Any]]:
        gas = {
            event.batch_id: event.gas_used
            for event in self._journal.events(names=["BatchPosted"], limit=_EVENTS_READ)
        }
        return [
            self._records.batch_summary(batch)
            | {
                "gas": gas.get(batch.chain_batch_id, 0),
                "failure": batch.failure,
                "responses": self._responses(batch, with_texts),
            }
            for batch in self._journal.batches(limit=_BATCHES_SHOWN)[::-1]
        ]

    def _responses(self, batch: BatchRow, with_texts: bool) -> list[dict[str, Any]]:
        # Leaves become public with their batch: before that only the answer's client has the receipt.
        if batch.id is None or batch.state == BatchState.OPEN:
            return []
        return [
            {"index": row.index_in_batch, "leaf": row.leaf, "state": row.state}
            | (self._shortened(row) if with_texts else {})
            for row in self._journal.responses_of(batch.id)[:_RESPONSES_SHOWN]
        ]

    def _shortened(self, row: ResponseRow) -> dict[str, Any]:
        texts = self._texts.of(row)
        return {
            name: text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"
            for name, text in texts.items()
        }


_WEI = {"lock_per_response", "challenger_bond", "receipt_claim_bond"}
