"""A dispute retold from its events: how the range narrowed, who said what, what it cost, how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from contracts.protocol.ether import show_ether
from contracts.protocol.game import MOVER_OF_PHASE, Game, Outcome, Phase, Reason, Side, Target

from .store import ChainEventRow

_PHASES = {
    Phase.AWAIT_BOUNDARIES: "boundaries",
    Phase.AWAIT_CHALLENGE: "challenge",
    Phase.AWAIT_WINDOWS: "windows",
    Phase.AWAIT_CHOICE: "choice",
    Phase.AWAIT_PROOF: "proof",
    Phase.RESOLVED: "resolved",
    Phase.NONE: "resolved",
}

# The event that a move leaves, and whose move it is.
MOVES = {
    "GameOpened": Side.CHALLENGER,
    "BoundariesPosted": Side.PROVIDER,
    "InputChallenged": Side.CHALLENGER,
    "PartChallenged": Side.CHALLENGER,
    "HeadChallenged": Side.CHALLENGER,
    "WindowsRevealed": Side.PROVIDER,
    "WindowChosen": Side.CHALLENGER,
    "ProofAccepted": Side.PROVIDER,
}
GAME_EVENTS = [*MOVES, "TurnStarted", "GameResolved"]


class GameStory:
    """Folds one game's events, in order; `as_json` is what the explorer draws.

    `step_name(step)`: what people call a step of the model.
    """

    def __init__(self, opening: ChainEventRow, steps: int, step_name: Callable[[int], str]) -> None:
        self._step_name = step_name
        fields = json.loads(opening.arguments)
        self.provider: str = fields["provider"]
        response = fields["fields"]
        positions = response["prompt_length"] + response["output_length"] - 1
        self._story: dict[str, Any] = {
            "game_id": opening.game_id,
            "batch_id": fields["batch_id"],
            "index": fields["index"],
            "provider": fields["provider"],
            "challenger": fields["challenger"],
            "steps": steps,
            "positions": positions,
            "windows": -(-positions // 32),
            "ranges": [self._range(0, steps)],
            "target": None,
            "window": None,
            "position": None,
            "phase": "boundaries",
            "mover": "provider",
            "deadline": 0,
            "turn_started_at": opening.timestamp,
            "outcome": None,
            "reason": None,
            "gas": {"provider": 0, "challenger": 0},
            "moves": [],
        }

    def _range(self, start: int, end: int) -> dict[str, Any]:
        """Disputed steps; a single one has a name."""
        return {"start": start, "end": end, "name": self._step_name(start) if end - start == 1 else None}

    def add(self, event: ChainEventRow) -> None:
        """Take the next event of this game."""
        fields, story = json.loads(event.arguments), self._story
        if event.name in MOVES:
            side = MOVES[event.name].name.lower()
            story["gas"][side] += event.gas_used
            story["moves"].append(
                {
                    "at": event.timestamp,
                    "by": side,
                    "said": _said(event.name, fields, self._step_name),
                    "gas": event.gas_used,
                    "transaction": event.transaction_hash,
                }
            )
        match event.name:
            case "TurnStarted":
                phase = Phase(fields["phase"])
                story |= {"phase": _PHASES[phase], "deadline": fields["deadline"]}
                story["turn_started_at"] = event.timestamp
                story["mover"] = MOVER_OF_PHASE[phase].name.lower()
                if phase is Phase.AWAIT_PROOF and story["windows"] == 1 and story["position"] is None:
                    story["window"] = 0  # nothing was left to choose
            case "PartChallenged":
                story["ranges"].append(self._range(fields["range_start"], fields["range_end"]))
                story["target"] = Target.STEP.name.lower()
            case "InputChallenged":
                story["target"] = Target.EMBEDDING.name.lower()
            case "HeadChallenged":
                story |= {"target": Target.HEAD.name.lower(), "position": fields.get("position")}
            case "WindowChosen":
                story["window"] = fields["window"]
            case "GameResolved":
                story |= {"phase": "resolved", "mover": None}
                story["outcome"] = Outcome(fields["outcome"]).name.lower()
                story["reason"] = Reason(fields["reason"]).name.lower()

    @property
    def game_id(self) -> int:
        """The game's number on the chain."""
        return int(self._story["game_id"])

    def as_json(self, game: Game | None, bond_wei: int, lock_wei: int, reward_wei: int) -> dict[str, Any]:
        """The story so far; `game` is the present state of an open game. `bond_wei`: the least that a bond can be."""
        story = dict(self._story)
        story["bond_wei"] = str(game.bond if game else bond_wei)
        story["provider_clock"] = game.provider_clock if game else 0
        story["challenger_clock"] = game.challenger_clock if game else 0
        story["settled"] = _settled(story["outcome"], lock_wei, reward_wei)
        return story


def tell(events: Sequence[ChainEventRow], steps: int, step_name: Callable[[int], str]) -> list[GameStory]:
    """The stories of all games among these events, in the order in which they were opened."""
    stories: dict[int, GameStory] = {}
    for event in events:
        if event.game_id is None:
            continue
        if event.name == "GameOpened":
            stories[event.game_id] = GameStory(event, steps, step_name)
        if event.game_id in stories:
            stories[event.game_id].add(event)
    return list(stories.values())


def _said(name: str, fields: dict[str, Any], step_name: Callable[[int], str]) -> str:
    match name:
        case "GameOpened":
            return "this answer is wrong"
        case "BoundariesPosted":
            return f"round {fields['round']}: my activations at {len(fields['hashes'])} cuts"
        case "InputChallenged":
            return "already the embedding is wrong"
        case "PartChallenged":
            start, end = fields["range_start"], fields["range_end"]
            part = step_name(start) if end - start == 1 else f"steps {start} to {end - 1}"
            return f"right before, wrong after {part}"
        case "HeadChallenged":
            position, chosen, rival = fields.get("position"), fields["chosen_id"], fields["rival_id"]
            return f"after position {position} token {rival} beats your token {chosen}"
        case "WindowsRevealed":
            return "my activations per window of 32 tokens"
        case "WindowChosen":
            return f"window {fields['window']} is wrong"
        case _:
            return "here is the proof, and the contract accepts it"


def _settled(outcome: str | None, lock_wei: int, reward_wei: int) -> str | None:
    lock, reward = show_ether(lock_wei), show_ether(reward_wei)
    match outcome:
        case "provider_won":
            return "The challenger loses its bond: half goes to the provider, half is burned."
        case "challenger_won":
            return f"The provider loses {lock} of stake: {reward} goes to every open dispute, the rest is burned; the bond goes back."
        case "response_voided":
            return f"Another dispute voided the answer; the bond goes back with the same reward of {reward}."
        case _:
            return None
