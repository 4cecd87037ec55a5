"""What an audit of so many steps finds, for each way to draw them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..architectures.config import ModelConfig
from .drawing import STRATEGIES, AuditPlanError, caught, weights

LAYERS = (1, 3, 10)
_CHOICES = 32  # of layers that are tried for a mean


@dataclass(frozen=True)
class Catch:
    """How likely a substitution of `layers` layers is caught: of any such layers, on average, and of those drawn least."""

    layers: int
    mean: float
    least: float


@dataclass(frozen=True)
class Outlook:
    """One strategy. covered: the share of the Fisher information in the drawn steps, on average."""

    strategy: str
    covered: float
    catches: tuple[Catch, ...]


def outlooks(config: ModelConfig, shares: Sequence[float], budget: int) -> tuple[Outlook, ...]:
    """Every strategy with the same budget. shares: as in `weights`. Raises AuditPlanError for an impossible budget."""
    return tuple(_outlook(strategy, config, shares, budget) for strategy in STRATEGIES)


def _outlook(strategy: str, config: ModelConfig, shares: Sequence[float], budget: int) -> Outlook:
    drawn = weights(strategy, shares)
    if budget > (most := sum(weight > 0 for weight in drawn)):
        raise AuditPlanError(f"an audit of {budget} steps is not possible; name a budget in 1..{most}")
    covered = math.fsum(share * caught(drawn, [step], budget) for step, share in enumerate(shares) if share)
    counts = [*(count for count in LAYERS if count < config.layers), config.layers]
    return Outlook(strategy, covered, tuple(_catch(config, drawn, budget, count) for count in counts))


def _catch(config: ModelConfig, drawn: Sequence[float], budget: int, count: int) -> Catch:
    layers = weighted_steps(config)
    by_weight = sorted(range(len(layers)), key=lambda layer: math.fsum(drawn[s] for s in layers[layer]))
    if count in (1, len(layers)):
        choices = [[layer] for layer in by_weight] if count == 1 else [by_weight]
    else:
        choices = [random.Random(number).sample(by_weight, count) for number in range(_CHOICES)]
    found = [_caught_layers(drawn, layers, choice, budget) for choice in choices]
    return Catch(
        count, math.fsum(found) / len(found), _caught_layers(drawn, layers, by_weight[:count], budget)
    )


def _caught_layers(
    drawn: Sequence[float], layers: Sequence[Sequence[int]], chosen: Sequence[int], budget: int
) -> float:
    return caught(drawn, [step for layer in chosen for step in layers[layer]], budget)


def weighted_steps(config: ModelConfig) -> list[list[int]]:
    """Per layer the steps that have weights: those have no proof when the layer is another model's."""
    found: list[list[int]] = [[] for _ in range(config.layers)]
    for number, scheduled in enumerate(config.schedule):
        if config.programs[scheduled.kind].weights:
            found[scheduled.layer].append(number)
    return found
