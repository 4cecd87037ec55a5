"""Shapes of published models of the families beside Llama."""

from __future__ import annotations

from prover.architectures import ModelConfig
from prover.architectures.deepseek_v3 import DeepseekV3Config
from prover.architectures.gemma3 import Gemma3Config
from prover.architectures.gpt2 import Gpt2Config
from prover.architectures.mixtral import MixtralConfig
from prover.architectures.qwen2 import Qwen2Config
from prover.architectures.qwen3 import Qwen3Config
from prover.architectures.qwen3_moe import Qwen3MoeConfig
from prover.architectures.steps import GLOBAL, LOCAL

GEMMA3_270M = Gemma3Config(
    layers=18,
    hidden=640,
    heads=4,
    kv_heads=1,
    head_size=256,
    feed_forward=2048,
    vocabulary=262_144,
    rope_base=1_000_000,
    local_rope_base=10_000,
    sliding_window=512,
    layer_kinds=tuple(GLOBAL if layer % 6 == 5 else LOCAL for layer in range(18)),
    attention_scale=0.0625,
    norm_epsilon=1e-6,
    max_positions=1024,
)
GPT2_SMALL = Gpt2Config(
    layers=12,
    hidden=768,
    heads=12,
    feed_forward=3072,
    vocabulary=50_257,
    norm_epsilon=1e-5,
    max_positions=1024,
)
QWEN2_HALF_B = Qwen2Config(
    layers=24,
    hidden=896,
    heads=14,
    kv_heads=2,
    head_size=64,
    feed_forward=4864,
    vocabulary=151_936,
    rope_base=1_000_000,
    norm_epsilon=1e-6,
    max_positions=2048,
)
QWEN3_SMALL = Qwen3Config(
    layers=28,
    hidden=1024,
    heads=16,
    kv_heads=8,
    head_size=128,
    feed_forward=3072,
    vocabulary=151_936,
    rope_base=1_000_000,
    norm_epsilon=1e-6,
    max_positions=2048,
)

MIXTRAL_8X7B = MixtralConfig(
    layers=32,
    hidden=4096,
    heads=32,
    kv_heads=8,
    head_size=128,
    feed_forward=14_336,
    vocabulary=32_000,
    rope_base=1_000_000,
    norm_epsilon=1e-5,
    max_positions=2048,
    experts=8,
    experts_per_token=2,
)
QWEN3_30B_A3B = Qwen3MoeConfig(
    layers=48,
    hidden=2048,
    heads=32,
    kv_heads=4,
    head_size=128,
    feed_forward=768,
    vocabulary=151_936,
    rope_base=1_000_000,
    norm_epsilon=1e-6,
    max_positions=2048,
    experts=128,
    experts_per_token=8,
)

DEEPSEEK_V3_671B = DeepseekV3Config(
    layers=61,
    hidden=7168,
    heads=128,
    query_rank=1536,
    latent_rank=512,
    plain_size=128,
    rope_size=64,
    value_size=128,
    rope_base=10_000,
    score_factor=1.873773,
    feed_forward=18_432,
    dense_layers=3,
    vocabulary=129_280,
    norm_epsilon=1e-6,
    max_positions=2048,
    experts=256,
    experts_per_token=8,
    expert_size=2048,
    shared_experts=1,
    expert_groups=8,
    groups_per_token=4,
    routing_factor=2.5,
)

REAL_SHAPES: list[ModelConfig] = [
    GEMMA3_270M,
    GPT2_SMALL,
    QWEN2_HALF_B,
    QWEN3_SMALL,
    MIXTRAL_8X7B,
    QWEN3_30B_A3B,
    DEEPSEEK_V3_671B,
]
