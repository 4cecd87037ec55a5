"""The scenarios of `gainsay demo`: one honest, three false challenges, four ways to cheat, four audits of a private model.

Everything dishonest in this project lives in this package: liars are made of the production parts, given other
weights, another generator or another hand on the moves. No production code has a switch for cheating.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import ScenarioResult
    from .stage import Stage


@dataclass(frozen=True)
class Scenario:
    """`play(stage)` lives in `module`; it must end with `expected`."""

    name: str
    module: str
    function: str
    expected: str
    about: str

    def play(self, stage: Stage) -> ScenarioResult:
        """Run it on a stage whose chain, model and honest challenger are up."""
        module = importlib.import_module(f".{self.module}", __package__)
        result: ScenarioResult = getattr(module, self.function)(stage)
        return result


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("honest", "honest", "honest", "final", "a right answer is checked, becomes final and is paid"),
    Scenario(
        "false-challenge-mlp", "false_challenges", "mlp", "provider_wins",
        "a right answer is disputed down to an MLP step, which the provider proves",
    ),
    Scenario(
        "false-challenge-attention", "false_challenges", "attention", "provider_wins",
        "a right answer is disputed down to an attention step, which the provider proves",
    ),
    Scenario(
        "false-challenge-head", "false_challenges", "head", "provider_wins",
        "a right token is disputed with the runner-up, and the provider proves that it wins",
    ),
    Scenario(
        "cheap-weights", "cheap_weights", "cheap_weights", "challenger_wins",
        "the provider secretly runs a 4-bit copy from the middle layer on",
    ),
    Scenario(
        "swapped-token", "wrong_answers", "swapped_token", "challenger_wins",
        "one token of the answer is the model's second choice",
    ),
    Scenario(
        "cached-answer", "wrong_answers", "cached_answer", "challenger_wins",
        "the answer is that of another prompt",
    ),
    Scenario(
        "forged-proof", "forged_proofs", "forged_proof", "challenger_wins",
        "the provider sends valid-looking proofs of something else",
    ),
    Scenario(
        "audit-honest", "audits", "honest", "audited",
        "an answer of a private model is audited, and the provider proves what is named",
    ),
    Scenario(
        "audit-substituted", "audits", "substituted", "provider_slashed",
        "a private model's answer comes from a 4-bit copy, and an audit names a step of it",
    ),
    Scenario(
        "audit-other-token", "audits", "other_token", "provider_slashed",
        "one token of a private model's answer is its second choice, and an audit names its head",
    ),
    Scenario(
        "audit-refused", "audits", "refused", "provider_slashed",
        "the provider of a private model answers no audit",
    ),
)  # fmt: skip


def find_scenarios(names: list[str] | None) -> list[Scenario]:
    """The named scenarios in the given order; all of them for none. Raises `UnknownScenario`."""
    from .errors import UnknownScenario

    if not names:
        return list(SCENARIOS)
    known = {scenario.name: scenario for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            raise UnknownScenario(f"there is no scenario {name!r}; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


__all__ = ["SCENARIOS", "Scenario", "find_scenarios"]
