"""Mixtures of experts in GGUF files: Mixtral (a `llama` with experts), Qwen 3 MoE (`qwen3moe`) and DeepSeek V3 (`deepseek2`).

All experts of a layer lie in one tensor, the expert's number first. Where llama.cpp and `transformers` compute different models from
what a file can say, it is refused.
"""

from __future__ import annotations

import math
from typing import Any

from ..architectures.latent import LATENT_EPSILON
from .errors import GgufError
from .facts import (
    decimal_of_float32,
    float32,
    provable_positions,
    refuse_unless,
    shortest,
    whole_base,
    yarn_divisors,
    yarn_factor,
)
from .gguf_file import GgufFile
from .gguf_keys import GgufKeys, sizes

_LOG_MULTIPLIER = "rope.scaling.yarn_log_multiplier"


def expert_facts(keys: GgufKeys, feed_forward: int) -> dict[str, int]:
    """Experts of a Mixtral or a Qwen 3 MoE. feed_forward: what the file says of a dense unit, which Mixtral's experts are."""
    own = keys.whole("expert_feed_forward_length", feed_forward if keys.family == "mixtral" else None)
    return {
        "feed_forward": own,
        "experts": keys.whole("expert_count"),
        "experts_per_token": keys.whole("expert_used_count"),
    }


def deepseek_v3_facts(keys: GgufKeys) -> dict[str, Any]:
    """Latent attention, and experts chosen by scores.

    Head sizes are those of keys and values as their makers have them: `key_length_mla` where matrices of heads lie apart, and
    `key_length` where they do not (`holds_heads_apart`). Raises UnsupportedModelError and GgufError.
    """
    facts = sizes(keys, "attention.layer_norm_rms_epsilon")
    refuse_unless(
        facts["norm_epsilon"] == LATENT_EPSILON,
        "option",
        f"attention.layer_norm_rms_epsilon = {facts['norm_epsilon']:g}",
        f"{LATENT_EPSILON:g}, which is what the norms of latents have whatever a model says elsewhere",
    )
    rank, rope_size = keys.whole("attention.kv_lora_rank"), keys.whole("rope.dimension_count")
    apart = holds_heads_apart(keys.file)
    key_size, value_size = (
        keys.whole(f"attention.{name}_length{'_mla' if apart else ''}") for name in ("key", "value")
    )
    if apart:
        stated = keys.whole("attention.key_length"), keys.whole("attention.value_length")
        refuse_unless(
            stated == (rank + rope_size, rank) and keys.whole("attention.head_count_kv", 1) == 1,
            "option",
            f"key and value lengths of {stated[0]} and {stated[1]} for {keys.whole('attention.head_count_kv', 1)} key heads",
            f"{rank + rope_size} and {rank} for one: what all heads share",
        )
    if rope_size >= key_size:
        raise GgufError(
            f"GGUF metadata deepseek2 has heads of {key_size} channels of which {rope_size} turn; some must not"
        )
    context = keys.whole("context_length")
    base = keys.real("rope.freq_base", 10_000.0)
    divisors, score_factor = _yarn(keys, base, rope_size, context)
    factor = shortest(keys.real("expert_weights_scale", 0.0)) or 1.0
    refuse_unless(0 < factor < 4, "option", f"expert_weights_scale = {factor:g}", "a factor below 4")
    refuse_unless(
        keys.value("expert_gating_func", None) is not None
        and keys.value("expert_weights_norm", False) is True,
        "option",
        "a router without expert_gating_func = 2 or expert_weights_norm = True",
        "scores that are sigmoids, and weights of a row's experts that add up to one before they are scaled",
    )
    groups, used = keys.count("expert_group_count") or 1, keys.count("expert_group_used_count") or 1
    refuse_unless(
        used <= groups,
        "option",
        f"expert_group_used_count = {used} of {groups} groups",
        "at most as many as there are",
    )
    query_rank, dense = keys.count("attention.q_lora_rank"), keys.count("leading_dense_block_count")
    return facts | {
        **({"query_rank": query_rank} if query_rank else {}),
        **({"dense_layers": dense} if dense else {}),
        **({"expert_groups": groups, "groups_per_token": used} if used < groups else {}),
        "latent_rank": rank,
        "plain_size": key_size - rope_size,
        "rope_size": rope_size,
        "value_size": value_size,
        "max_positions": provable_positions(context, rope_size),
        "rope_base": whole_base(base),
        "rope_divisors": divisors,
        "score_factor": score_factor,
        "experts": keys.whole("expert_count"),
        "experts_per_token": keys.whole("expert_used_count"),
        "expert_size": keys.whole("expert_feed_forward_length"),
        "shared_experts": keys.whole("expert_shared_count"),
        "routing_factor": factor,
    }


def holds_heads_apart(file: GgufFile) -> bool:
    """Whether keys' and values' matrices of all heads are two tensors, the keys' turned, or one: llama.cpp looks here too."""
    return "deepseek2.attention.key_length_mla" in file.metadata


def notes_of(file: GgufFile, family: str) -> tuple[str, ...]:
    """What the owner of a file should know that was decided for it."""
    if family != "deepseek_v3" or "deepseek2.expert_group_count" in file.metadata:
        return ()
    return (
        "the file says nothing of groups of experts, so every row chooses among all of them, as llama.cpp does; a DeepSeek V3 "
        "that was trained with groups must be converted again",
    )


def _yarn(keys: GgufKeys, base: float, rope_size: int, context: int) -> tuple[tuple[float, ...], float]:
    """Divisors of a rotation that does not multiply, and what scores are multiplied with: (1 + m ln factor)^2.

    m is the stored multiplier. Where YaRN has none, llama.cpp and `transformers` do not agree on what is multiplied instead.
    """
    scaling = keys.value("rope.scaling.type", "none")
    stretch = keys.real("rope.scaling.factor", 1.0)
    multiplier = decimal_of_float32(keys.real(_LOG_MULTIPLIER, 0.0))
    refuse_unless(
        keys.real("rope.scaling.attn_factor", 1.0) == 1,
        "option",
        "rope.scaling.attn_factor beside latent attention",
        "a rotation that turns only",
    )
    if scaling == "none" and stretch == 1:
        return (), 1.0
    refuse_unless(scaling == "yarn", "option", f"rotary scaling {scaling!r}", "YaRN, or none")
    refuse_unless(
        base > 1 and stretch > 0 and 0 < multiplier < 1,
        "option",
        f"YaRN with base {base:g}, factor {stretch:g} and yarn_log_multiplier = {multiplier:g}",
        "a base above 1, a positive factor, and what the converter calls yarn_log_multiplier",
    )
    original = keys.whole("rope.scaling.original_context_length", context)
    divisors = yarn_divisors(base, rope_size, factor=stretch, fast=32, slow=1, original=original)
    return divisors, float32(math.pow(yarn_factor(stretch, decimal_of_float32(10 * multiplier)), 2))
