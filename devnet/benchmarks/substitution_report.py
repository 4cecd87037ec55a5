"""docs/fisher.md and its plot: where a substitution hurts, and which audits find it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prover.architectures.config import ModelConfig
from prover.audits.drawing import STRATEGIES
from prover.audits.plan import weighted_steps
from prover.model.fisher import FisherProfile

from .growth_report import require_plotting
from .substitutions import BUDGETS, SUBSTITUTES, Effect, caught_effect, rank_correlation

_NAMES = {"four_bits": "4-bit weights", "skipped": "skipped layer", "fine_tuned": "other fine-tune"}

_INTRODUCTION = """An auditor of a private model names a few steps of an answer, and the provider proves them (or loses). Which steps?
`gainsay model fisher` computes for every step of the schedule how much the model's own next-token distribution depends on its weights:

    information(step) = sum over its weights i of E (d log p(y | t) / d w_i)^2 * w_i^2

with t over the positions of a text and y drawn from the model. `gainsay audit plan` draws steps in proportion to it (*fisher*), all alike
(*uniform*), or half and half (*mixed*).

**What it is for, and what not.** Fisher information says where a lie *hurts*; it is no soundness. A cheater reads the profile, too, and
substitutes what is drawn least: the column *least* is its chance of being caught. Only the uniform part protects there, so `mixed` is the
default. A step that is drawn and was substituted is always caught: nobody can prove it. Figures are for one layer that is substituted in
every window; who substitutes more is caught sooner, who substitutes one window only is caught as often as that window is drawn."""


def write_report(
    config: ModelConfig,
    profile: FisherProfile,
    effects: Sequence[Effect],
    machine: Mapping[str, Any],
    docs: Path,
) -> list[Path]:
    """Returns what was written. Raises PlottingMissing."""
    plot, page = docs / "fisher" / "substitutions.png", docs / "fisher.md"
    plot.parent.mkdir(parents=True, exist_ok=True)
    _plot(config, profile, effects, plot)
    page.write_text(markdown(config, profile, effects, machine), encoding="utf-8")
    return [plot, page]


def markdown(
    config: ModelConfig, profile: FisherProfile, effects: Sequence[Effect], machine: Mapping[str, Any]
) -> str:
    """The page."""
    parts = [
        "# Which steps an audit should name",
        "Written by `gainsay bench substitutions`; do not edit.",
        _INTRODUCTION,
        f"Measured on {profile.model}: profile over {profile.tokens:,} tokens of {profile.origin}; effects on other chapters. "
        + ", ".join(f"{name} {value}" for name, value in machine.items())
        + ".",
        "## Share of the effect that an audit catches",
        "One layer is substituted, any of them alike; each counts with its effect, the mean KL divergence in nats per token.",
        "![effects per layer, and what audits catch](fisher/substitutions.png)",
    ]
    for substitute in SUBSTITUTES:
        mine = [effect for effect in effects if effect.substitute == substitute]
        mean = math.fsum(effect.divergence for effect in mine) / len(mine)
        worst = max(mine, key=lambda effect: effect.divergence)
        parts += [
            f"### {_NAMES[substitute]}",
            f"Effect of a layer: {mean:.4f} nats on average, {worst.divergence:.4f} at most (layer {worst.layer}), and "
            f"{100 * math.fsum(e.changed for e in mine) / len(mine):.1f} % of the most likely tokens change. Rank correlation with "
            f"the profile: {rank_correlation(config, profile, mine):+.2f}.",
            _table(caught_effect(config, profile, effects, substitute)),
        ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| strategy | "
        + " | ".join(f"{budget} step{'s' * (budget > 1)}" for budget in BUDGETS)
        + " | least, 8 steps |",
        "| --- |" + " ---: |" * (len(BUDGETS) + 1),
    ]
    for strategy in STRATEGIES:
        found = {row["budget"]: row for row in rows if row["strategy"] == strategy}
        cells = [f"{found[budget]['caught_effect']:.1%}" for budget in BUDGETS]
        lines.append(f"| {strategy} | " + " | ".join([*cells, f"{found[8]['least_caught']:.1%}"]) + " |")
    return "\n".join(lines)


def _plot(config: ModelConfig, profile: FisherProfile, effects: Sequence[Effect], path: Path) -> None:
    pyplot = require_plotting()
    canvas, panels = pyplot.subplots(1, 1 + len(SUBSTITUTES), figsize=(4.2 * (1 + len(SUBSTITUTES)), 3.5))
    steps, first = weighted_steps(config), panels[0]
    information = [math.fsum(profile.shares[step] for step in of_layer) for of_layer in steps]
    first.bar(range(config.layers), information, color="lightgrey", label="Fisher information")
    for substitute in SUBSTITUTES:
        mine = sorted((e for e in effects if e.substitute == substitute), key=lambda effect: effect.layer)
        total = math.fsum(effect.divergence for effect in mine)
        first.plot([effect.divergence / total for effect in mine], "o-", ms=3, label=_NAMES[substitute])
    first.set_yscale("log")
    first.set(title="share of the total, per layer", xlabel="layer")
    first.legend(fontsize=7)
    for panel, substitute in zip(panels[1:], SUBSTITUTES, strict=True):
        rows = caught_effect(config, profile, effects, substitute)
        for strategy in STRATEGIES:
            values = [row["caught_effect"] for row in rows if row["strategy"] == strategy]
            panel.plot(BUDGETS, values, "o-", label=strategy)
        panel.set(title=f"{_NAMES[substitute]}: effect caught", xlabel="steps audited", ylim=(0, 1))
        panel.legend(fontsize=7)
    canvas.tight_layout()
    canvas.savefig(path, dpi=110)
    pyplot.close(canvas)
