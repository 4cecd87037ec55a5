"""What an import did: architecture, operators, and for every tensor its width and head-room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .calibrate import REQUIRED_HEADROOM, bounded_by_construction, declared_limits, worst_headroom
from .weights import IntegerModel


@dataclass(frozen=True)
class ActivationRange:
    """A tensor whose range is checked. `largest`, `headroom` and `layer` are of the calibration text, if any."""

    tensor: str
    bits: int
    limit: int
    largest: int | None
    headroom: float | None
    layer: int | None
    bounded: bool  # cannot leave its range, whatever the input

    @property
    def short(self) -> bool:
        """Whether it has less head-room than an import should leave."""
        return not self.bounded and self.headroom is not None and self.headroom < REQUIRED_HEADROOM


@dataclass(frozen=True)
class WeightRange:
    """A matrix or vector of the layers: smallest and largest scale over the layers, and the signed width in use."""

    tensor: str
    shape: tuple[int, ...]
    scales: tuple[int, int] | None
    bits: int


@dataclass(frozen=True)
class ImportReport:
    """Everything that is worth knowing about an import that succeeded."""

    family: str
    architecture: dict[str, Any]
    operators: dict[str, dict[str, int]]  # step -> operator -> how often
    weights: tuple[WeightRange, ...]
    activations: tuple[ActivationRange, ...]

    @classmethod
    def of(cls, model: IntegerModel) -> ImportReport:
        """The report of an integer model."""
        facts = model.config.to_json()
        programs = model.config.programs
        return cls(
            family=facts.pop("family"),
            architecture=facts,
            operators={
                kind: dict(Counter(type(operator).__name__ for operator in program.operators))
                for kind, program in programs.items()
            },
            weights=_weights(model),
            activations=_activations(model),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "short_of_headroom": [entry.tensor for entry in self.activations if entry.short]
        }


def _weights(model: IntegerModel) -> tuple[WeightRange, ...]:
    weights = model.weights
    found = [
        WeightRange(
            "embedding", weights.embedding.shape, (model.config.residual_scale,) * 2, _bits(weights.embedding)
        ),
        WeightRange("head", weights.head.shape, (weights.head_scale,) * 2, _bits(weights.head)),
    ]
    for (name, shape), matrices in _alike(weights.layers, lambda matrix: matrix.values.shape).items():
        scales = [matrix.scale for matrix in matrices]
        bits = max(_bits(matrix.values) for matrix in matrices)
        found.append(WeightRange(name, shape, (min(scales), max(scales)), bits))
    rules = {
        name: rule
        for layer in range(model.config.layers)
        for name, rule in model.config.vector_rules_of(layer).items()
    }
    for (name, shape), vectors in _alike(weights.vectors, np.shape).items():
        scale = (rules[name].scale,) * 2 if name in rules else None  # a bias has its accumulator's scale
        found.append(WeightRange(name, shape, scale, max(map(_bits, vectors))))
    return tuple(found)


def _activations(model: IntegerModel) -> tuple[ActivationRange, ...]:
    worst, bounded = worst_headroom(model.observed), bounded_by_construction(model.config)
    entries = []
    for name, limit in declared_limits(model.config).items():
        seen = worst.get(name)
        entries.append(
            ActivationRange(
                tensor=name,
                bits=limit.bit_length(),
                limit=limit,
                largest=seen.largest if seen else None,
                headroom=round(seen.headroom, 2) if seen else None,
                layer=seen.layer if seen else None,
                bounded=name in bounded,
            )
        )
    return tuple(sorted(entries, key=lambda entry: (entry.headroom is None, entry.headroom or 0)))


def _bits(values: np.ndarray) -> int:
    """Signed width that the values need."""
    return (
        max(int(values.max()).bit_length(), (~int(values.min())).bit_length() if values.min() < 0 else 0) + 1
    )


def _alike(
    layers: Sequence[Mapping[str, Any]], shape: Callable[[Any], tuple[int, ...]]
) -> dict[tuple[str, tuple[int, ...]], list[Any]]:
    """A model's weights by name and shape: some models have layers that others do not have."""
    found: dict[tuple[str, tuple[int, ...]], list[Any]] = {}
    for layer in layers:
        for name, weight in layer.items():
            found.setdefault((name, shape(weight)), []).append(weight)
    return found
