"""What substituting one layer does to an answer, layer by layer, and how much of it each way to draw an audit finds.

    effect[l] = mean over positions of KL(p || p_l),  p_l: what the model says when layer l is another one's

The substitutes are what a provider would use to save money, or to serve something else under the same name:

    four_bits   every matrix rounded to 16 levels per 32 weights of a row, as the smallest common files do
    skipped     the layer adds nothing
    fine_tuned  the layer after a few steps of training on another text
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from prover.architectures.config import ModelConfig
from prover.audits.drawing import STRATEGIES, caught, weights
from prover.audits.plan import weighted_steps
from prover.model.fisher import FisherProfile
from prover.model.float_model import FloatLayer, FloatModel
from prover.model.float_reference import final_rows
from prover.model.texts import FIDELITY_CHAPTERS, python_prose

BUDGETS = (1, 2, 4, 8, 16, 32)
SUBSTITUTES = ("four_bits", "skipped", "fine_tuned")
TUNING_CHAPTERS = ("function", "calls", "typesseq", "formatstrings")
_BLOCK = 32
_TUNING_STEPS, _TUNING_TOKENS, _TUNING_RATE = 24, 128, 1e-4

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Effect:
    """What one layer's substitution does. divergence: in nats per token. changed: share of other most likely tokens."""

    substitute: str
    layer: int
    divergence: float
    changed: float


def measure_effects(reference: FloatModel, tokens: int, report: Report) -> list[Effect]:
    """Every substitute in every layer alone, on a text that neither the profile nor the fine-tuning saw."""
    ids = reference.tokenizer.encode(python_prose(FIDELITY_CHAPTERS).text)[:tokens]
    layers = list(reference.layers)
    reference = replace(reference, layers=layers)
    tuned = fine_tuned(reference, report)
    makers: dict[str, Callable[[int], FloatLayer]] = {
        "four_bits": lambda layer: four_bits(layers[layer], reference.config),
        "skipped": lambda layer: skipped(layers[layer]),
        "fine_tuned": lambda layer: tuned[layer],
    }
    expected = _log_probabilities(reference, ids)
    found: list[Effect] = []
    for name, make in makers.items():
        for layer in range(len(layers)):
            report(f"{name} layers", layer, len(layers))
            changed = replace(reference, layers=[*layers[:layer], make(layer), *layers[layer + 1 :]])
            found.append(_effect(name, layer, expected, _log_probabilities(changed, ids)))
    return found


def four_bits(layer: FloatLayer, config: ModelConfig) -> FloatLayer:
    """w -> s * round(w / s) with |w / s| <= 7 in every block of 32 inputs of a row."""
    rounded = {
        name: _four_bits(layer[name]) if name in config.matrix_rules else layer[name]
        for name in layer.tensors
    }
    return FloatLayer(rounded)


def _four_bits(matrix: np.ndarray) -> np.ndarray:
    outputs, inputs = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, -inputs % _BLOCK))).reshape(outputs, -1, _BLOCK)
    step = np.abs(padded).max(axis=2, keepdims=True) / 7
    levels = np.round(padded / np.where(step == 0, 1, step))
    return np.ascontiguousarray((levels * step).reshape(outputs, -1)[:, :inputs], dtype=np.float32)


def skipped(layer: FloatLayer) -> FloatLayer:
    """The layer with zeros for what it would add to the residual stream."""
    last = ("w_output", "output_bias", "w_down", "down_bias")
    return FloatLayer(
        {name: np.zeros_like(array) if name in last else array for name, array in layer.tensors.items()}
    )


def fine_tuned(reference: FloatModel, report: Report) -> list[FloatLayer]:
    """All layers after AdamW on the next-token loss over another text; embedding and head stay."""
    ids = reference.tokenizer.encode(python_prose(TUNING_CHAPTERS).text)
    parameters: list[torch.Tensor] = []

    def watched(array: np.ndarray) -> np.ndarray:
        parameters.append(torch.from_numpy(np.array(array, dtype=np.float32)).requires_grad_())
        return cast(np.ndarray, parameters[-1])

    layers = [
        FloatLayer({name: watched(layer[name]) for name in layer.tensors}) for layer in reference.layers
    ]
    model, head = replace(reference, layers=layers), torch.from_numpy(np.ascontiguousarray(reference.head))
    optimiser = torch.optim.AdamW(parameters, lr=_TUNING_RATE, weight_decay=0.0)
    for step in range(_TUNING_STEPS):
        report("fine-tuning", step, _TUNING_STEPS)
        first = step * _TUNING_TOKENS % max(1, len(ids) - _TUNING_TOKENS - 1)
        piece = ids[first : first + _TUNING_TOKENS + 1]
        logits = final_rows(model, piece[:-1]) @ head.T / reference.config.head_rule.divisor
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(piece[1:]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return [
        FloatLayer({n: cast(torch.Tensor, a).detach().numpy() for n, a in layer.tensors.items()})
        for layer in layers
    ]


def caught_effect(
    config: ModelConfig, profile: FisherProfile, effects: Sequence[Effect], substitute: str
) -> list[dict[str, Any]]:
    """Per strategy and budget: sum_l effect[l] * P(layer l is caught) / sum_l effect[l], and the least P."""
    steps = weighted_steps(config)
    mine = {effect.layer: effect.divergence for effect in effects if effect.substitute == substitute}
    total = math.fsum(mine.values())
    rows = []
    for strategy in STRATEGIES:
        drawn = weights(strategy, profile.shares)
        for budget in BUDGETS:
            chances = [caught(drawn, steps[layer], budget) for layer in range(config.layers)]
            share = math.fsum(chances[layer] * effect for layer, effect in mine.items()) / total
            rows.append(
                {
                    "substitute": substitute,
                    "strategy": strategy,
                    "budget": budget,
                    "caught_effect": round(share, 4),
                    "least_caught": round(min(chances), 4),
                }
            )
    return rows


def rank_correlation(config: ModelConfig, profile: FisherProfile, effects: Sequence[Effect]) -> float:
    """Spearman's, between the information in a layer's steps and the effect of its substitution."""
    information = [math.fsum(profile.information[s] for s in steps) for steps in weighted_steps(config)]
    ordered = [effect.divergence for effect in sorted(effects, key=lambda effect: effect.layer)]
    ranks = [np.argsort(np.argsort(values)) for values in (information, ordered)]
    return statistics.correlation(*(each.tolist() for each in ranks))


def _log_probabilities(model: FloatModel, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        rows = final_rows(model, ids)
        logits = rows @ torch.from_numpy(np.ascontiguousarray(model.head)).T / model.config.head_rule.divisor
        return logits.log_softmax(-1)


def _effect(name: str, layer: int, expected: torch.Tensor, found: torch.Tensor) -> Effect:
    divergence = (expected.exp() * (expected - found)).sum(-1).mean()
    changed = (expected.argmax(-1) != found.argmax(-1)).float().mean()
    return Effect(name, layer, float(divergence), float(changed))
