"""A dispute retold from its events: how the range narrowed, who said what and when, what it cost, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.protocol.bisection import cuts
from contracts.protocol.claims import LEAF_BYTES
from contracts.protocol.ether import show_ether
from contracts.protocol.game import MOVER_OF_PHASE, Outcome, Phase, Reason, Side, Target
from contracts.protocol.parameters import ProtocolParameters
from contracts.protocol.response import WINDOW_ROWS

_PHASES = {
    Phase.AWAIT_BOUNDARIES: "boundaries",
    Phase.AWAIT_CHALLENGE: "challenge",
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
    "ProofAccepted": Side.PROVIDER,
    "ClaimRefuted": Side.PROVIDER,
}
GAME_EVENTS = [*MOVES, "TurnStarted", "GameResolved"]

#: What people call a step of the model, by its number.
StepName = Callable[[int], str]


@dataclass(frozen=True)
class Told:
    """One event of a game. `fields`: its arguments, as values or as JSON has them."""

    name: str
    fields: Mapping[str, Any]
    timestamp: int
    gas_used: int
    transaction: str


class GameStory:
    """Folds one game's events, in order; `as_json` is what is drawn of it."""

    def __init__(
        self, game_id: int, opening: Told, steps: int, step_name: StepName, parameters: ProtocolParameters
    ) -> None:
        self._step_name, self._parameters = step_name, parameters
        fields = opening.fields
        self.game_id = game_id
        self.provider: str = fields["provider"]
        response = fields["fields"]
        positions = response["prompt_length"] + response["output_length"] - 1
        self._story: dict[str, Any] = {
            "game_id": game_id,
            "batch_id": fields["batch_id"],
            "index": fields["index"],
            "provider": fields["provider"],
            "challenger": fields["challenger"],
            "steps": steps,
            "positions": positions,
            "windows": max(1, -(-positions // WINDOW_ROWS)),
            "rounds": [self._round(0, steps)],
            "target": None,
            "step": None,
            "step_name": None,
            "window": None,
            "position": None,
            "chosen_id": None,
            "rival_id": None,
            "phase": "boundaries",
            "mover": "provider",
            "deadline": 0,
            "turn_started_at": opening.timestamp,
            "provider_clock": parameters.clock,
            "challenger_clock": parameters.clock,
            "outcome": None,
            "reason": None,
            "resolved_at": None,
            "gas": {"provider": 0, "challenger": 0},
            "moves": [],
        }

    def _round(self, start: int, end: int) -> dict[str, Any]:
        """Disputed steps `start` .. `end` - 1, where the provider must cut them, and the part that is challenged."""
        return {
            "start": start,
            "end": end,
            "cuts": cuts(start, end, self._parameters.arity) if end > start else [start, end],
            "posted": False,
            "chosen": None,
            "name": self._step_name(start) if end - start == 1 else None,
        }

    def add(self, event: Told) -> None:
        """Take the next event of this game."""
        fields, story = event.fields, self._story
        if event.name in MOVES:
            self._move(event)
        match event.name:
            case "TurnStarted":
                phase = Phase(fields["phase"])
                story |= {"phase": _PHASES[phase], "deadline": fields["deadline"]}
                story["turn_started_at"] = event.timestamp
                story["mover"] = MOVER_OF_PHASE[phase].name.lower()
                if phase is Phase.AWAIT_PROOF and story["windows"] == 1 and story["position"] is None:
                    story["window"] = 0  # nothing was left to choose
            case "BoundariesPosted":
                story["rounds"][-1]["posted"] = True
            case "PartChallenged":
                start, end = fields["range_start"], fields["range_end"]
                story["rounds"][-1]["chosen"] = {"start": start, "end": end}
                story["rounds"].append(self._round(start, end))
                story["target"] = Target.STEP.name.lower()
                if end - start == 1:
                    story |= {"step": start, "step_name": self._step_name(start)}
            case "InputChallenged":
                story["target"] = Target.EMBEDDING.name.lower()
            case "HeadChallenged":
                story["target"] = Target.HEAD.name.lower()
                story |= {name: fields.get(name) for name in ("position", "chosen_id", "rival_id")}
            case "ProofAccepted":
                story["window"] = fields["window"]
            case "GameResolved":
                story |= {"phase": "resolved", "mover": None, "resolved_at": event.timestamp}
                story["outcome"] = Outcome(fields["outcome"]).name.lower()
                story["reason"] = Reason(fields["reason"]).name.lower()

    def _move(self, event: Told) -> None:
        """A move, with the time it took off its side's clock (`ChessClock.remaining`)."""
        story, side = self._story, MOVES[event.name].name.lower()
        used = 0
        if event.name != "GameOpened" and story["mover"] == side:
            used = max(0, event.timestamp - story["turn_started_at"])
            story[f"{side}_clock"] = max(0, story[f"{side}_clock"] - used)
        story["gas"][side] += event.gas_used
        story["moves"].append(
            {
                "move": event.name,
                "at": event.timestamp,
                "by": side,
                "said": _said(event.name, event.fields, self._step_name),
                "took_s": used,
                "clock_left": story[f"{side}_clock"],
                "gas": event.gas_used,
                "transaction": event.transaction,
            }
        )

    def as_json(self, bond_wei: int) -> dict[str, Any]:
        """The story so far. `bond_wei`: what the challenger staked, or the least that it can be."""
        story = dict(self._story)
        story["bond_wei"] = str(bond_wei)
        story["settled"] = _settled(story["outcome"], self._parameters)
        story["so_far"] = sentence(story)
        return story


def tell(
    events: Iterable[tuple[int, Told]], steps: int, step_name: StepName, parameters: ProtocolParameters
) -> list[GameStory]:
    """The stories of all games among these (game, event), in the order in which they were opened."""
    stories: dict[int, GameStory] = {}
    for game_id, event in events:
        if event.name == "GameOpened":
            stories[game_id] = GameStory(game_id, event, steps, step_name, parameters)
        if game_id in stories:
            stories[game_id].add(event)
    return list(stories.values())


def sentence(story: Mapping[str, Any]) -> str:
    """For somebody who never heard of bisection: what is going on, in two sentences at most."""
    whole = f"The answer took {story['steps']} steps over {story['positions']} tokens"
    if story["target"] == "head":
        what = (
            f"{whole}. Both sides agree on all of them, and differ about the choice of one word after token "
            f"{story['position']}"
        )
    elif story["target"] == "embedding":
        what = f"{whole}. Both sides differ already about what the text was turned into at the start"
    elif story["step"] is not None:
        where = f"one step ({story['step_name']})"
        what = f"{whole}. By asking 'where do we first differ?' again and again, both sides narrowed their quarrel to {where}"
    elif len(story["rounds"]) > 1:
        last = story["rounds"][-1]
        what = f"{whole}. The quarrel is narrowed to {last['end'] - last['start']} of them so far"
    else:
        what = f"{whole}. The challenger says that the result is wrong; where, is still to be found"
    return f"{what}; {_ending(story)}"


def _ending(story: Mapping[str, Any]) -> str:
    match story["outcome"], story["phase"]:
        case "provider_won", _:
            if story["reason"] == "proven":
                return f"the provider proved {_proven(story)}, and the contract accepted the proof."
            if story["reason"] == "refuted":
                return "but the challenger claims the very result that the provider posted, so the answer stands."
            return "the challenger did not go on, so the answer stands."
        case "challenger_won", _:
            return (
                "the provider did not go on in time, so the answer is void."
                if story["reason"] == "timed_out"
                else "the answer is void."
            )
        case "response_voided", _:
            return "another dispute made the answer void first."
        case _, "proof":
            return f"the provider must now prove {_proven(story)}, or the answer is void."
        case _:
            return f"it is the {story['mover']}'s turn."


def _proven(story: Mapping[str, Any]) -> str:
    """What is proven, or is to be: of several windows one in which both sides differ."""
    if story["target"] == "head" or story["windows"] == 1:
        return "exactly that"
    if story["window"] is None:
        return f"it for a window of {WINDOW_ROWS} tokens of which the challenger claims another result"
    return f"it for window {story['window']} of 0 to {story['windows'] - 1}"


def _said(name: str, fields: Mapping[str, Any], step_name: StepName) -> str:
    match name:
        case "GameOpened":
            return "this answer is wrong"
        case "BoundariesPosted":
            return f"round {fields['round']}: my activations at {len(fields['hashes'])} cuts"
        case "InputChallenged":
            return f"already the embedding is wrong; here is what {_every_window(fields)} should be"
        case "PartChallenged":
            start, end = fields["range_start"], fields["range_end"]
            if end - start > 1:
                return f"right before, wrong after steps {start} to {end - 1}"
            return f"right before, wrong after {step_name(start)}; here is what {_every_window(fields)} should be"
        case "HeadChallenged":
            position, chosen, rival = fields.get("position"), fields["chosen_id"], fields["rival_id"]
            return f"after position {position} token {rival} beats your token {chosen}"
        case "ClaimRefuted":
            return "all that you claim is what I posted, and the contract agrees"
        case _:
            return f"here is the proof of window {fields['window']}, and the contract accepts it"


def _every_window(fields: Mapping[str, Any]) -> str:
    """Of a claim, as bytes or as JSON has it."""
    claim = fields["claim"]
    count = len(claim if isinstance(claim, bytes) else bytes.fromhex(claim.removeprefix("0x"))) // LEAF_BYTES
    return "the window" if count == 1 else f"each of the {count} windows"


def _settled(outcome: str | None, parameters: ProtocolParameters) -> str | None:
    lock, reward = show_ether(parameters.lock_per_response), show_ether(parameters.game_reward)
    match outcome:
        case "provider_won":
            return "The challenger loses its bond: half goes to the provider, half is burned."
        case "challenger_won":
            return f"The provider loses {lock} of stake: {reward} goes to every open dispute, the rest is burned; the bond goes back."
        case "response_voided":
            return f"Another dispute voided the answer; the bond goes back with the same reward of {reward}."
        case _:
            return None
