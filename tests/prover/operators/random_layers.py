"""Small random statements of every kind, for the check, prove and verify readers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import HEAD_TILE, head_tiles, statement_programs
from prover.architectures.llama import LlamaConfig
from prover.architectures.shapes import CUT, CUT_QUERIES, SHAPE, TILED
from prover.argument.commitment import commit_chunks
from prover.committed_values import boundary_chunks
from prover.curve.g1 import Point
from prover.curve.srs import SRS
from prover.hunt.head_samples import true_tokens
from prover.plan import Plan
from prover.program import WINDOW_BITS, WINDOW_ROWS, Program
from prover.sampling import ZERO
from prover.streams import SUMS

SMALL = SHAPE
"""No size is a power of two (but the head size, which must be), so that all kinds of padding occur."""
CUT_SHAPES = (TILED, CUT, CUT_QUERIES)
TILE_KINDS = tuple(
    dict.fromkeys(kind for shape in CUT_SHAPES for kind in shape.kinds if kind not in SMALL.kinds)
)
"""Kinds of step that only a model cut into tiles has."""


KINDS = (*SMALL.programs, *TILE_KINDS, HEAD_TILE)
"""Every kind of statement of the small shapes; the tiled one's keys and values, which read normalised rows, are among FAMILIES."""


def shape_of(kind: str) -> LlamaConfig:
    """The small shape that has a kind of step."""
    shapes = CUT_SHAPES if kind == HEAD_TILE else (SMALL, *CUT_SHAPES)
    return next(shape for shape in shapes if kind in statement_programs(shape))


def program_of(kind: str) -> Program:
    """The layer program of a kind."""
    return statement_programs(shape_of(kind))[kind]


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


READ_LIMITS = {
    "keys": 20_000,
    "values": 20_000,
    "normalised": 8_000,
    "sum": 1 << 40,
    **dict.fromkeys(("query_sum", "key_sum", "value_sum"), 1 << 29),
    **dict.fromkeys((f"{stream}_before" for stream in SUMS), 1 << 52),
}
"""Of what a random statement reads."""


def padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zero-padded at the end of every axis."""
    result = np.zeros(shape, dtype=np.int64)
    result[tuple(slice(0, n) for n in array.shape)] = array
    return result


def input_points(
    plan: Plan, srs: SRS, tensors: dict[str, np.ndarray], publics: dict[str, int]
) -> tuple[Point, ...]:
    """The commitments of a statement's inputs."""
    return tuple(
        point
        for tensor in plan.program.inputs
        for point in commit_chunks(
            srs.g1, boundary_chunks(plan, tensor, tensors[tensor.name], publics, srs.mu)
        )
    )


def publics_of(program: Program, window: int) -> dict[str, int]:
    """Public integers of a statement about a window."""
    known = {"window": window, "row": 5, "factor": 3, "offset": ZERO - 1}
    return {name: known[name] for name in program.public_scalars}


def head_tile_statement(config: ModelConfig, program: Program, tensors: dict[str, np.ndarray]) -> Statement:
    """The last tile of the head over random rows and weights, of which ids behind the vocabulary have none."""
    tiles = head_tiles(config)
    last = tiles.count - 1
    tensors["w_head"][:, config.vocabulary - last * tiles.size :] = 0
    return Statement(program, tensors, {}, true_tokens(program, tensors, last))


def random_statement(
    kind: str, window: int = 0, seed: int = 1, config: LlamaConfig | None = None
) -> Statement:
    """A random valid statement about a window; of a layer's tiles it is the last."""
    generator = np.random.default_rng(seed)
    config = config or shape_of(kind)
    program = statement_programs(config)[kind]
    context_bits = WINDOW_BITS + (window.bit_length() if program.has_context else 0)
    shapes = {name: program.shape(t.axes, context_bits) for name, t in program.tensors.items()}
    sizes = {
        "channel": config.hidden,
        "hidden": config.feed_forward,
        "kv_group": config.kv_heads,
        "any_group": config.kv_heads,
        "query": config.queries_per_group,
        "head_channel": config.head_size,
        "row": WINDOW_ROWS,
        "context": WINDOW_ROWS * (window + 1),
        **program.real_sizes,
    }
    tensors: dict[str, np.ndarray] = {}
    for weight in program.weights:
        values = generator.integers(-20000, 20000, [sizes[a] for a in weight.axes])
        tensors[weight.name] = padded(values, shapes[weight.name])
    for name in program.reads.values():
        limit = READ_LIMITS.get(name, 40_000)
        real = [sizes[a] for a in program.tensors[name].axes]
        tensors[name] = padded(generator.integers(-limit, limit, real), shapes[name])
    if kind == HEAD_TILE:
        return head_tile_statement(config, program, tensors)
    publics = publics_of(program, window)
    if kind == "head":
        tensors["chosen"] = padded(generator.integers(-20000, 20000, config.hidden), shapes["chosen"])
        tensors["rival"] = padded(generator.integers(-20000, 20000, config.hidden), shapes["rival"])
        if np.sum(tensors["window"][5] * (tensors["chosen"] - tensors["rival"])) < 0:
            tensors["chosen"], tensors["rival"] = tensors["rival"], tensors["chosen"]
    parameters = {name: 16 for name in program.parameters}
    if kind != "head":
        parameters |= config.tile_parameters(kind, config.steps[kind].tiles - 1)
    if kind == "mlp":
        parameters["down_shift"] = 14
    return Statement(program, tensors, parameters, publics, context_bits)
