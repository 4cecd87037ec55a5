"""Models in which chosen tokens, and no others, take a chosen tensor of a chosen layer out of its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from prover.model.weights import IntegerModel

_STRENGTH = 24_000
_SHIFTS = {"w_query": 15, "w_key": 15, "w_gate": 13, "w_up": 10, "w_router": 9}
"""At which a row of `_STRENGTH` leaves the matrix' range for an input that is parallel to it, and for no random one:
parallel inputs reach 8 times the standard deviation of the others."""


def leaving(model: IntegerModel, exits: Mapping[int, tuple[int, str] | tuple[int, str, int]]) -> IntegerModel:
    """The model with `exits`: token -> (layer, matrix, row) that it leaves at, by default row 0; one token per matrix and layer.

    The token's embedding is a long vector of equal entries with signs of its own, and one row of the matrix is parallel
    to it; all signs are orthogonal to each other.
    """
    hidden = model.config.hidden
    embedding = np.array(model.weights.embedding)
    layers = [dict(layer) for layer in model.weights.layers]
    for layer in layers:  # what layers add is small, so that a token points its way in the later ones, too
        for name in ("w_output", "w_down"):
            layer[name] = replace(layer[name], values=layer[name].values >> 3)
    for number, (token, (layer, name, *rest)) in enumerate(exits.items(), start=1):
        signs = np.array([1 - 2 * ((index & (2 * number + 1)).bit_count() % 2) for index in range(hidden)])
        embedding[token] = 30_000 * signs
        matrix = layers[layer][name]
        by = matrix.shift - _shift(model, name)
        values = matrix.values if by <= 0 else matrix.values >> by
        values = np.array(values)
        values[rest[0] if rest else 0] = _STRENGTH * signs
        layers[layer][name] = replace(
            matrix,
            values=values.astype(np.int16),
            shift=matrix.shift - max(0, by),
            scale=matrix.scale - max(0, by),
        )
    weights = replace(model.weights, embedding=embedding, layers=layers)
    return replace(model, weights=weights, name=f"leaving-{model.name}")


def _shift(model: IntegerModel, name: str) -> int:
    """A router whose outputs are looked up has a narrower range than one whose outputs are compared."""
    if name != "w_router":
        return _SHIFTS[name]
    logits = model.config.programs["router"].limits.get("router_logits", 1 << 21)
    return _SHIFTS[name] + 22 - logits.bit_length()
