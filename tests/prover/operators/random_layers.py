"""Small random statements of every kind, for the check, prove and verify readers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prover.architectures.llama import LlamaConfig
from prover.architectures.shapes import SHAPE
from prover.program import WINDOW_BITS, WINDOW_ROWS, Program

SMALL = SHAPE
"""No size is a power of two (but the head size, which must be), so that all kinds of padding occur."""


@dataclass
class Statement:
    """A program with inputs, weights and public integers, ready for any reader."""

    program: Program
    tensors: dict[str, np.ndarray]
    parameters: dict[str, int]
    publics: dict[str, int]
    context_bits: int = WINDOW_BITS

    def witness(self) -> dict[str, np.ndarray]:
        return self.program.witness(self.tensors, self.parameters, self.publics, self.context_bits)


def padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zero-padded at the end of every axis."""
    result = np.zeros(shape, dtype=np.int64)
    result[tuple(slice(0, n) for n in array.shape)] = array
    return result


def random_statement(kind: str, window: int = 0, seed: int = 1, config: LlamaConfig = SMALL) -> Statement:
    """A random valid statement; attention has `window` windows before its own."""
    generator = np.random.default_rng(seed)
    program = config.programs[kind]
    context_bits = WINDOW_BITS + window.bit_length()
    shapes = {name: program.shape(t.axes, context_bits) for name, t in program.tensors.items()}
    sizes = {
        "channel": config.hidden,
        "hidden": config.feed_forward,
        "kv_group": config.kv_heads,
        "query": config.queries_per_group,
        "head_channel": config.head_size,
        "row": WINDOW_ROWS,
    }
    tensors: dict[str, np.ndarray] = {}
    for weight in program.weights:
        values = generator.integers(-20000, 20000, [sizes[a] for a in weight.axes])
        tensors[weight.name] = padded(values, shapes[weight.name])
    rows = WINDOW_ROWS * (window + 1)
    boundary = next(t.name for t in program.inputs if t.name in ("before", "window"))
    values = generator.integers(-40000, 40000, (rows, config.hidden))
    tensors[boundary] = padded(values, shapes[boundary])
    publics = {"attention": {"window": window}, "head": {"row": 5, "strict": 1}}.get(kind, {})
    if kind == "head":
        tensors["chosen"] = padded(generator.integers(-20000, 20000, config.hidden), shapes["chosen"])
        tensors["rival"] = padded(generator.integers(-20000, 20000, config.hidden), shapes["rival"])
        if np.sum(tensors["window"][5] * (tensors["chosen"] - tensors["rival"])) < 0:
            tensors["chosen"], tensors["rival"] = tensors["rival"], tensors["chosen"]
    parameters = {name: 16 for name in program.parameters}
    if kind == "mlp":
        parameters["down_shift"] = 14
    return Statement(program, tensors, parameters, publics, context_bits)
