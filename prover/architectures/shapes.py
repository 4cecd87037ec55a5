"""Shapes that no published model has: small ones that the constraint table forges, and one of any width to measure."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from .config import ModelConfig
from .deepseek_v3 import DeepseekV3Config
from .gemma3 import Gemma3Config
from .gpt2 import Gpt2Config
from .llama import PROVABLE_POSITIONS, LlamaConfig
from .mixtral import MixtralConfig
from .olmo2 import Olmo2Config
from .steps import GLOBAL, LOCAL

_SMALL_HEAD, _HEAD, _FIRST_WIDTH_OF_HEAD = 16, 64, 256
_ROUND_TO = 32

SHAPE = LlamaConfig(
    layers=1,
    hidden=24,
    heads=3,
    kv_heads=1,
    head_size=4,
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-5,
    max_positions=256,
)
TILED = replace(SHAPE, heads=6, kv_heads=3, feed_forward=44, step_weights=1200)
"""Two tiles of two groups of heads and three of sixteen hidden channels; the last ones have a group and channels that do not exist."""
CUT = replace(TILED, step_weights=600)
"""Keys and values too: two tiles of sixteen input channels, the last one with eight that do not exist."""
_DEEPSEEK_V3 = DeepseekV3Config(
    layers=2,
    hidden=24,
    heads=3,
    query_rank=12,
    latent_rank=10,
    plain_size=6,
    rope_size=4,
    value_size=5,
    feed_forward=40,
    dense_layers=1,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-6,
    max_positions=128,
    experts=6,
    experts_per_token=2,
    expert_size=12,
    shared_experts=1,
    expert_groups=3,
    groups_per_token=2,
    routing_factor=2.5,
    step_weights=3000,
)
_GEMMA3 = Gemma3Config(
    layers=2,
    hidden=24,
    heads=2,
    kv_heads=1,
    head_size=8,
    feed_forward=40,
    vocabulary=50,
    rope_base=1_000_000,
    local_rope_base=10_000,
    sliding_window=32,
    layer_kinds=(LOCAL, GLOBAL),
    attention_scale=8**-0.5,
    norm_epsilon=1e-6,
    max_positions=128,
)
OTHER_FAMILIES: dict[str, ModelConfig] = {
    "GPT-2": Gpt2Config(
        layers=2, hidden=24, heads=3, feed_forward=40, vocabulary=50, norm_epsilon=1e-5, max_positions=96
    ),
    "OLMo 2": Olmo2Config(
        layers=2,
        hidden=24,
        heads=6,
        kv_heads=3,
        head_size=6,
        feed_forward=40,
        vocabulary=50,
        rope_base=10_000,
        norm_epsilon=1e-6,
        max_positions=96,
    ),
    "Mixtral": MixtralConfig(
        layers=2,
        hidden=24,
        heads=2,
        kv_heads=1,
        head_size=8,
        feed_forward=12,
        vocabulary=50,
        rope_base=10_000,
        norm_epsilon=1e-6,
        max_positions=128,
        experts=5,
        experts_per_token=2,
        step_weights=800,
    ),
    "DeepSeek V3": _DEEPSEEK_V3,
    "Gemma 3": _GEMMA3,
}
"""Few sizes are powers of two, so that every kind of padding occurs."""
CUT_QUERIES = Olmo2Config(
    layers=2,
    hidden=24,
    heads=12,
    kv_heads=3,
    head_size=6,
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-6,
    max_positions=96,
    step_weights=1100,
)
"""One norm spans all queries, so that they are a stream: three tiles of inputs, and six of two heads, two for each group."""
OTHER_FAMILIES |= {
    "GPT-2 in tiles": replace(OTHER_FAMILIES["GPT-2"], step_weights=900),
    "OLMo 2 in tiles": CUT_QUERIES,
    "Gemma 3 in tiles": replace(_GEMMA3, heads=4, kv_heads=2, step_weights=600),
    # latents of queries too: two tiles of sixteen input channels
    "DeepSeek V3 in tiles": replace(_DEEPSEEK_V3, heads=4, step_weights=300),
}
WHAT_OTHERS_ADD = """\
The tensors that Llama's statement of the same kind lacks, found in the same way. Qwen 2 has the biases of GPT-2, Qwen 3
the norms of Gemma 3's queries and keys; Qwen 3 MoE has these and Mixtral's experts. DeepSeek V3's
router is of the second layer, behind a dense one. Gemma 3's layer is a local one, in
which the global tables have coefficient zero. "In tiles" are the same families where steps take fewer weights.
"""


def shape_of_width(d: int, layers: int, vocabulary: int) -> ModelConfig:
    """A block of width d with the proportions of SmolLM2-135M: f = 8d/3, head size 64 (16 below d = 256), grouped keys.

    Raises UsageError when d is no multiple of the head size.
    """
    head_size = _HEAD if d >= _FIRST_WIDTH_OF_HEAD else _SMALL_HEAD
    heads, rest = divmod(d, head_size)
    if rest or heads < 1:
        raise UsageError(f"a block of width {d} cannot be made; take a multiple of the head size {head_size}")
    kv_heads = next(heads // share for share in (3, 2, 1) if heads % share == 0)
    return LlamaConfig(
        layers=layers,
        hidden=d,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        feed_forward=-(-8 * d // (3 * _ROUND_TO)) * _ROUND_TO,
        vocabulary=vocabulary,
        rope_base=10_000,
        norm_epsilon=1e-5,
        max_positions=PROVABLE_POSITIONS,
    )


def mixture_of(dense: ModelConfig, *, feed_forward: int, experts: int, experts_per_token: int) -> ModelConfig:
    """The dense shape with experts of so many hidden channels in place of its unit, some of which each row takes."""
    own = {"feed_forward": feed_forward, "experts": experts, "experts_per_token": experts_per_token}
    facts = {name: value for name, value in dense.to_json().items() if name != "family"}
    return MixtralConfig.from_json(facts | own)
