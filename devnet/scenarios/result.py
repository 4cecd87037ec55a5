"""What a scenario ended with: one entry of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.protocol.game import Game, Outcome, Target
from prover.architectures.config import ScheduledStep

OUTCOMES = {
    Outcome.UNDECIDED: "undecided",
    Outcome.PROVIDER_WON: "provider_wins",
    Outcome.CHALLENGER_WON: "challenger_wins",
    Outcome.RESPONSE_VOIDED: "response_voided",
}


@dataclass(frozen=True)
class RefusedProof:
    """A proof that the contract did not take: what it was, the error, and what it cost its sender.

    `gas` is None when the sender asked beforehand and then did not send it.
    """

    what: str
    refused_with: str
    gas: int | None


@dataclass
class ScenarioResult:
    """`prove_s`, `proof_bytes`, `verify_gas` and `verifier_call_gas` are those of the proof that was accepted.

    `problem` says what beside the outcome is not as it must be.
    """

    name: str
    prompt: str
    answer: str
    outcome: str
    contested: dict[str, Any] | None = None
    rounds: int = 0
    prove_s: float | None = None
    proof_bytes: int | None = None
    verify_gas: int | None = None
    verifier_call_gas: int | None = None
    dispute_gas: int = 0
    bond_changes_wei: dict[str, int] = field(default_factory=dict)
    refused_proofs: list[RefusedProof] = field(default_factory=list)
    reason: str = ""
    problem: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def contested(
    game: Game, schedule: Sequence[ScheduledStep], window: int | None = None
) -> dict[str, Any] | None:
    """What a game was narrowed to; `schedule` is the model's, `window` the one that was proven."""
    proven = {} if window is None else {"window": window}
    if game.target is Target.STEP:
        step = schedule[game.range_start]
        tile = {"tile": step.tile} if step.tiles > 1 else {}
        place = {"number": game.range_start, "name": str(step)}
        return {"step": step.kind, "layer": step.layer, **tile, **proven, **place}
    if game.target is Target.EMBEDDING:
        return {"step": "embedding", **proven}
    if game.target is Target.HEAD:
        ids = {"chosen": game.chosen_id, "rival": game.rival_id}
        return {"step": "head", "position": game.position, **ids}
    return None
