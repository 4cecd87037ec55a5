"""Models of every family made from a seed: small ones for tests, and full shapes for benchmarks without a download.

Weights come from the raw PCG64 stream (which NumPy guarantees) as small integers over a power of two: they are exact
in float32, and no library's floating-point sum decides an integer. They say nothing, but they exercise everything:
gains differ from one, biases from zero, and values keep their size from layer to layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..architectures.config import Arrangement, ModelConfig
from ..architectures.deepseek_v3 import DeepseekV3Config
from ..architectures.gemma3 import Gemma3Config
from ..architectures.gpt2 import Gpt2Config
from ..architectures.granite import GraniteConfig
from ..architectures.llama import PROVABLE_POSITIONS, LlamaConfig
from ..architectures.mixtral import MixtralConfig
from ..architectures.olmo2 import Olmo2Config
from ..architectures.phi3 import Phi3Config
from ..architectures.qwen2 import Qwen2Config
from ..architectures.qwen3 import Qwen3Config
from ..architectures.qwen3_moe import Qwen3MoeConfig
from ..architectures.smollm3 import SmolLM3Config
from .checkpoint import tensor_shape
from .float_model import FloatLayer, FloatModel
from .layouts import HUGGING_FACE_LAYOUTS
from .token_models import UNUSED
from .tokenizer import Tokenizer, TokenizerSpecification

SEED = 20_250_207
VOCABULARY = 259
_AT_ONCE = 1 << 22

_TINY_ROTARY: dict[str, Any] = {
    "layers": 2,
    "hidden": 64,
    "vocabulary": VOCABULARY,
    "norm_epsilon": 1e-6,
    "max_positions": 256,
    "heads": 4,
    "kv_heads": 2,
    "feed_forward": 160,
    "rope_base": 10_000,
}

CONFIGURATIONS: dict[str, Callable[[], ModelConfig]] = {
    "tiny-mistral": lambda: LlamaConfig(
        **_TINY_ROTARY, head_size=16, sliding_window=32, layer_kinds=(1,) * _TINY_ROTARY["layers"]
    ),
    "tiny-qwen2": lambda: Qwen2Config(**_TINY_ROTARY, head_size=16),
    "tiny-qwen3": lambda: Qwen3Config(**_TINY_ROTARY, head_size=32),
    "tiny-mixtral": lambda: MixtralConfig(
        **(_TINY_ROTARY | {"feed_forward": 48}), head_size=16, experts=4, experts_per_token=2
    ),
    "tiny-qwen3-moe": lambda: Qwen3MoeConfig(
        **(_TINY_ROTARY | {"feed_forward": 96}),
        head_size=32,
        experts=6,
        experts_per_token=2,
        step_weights=1 << 14,  # two steps per expert, the second with padding
    ),
    "tiny-deepseek-v3": lambda: DeepseekV3Config(
        layers=3,
        hidden=64,
        vocabulary=VOCABULARY,
        norm_epsilon=1e-6,
        max_positions=256,
        heads=4,
        query_rank=24,
        latent_rank=20,
        plain_size=16,
        rope_size=8,
        value_size=12,
        rope_base=10_000,
        feed_forward=160,
        dense_layers=1,
        experts=12,
        experts_per_token=3,
        expert_size=48,
        shared_experts=1,
        expert_groups=3,
        groups_per_token=2,
        routing_factor=1.5,
    ),
    "tiny-smollm3": lambda: SmolLM3Config(
        **(_TINY_ROTARY | {"layers": 3}), head_size=16, rotary_kinds=(1, 2, 1)
    ),
    "tiny-granite": lambda: GraniteConfig(
        **_TINY_ROTARY,
        head_size=16,
        embedding_multiplier=12.0,
        residual_multiplier=0.25,
        attention_scale=0.125,
        logits_divisor=8.0,
    ),
    "tiny-phi3": lambda: Phi3Config(**_TINY_ROTARY, head_size=16, rotated_channels=12, rope_factor=1.25),
    "tiny-olmo2": lambda: Olmo2Config(**_TINY_ROTARY, head_size=16),
    "tiny-gemma3": lambda: Gemma3Config(
        **(_TINY_ROTARY | {"kv_heads": 1, "layers": 3, "rope_base": 1_000_000}),
        head_size=16,
        local_rope_base=10_000,
        sliding_window=32,
        layer_kinds=(1, 2, 1),
        attention_scale=0.25,
    ),
    "tiny-gpt2": lambda: Gpt2Config(
        layers=2,
        hidden=64,
        vocabulary=VOCABULARY,
        norm_epsilon=1e-5,
        max_positions=256,
        heads=4,
        feed_forward=160,
    ),
    "gpt2-seeded": lambda: Gpt2Config(
        layers=12,
        hidden=768,
        vocabulary=50_257,
        norm_epsilon=1e-5,
        max_positions=1024,
        heads=12,
        feed_forward=3072,
    ),
}


_LLAMA_3: dict[str, Any] = {
    "head_size": 128,
    "kv_heads": 8,
    "rope_base": 500_000,
    "norm_epsilon": 1e-5,
    "max_positions": PROVABLE_POSITIONS,
}

LARGE: dict[str, Callable[[], ModelConfig]] = {
    "llama-1b-seeded": lambda: LlamaConfig(
        **(_LLAMA_3 | {"head_size": 64}),
        layers=16,
        hidden=2048,
        heads=32,
        feed_forward=8192,
        vocabulary=128_256,
    ),
    "llama-8b-layer-seeded": lambda: LlamaConfig(
        **_LLAMA_3, layers=1, hidden=4096, heads=32, feed_forward=14_336, vocabulary=VOCABULARY
    ),
    "llama-70b-layer-seeded": lambda: LlamaConfig(
        **_LLAMA_3, layers=1, hidden=8192, heads=64, feed_forward=28_672, vocabulary=VOCABULARY
    ),
}
"""Shapes of Llama 3.2 1B, and of one layer of Llama 3 8B and 70B, too large to be made again in every process: they are written
to disk when they are first used (library.py). Every layer has a seed of its own, so that one is in memory at a time."""


def seeded_model(name: str, config: ModelConfig, tokenizer: Tokenizer, seed: int = SEED) -> FloatModel:
    """A model of any family. The head is not tied to the embedding: a random tied head repeats its input."""
    draw, layout = Draw(seed), HUGGING_FACE_LAYOUTS[config.family]
    layers: Sequence[FloatLayer]
    if name in LARGE:
        layers = _SeededLayers(config, seed)
    else:
        layers = [_layer(config, draw, layer) for layer in range(config.layers)]
    rows = (config.vocabulary, config.hidden)
    return FloatModel(
        name=name,
        config=config,
        tokenizer=tokenizer,
        embedding=draw.uniform(rows, _power_of_two(1 / config.embedding_factor)),
        layers=layers,
        final_norm=1.0 + draw.uniform((config.hidden,), 0.5),
        head=draw.uniform(rows, _amplitude(config.hidden)),
        positions=draw.uniform((config.max_positions, config.hidden), 0.25) if layout.positions else None,
        final_norm_bias=draw.uniform((config.hidden,), 0.25) if layout.final_norm_bias else None,
    )


def _layer(config: ModelConfig, draw: Draw, layer: int) -> FloatLayer:
    layout = HUGGING_FACE_LAYOUTS[config.family]
    fused = (part for parts in layout.fused_of(config, layer).values() for part in parts)
    stored = [*layout.of(config, layer), *fused, *layout.experts_of(config, layer)]

    def tensor(name: str) -> np.ndarray:
        shape = tensor_shape(config, name, layer)
        if name.endswith("_norm"):
            return 1.0 + draw.uniform(shape, 0.5)
        if len(shape) == 1:
            return draw.uniform(shape, 0.25)
        rule = config.matrix_rules_of(layer)[name]
        inputs = rule.inputs // rule.blocks if rule.arranged is Arrangement.PLAIN else shape[1]
        return draw.uniform(shape, _amplitude(inputs))  # of one expert, where there are

    return FloatLayer({name: tensor(name) for name in stored})


@dataclass(frozen=True)
class _SeededLayers(Sequence[FloatLayer]):
    """Layers that are drawn whenever they are asked for."""

    config: ModelConfig
    seed: int

    def __len__(self) -> int:
        return self.config.layers

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return _layer(self.config, Draw(self.seed + 1 + index), index)


def seeded_tokenizer(small: TokenizerSpecification, vocabulary: int) -> Tokenizer:
    """A small tokenizer as the start of a larger vocabulary whose other ids mean nothing."""
    missing = range(len(small.tokens), vocabulary)
    return Tokenizer(
        TokenizerSpecification(
            tokens=(*small.tokens, *(f"<no token {index}>" for index in missing)),
            token_types=(*small.token_types, *(UNUSED for _ in missing)),
            merges=small.merges,
            pre_tokenizer=small.pre_tokenizer,
            bos_id=small.bos_id,
            eos_id=small.eos_id,
            chat_template=small.chat_template,
        )
    )


class Draw:
    """Uniform numbers k/2^11·amplitude with integer k in [-2^11, 2^11); amplitudes are powers of two."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, shape: tuple[int, ...], amplitude: float) -> np.ndarray:
        drawn = np.empty(int(np.prod(shape)), dtype=np.float32)
        for start in range(0, len(drawn), _AT_ONCE):
            part = drawn[start : start + _AT_ONCE]
            integers = (self._bits.random_raw(len(part)) >> np.uint64(52)).astype(np.int64) - 2**11
            np.multiply(integers.astype(np.float32), np.float32(amplitude / 2**11), out=part)
        return drawn.reshape(shape)


def _amplitude(inputs: int) -> float:
    """With it, a product with inputs of size one has size about two."""
    return _power_of_two(2 * math.sqrt(3 / inputs))


def _power_of_two(value: float) -> float:
    return 2.0 ** round(math.log2(value))
