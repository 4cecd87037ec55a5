"""A small shape of every family, and random true statements about its layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import HEAD_TILE, HEAD_WEIGHT, audit_steps
from prover.architectures.granite import GraniteConfig
from prover.architectures.llama import LlamaConfig
from prover.architectures.phi3 import Phi3Config
from prover.architectures.qwen2 import Qwen2Config
from prover.architectures.qwen3 import Qwen3Config
from prover.architectures.qwen3_moe import Qwen3MoeConfig
from prover.architectures.shapes import OTHER_FAMILIES, TILED
from prover.architectures.smollm3 import SmolLM3Config
from prover.operators.head_pair import RivalWins
from prover.program import WINDOW_BITS, WINDOW_ROWS
from tests.prover.operators.random_layers import (
    READ_LIMITS,
    SMALL,
    Statement,
    head_tile_statement,
    padded,
    publics_of,
)

QWEN2 = Qwen2Config(
    layers=1,
    hidden=24,
    heads=3,
    kv_heads=1,
    head_size=8,  # an odd power of two: half of the score scale goes into the query's weights
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    rope_divisors=(1.0, 1.5, 4.0, 8.0),
    norm_epsilon=1e-6,
    max_positions=128,
)
QWEN3 = Qwen3Config(
    layers=1,
    hidden=20,
    heads=4,
    kv_heads=2,
    head_size=6,  # no power of two at all
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-6,
    max_positions=128,
)
LLAMA_LOCAL = LlamaConfig(
    layers=2,
    hidden=24,
    heads=3,
    kv_heads=1,
    head_size=8,
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    rope_factor=1.25,
    sliding_window=32,
    layer_kinds=(1, 2),
    attention_bias=True,
    mlp_bias=True,
    norm_epsilon=1e-6,
    max_positions=128,
)
"""What some models of the family have and others do not."""
_SMALL_ROTARY = {
    "layers": 2,
    "hidden": 24,
    "heads": 2,
    "kv_heads": 1,
    "head_size": 8,
    "feed_forward": 40,
    "vocabulary": 50,
    "rope_base": 10_000,
    "norm_epsilon": 1e-6,
    "max_positions": 128,
}
SMOLLM3 = SmolLM3Config(**_SMALL_ROTARY, rotary_kinds=(1, 2))  # type: ignore[arg-type]
GRANITE = GraniteConfig(
    **_SMALL_ROTARY,  # type: ignore[arg-type]
    embedding_multiplier=12.0,
    residual_multiplier=0.22,
    attention_scale=0.1,
    logits_divisor=8.0,
)
PHI3 = Phi3Config(**_SMALL_ROTARY, rotated_channels=6, rope_factor=1.25)  # type: ignore[arg-type]
QWEN3_MOE = Qwen3MoeConfig(**_SMALL_ROTARY, experts=4, experts_per_token=3)  # type: ignore[arg-type]
MIXTRAL = OTHER_FAMILIES["Mixtral"]
DEEPSEEK_V3 = OTHER_FAMILIES["DeepSeek V3"]
OLMO2 = OTHER_FAMILIES["OLMo 2"]
GEMMA3, GPT2 = OTHER_FAMILIES["Gemma 3"], OTHER_FAMILIES["GPT-2"]
_TILED = {"gemma3": "Gemma 3", "gpt2": "GPT-2", "olmo2": "OLMo 2"}
"""Those that are in tiles in the constraint table; of a DeepSeek V3 there latents of queries are in tiles too."""
FAMILIES: dict[str, ModelConfig] = {
    "llama": SMALL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma3": GEMMA3,
    "gpt2": GPT2,
    "llama-local": LLAMA_LOCAL,
    "smollm3": SMOLLM3,
    "granite": GRANITE,
    "phi3": PHI3,
    "olmo2": OLMO2,
    "mixtral": MIXTRAL,
    "qwen3-moe": QWEN3_MOE,
    "deepseek-v3": DEEPSEEK_V3,
    "deepseek-v3-tiled": replace(
        DEEPSEEK_V3, heads=4, step_weights=500, experts=5, expert_groups=1, groups_per_token=1
    ),
    "deepseek-v3-cut": OTHER_FAMILIES["DeepSeek V3 in tiles"],
    "llama-tiled": TILED,
    "llama-local-tiled": replace(LLAMA_LOCAL, step_weights=600),  # a tile per query head, all of one group
    "qwen3-tiled": replace(QWEN3, step_weights=700),  # a tile per group
    "smollm3-tiled": replace(SMOLLM3, kv_heads=2, step_weights=500),  # keys and values in tiles of inputs
    **{f"{family}-tiled": OTHER_FAMILIES[f"{name} in tiles"] for family, name in _TILED.items()},
}
TILED_FAMILIES = tuple(name for name, config in FAMILIES.items() if "attention_tile" in config.steps)
"""Those whose layers are cut into tiles, all parts that families share with them included."""


def attention_kind(config: ModelConfig) -> str:
    """The kind of step that attends: a whole layer's, or one tile's."""
    return next(kind for kind in config.kinds if config.programs[kind].has_context)


def keys_kind(config: ModelConfig) -> str:
    """The kind of step that writes keys and values: whole, or the close of its tiles."""
    return next(kind for kind in config.kinds if "keys" in config.programs[kind].writes)


def random_statement(
    config: ModelConfig, kind: str, window: int = 0, seed: int = 1, layer: int = 0
) -> Statement:
    """A random true statement about a window."""
    generator = np.random.default_rng(seed)
    step = {**config.steps, **audit_steps(config)}[kind]
    program = step.program
    context_bits = WINDOW_BITS + (window.bit_length() if program.has_context else 0)
    sizes = {**program.real_sizes, "channel": config.hidden, "context": WINDOW_ROWS * (window + 1)}
    tensors: dict[str, np.ndarray] = {}
    for tensor in (*program.weights, *program.inputs):
        if tensor in program.written:
            continue
        shape = program.shape(tensor.axes, context_bits)
        real = [sizes.get(axis, size) for axis, size in zip(tensor.axes, shape, strict=True)]
        if tensor.name in ("chosen", "rival"):
            real = [config.head_inputs]
        if tensor.name == HEAD_WEIGHT:
            real[0] = config.head_inputs
        limit = READ_LIMITS.get(tensor.name, 40_000 if tensor.name in ("before", "window") else 20_000)
        if tensor.name.endswith("_bias") and tensor.name not in step.vectors:
            limit = 1 << 24  # the accumulator's scale
        tensors[tensor.name] = padded(generator.integers(-limit, limit, real), shape)
        if tensor.name == "gates":  # about a third of the rows are routed to an expert
            tensors[tensor.name] = np.maximum(tensors[tensor.name], 0)
            tensors[tensor.name][::3] = 0
    if kind == HEAD_TILE:
        return head_tile_statement(config, program, tensors)
    parameters = {name: 16 for name in program.parameters}
    if kind != "head":
        parameters |= config.layer_parameters(layer, kind) | config.tile_parameters(kind, step.tiles - 1)
    statement = Statement(program, tensors, parameters, publics_of(program, window), context_bits)
    if kind == "head":
        try:
            statement.witness()
        except RivalWins:
            tensors["chosen"], tensors["rival"] = tensors["rival"], tensors["chosen"]
    return statement
