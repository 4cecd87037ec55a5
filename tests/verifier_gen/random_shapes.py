"""Shapes of all families whose sizes nobody chose: axes that are cut in two and three pieces, or not at all, in chunks of any size."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from prover.architectures import ModelConfig
from prover.architectures.audit_steps import statement_programs
from prover.architectures.deepseek_v3 import DeepseekV3Config
from prover.architectures.gemma3 import Gemma3Config
from prover.architectures.gpt2 import Gpt2Config
from prover.architectures.granite import GraniteConfig
from prover.architectures.llama import LlamaConfig
from prover.architectures.mixtral import MixtralConfig
from prover.architectures.olmo2 import Olmo2Config
from prover.architectures.phi3 import Phi3Config
from prover.architectures.qwen2 import Qwen2Config
from prover.architectures.qwen3 import Qwen3Config
from prover.architectures.qwen3_moe import Qwen3MoeConfig
from prover.architectures.smollm3 import SmolLM3Config
from prover.chunk_size import check_chunk_size
from prover.errors import ChunkSizeError
from prover.plan import PRIVATE, PUBLIC, Plan

CHUNK_BITS = (10, 12, 14, 16, 18)
_LARGEST_HIDDEN = {10: 32, 12: 128}
_LIKE_LLAMA = {
    LlamaConfig: {},
    Qwen2Config: {},
    Qwen3Config: {},
    Olmo2Config: {},
    GraniteConfig: {
        "embedding_multiplier": 12.0,
        "residual_multiplier": 0.22,
        "attention_scale": 0.1,
        "logits_divisor": 8.0,
    },
    Phi3Config: {"rotated_channels": 4, "rope_factor": 1.25},
    SmolLM3Config: {"rotary_kinds": (1, 2)},
    MixtralConfig: {"experts": 3, "experts_per_token": 2},
    Qwen3MoeConfig: {"experts": 5, "experts_per_token": 3},
    Gemma3Config: {
        "local_rope_base": 1000,
        "sliding_window": 32,
        "layer_kinds": (1, 2),
        "attention_scale": 0.25,
    },
}
_LOCAL = {
    "rope_factor": 1.25,
    "sliding_window": 32,
    "layer_kinds": (1, 2),
    "attention_bias": True,
    "mlp_bias": True,
}


@dataclass(frozen=True)
class Drawn:
    """A plan for chunks of 2^chunk_bits, and a window that its statements may be about."""

    config: ModelConfig
    kind: str
    plan: Plan
    chunk_bits: int
    window: int

    def __str__(self) -> str:
        return f"{self.kind} of window {self.window}, 2^{self.chunk_bits}, {self.plan.privacy}: {self.config}"


def _size(draw: random.Random, least: int, most: int) -> int:
    """Any size, or one of few bits, which is worth a cut."""
    if draw.random() < 0.5:
        return draw.randrange(least, most + 1)
    size = 0
    while not least <= size <= most:
        size = sum({1 << draw.randrange(most.bit_length()) for _ in range(3)})
    return size


def _config(draw: random.Random, most: int) -> ModelConfig:
    hidden, feed_forward = _size(draw, 24, most), _size(draw, 20, 4 * most)
    shape: dict[str, object] = {
        "layers": 2,
        "vocabulary": draw.choice([50, 1000]),
        "norm_epsilon": 1e-6,
        "max_positions": draw.choice([96, 128, 512]),
        "feed_forward": feed_forward,
    }
    if draw.random() < 0.5:
        shape["step_weights"] = draw.choice([500, 1200, 3000, 8000, 20000, 60000])
    family = draw.choice([*_LIKE_LLAMA, Gpt2Config, DeepseekV3Config])
    if family is Gpt2Config:
        heads = draw.randrange(1, 7)
        return Gpt2Config(**shape, hidden=hidden // heads * heads, heads=heads)  # type: ignore[arg-type]
    shape |= {"hidden": hidden, "rope_base": 10_000}
    if family is DeepseekV3Config:
        return DeepseekV3Config(
            **shape,  # type: ignore[arg-type]
            heads=draw.randrange(1, 9),
            query_rank=draw.choice([0, draw.randrange(6, 100)]),
            latent_rank=draw.randrange(6, 100),
            plain_size=draw.randrange(4, 40),
            rope_size=2 * draw.randrange(1, 12),
            value_size=draw.randrange(4, 40),
            dense_layers=1,
            experts=6,
            experts_per_token=2,
            expert_size=draw.randrange(8, 80),
            shared_experts=1,
            expert_groups=3,
            groups_per_token=2,
            routing_factor=2.5,
        )
    kv_heads = draw.randrange(1, 7)
    shape |= {"kv_heads": kv_heads, "heads": kv_heads * draw.randrange(1, 6)}
    shape |= {"head_size": draw.choice([4, 6, 10, 12, 16, 20, 24, 40, 64][: 5 if most < 64 else 9])}
    if family is LlamaConfig and draw.random() < 0.5:
        shape |= _LOCAL
    made: ModelConfig = family(**shape, **_LIKE_LLAMA[family])  # type: ignore[arg-type, assignment]
    return made


def random_plans(seed: int, *, most: int = 300, sizes: tuple[int, ...] = CHUNK_BITS) -> Iterator[Drawn]:
    """A plan for each kind of statement of a random shape, those left out that have no verifying key."""
    draw = random.Random(seed)
    chunk_bits = draw.choice(sizes)
    config = _config(draw, min(most, _LARGEST_HIDDEN.get(chunk_bits, most)))
    for kind, program in statement_programs(config).items():
        plan = Plan(program, chunk_bits=chunk_bits, privacy=draw.choice([PUBLIC, PRIVATE]))
        window = draw.randrange(program.public_scalars.get("window", 1))
        try:
            check_chunk_size(plan, chunk_bits)
        except ChunkSizeError:
            continue
        yield Drawn(config, kind, plan, chunk_bits, window)
