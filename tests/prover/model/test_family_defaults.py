"""A config.json that leaves a setting out means what the family's own configuration class means by it."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import CONFIG_MAPPING

from prover.model.family_defaults import FAMILY_DEFAULTS
from prover.model.hugging_face_import import MODEL_TYPES, hugging_face_config

# Where the table writes None, or the name by which the class has it.
_IMPLIED: dict[tuple[str, str], Any] = {
    ("llama", "num_key_value_heads"): 32,
    ("llama", "head_dim"): 128,
    ("mistral", "head_dim"): 128,
    ("mixtral", "head_dim"): None,
    ("granite", "num_key_value_heads"): 32,
    ("olmo2", "num_key_value_heads"): 32,
    ("phi3", "num_key_value_heads"): 32,
    ("gpt2", "n_inner"): None,
}


def test_every_model_type_has_its_table() -> None:
    assert set(FAMILY_DEFAULTS) == set(MODEL_TYPES)


@pytest.mark.parametrize(
    ("model_type", "setting"), [(name, key) for name, table in FAMILY_DEFAULTS.items() for key in table]
)
def test_defaults_are_those_of_the_configuration_class(model_type: str, setting: str) -> None:
    reference, ours = CONFIG_MAPPING[model_type](), FAMILY_DEFAULTS[model_type][setting]
    if setting in ("rope_theta", "rope_local_base_freq"):
        rotary = reference.rope_parameters
        kind = "sliding_attention" if setting == "rope_local_base_freq" else "full_attention"
        assert ours == rotary.get(kind, rotary)["rope_theta"]
    elif setting == "sliding_window_pattern":
        assert ours == reference._sliding_window_pattern
    elif setting == "sliding_window" and "use_sliding_window" in FAMILY_DEFAULTS[model_type]:
        assert ours == CONFIG_MAPPING[model_type](use_sliding_window=True).sliding_window
    elif setting == "layer_types":
        assert ours is None and len(reference.layer_types) == reference.num_hidden_layers
    elif setting == "no_rope_layers":
        assert ours is None and [
            layer for layer, turns in enumerate(reference.no_rope_layers, 1) if not turns
        ] == [*range(4, 37, 4)]
    elif (
        model_type in ("qwen2", "qwen3_moe", "smollm3", "granite", "phi3", "olmo2") and setting == "head_dim"
    ):
        assert not hasattr(reference, setting)  # hidden / heads in the model
    else:
        expected = getattr(reference, setting)
        assert (ours if ours is not None else _IMPLIED.get((model_type, setting))) == expected


@pytest.mark.parametrize("model_type", FAMILY_DEFAULTS)
def test_a_configuration_of_its_type_alone_is_the_class_without_arguments(model_type: str) -> None:
    # No Granite was published with the class' own scale of scores, 1, whose scores would not fit.
    # A Qwen 3 MoE whose experts' weights do not add up to one is refused, and the class' own do not.
    stated = {"granite": {"attention_multiplier": 0.0078125}, "qwen3_moe": {"norm_topk_prob": True}}.get(
        model_type, {}
    )
    config = hugging_face_config({"model_type": model_type, **stated})
    reference = CONFIG_MAPPING[model_type](**stated)
    assert (config.layers, config.hidden) == (reference.num_hidden_layers, reference.hidden_size)
    assert config.vocabulary == reference.vocab_size
    if model_type == "deepseek_v3":
        assert (config.heads, config.query_rank, config.latent_rank) == (
            reference.num_attention_heads,
            reference.q_lora_rank,
            reference.kv_lora_rank,
        )
        assert (config.plain_size, config.rope_size, config.value_size) == (
            reference.qk_nope_head_dim,
            reference.qk_rope_head_dim,
            reference.v_head_dim,
        )
        assert (config.experts, config.shared_experts, config.experts_per_token) == (
            reference.n_routed_experts,
            reference.n_shared_experts,
            reference.num_experts_per_tok,
        )
        assert (config.expert_groups, config.groups_per_token) == (reference.n_group, reference.topk_group)
        assert (config.feed_forward, config.expert_size) == (
            reference.intermediate_size,
            reference.moe_intermediate_size,
        )
        assert config.dense_layers == reference.first_k_dense_replace
        assert config.routing_factor == reference.routed_scaling_factor
    elif model_type != "gpt2":
        assert (config.kv_heads, config.heads) == (
            reference.num_key_value_heads,
            reference.num_attention_heads,
        )
        implied = reference.hidden_size // reference.num_attention_heads
        assert config.head_size == (getattr(reference, "head_dim", None) or implied)
    if model_type in ("mixtral", "qwen3_moe"):
        assert config.experts == reference.num_local_experts
        assert config.experts_per_token == reference.num_experts_per_tok
        size = "moe_intermediate_size" if model_type == "qwen3_moe" else "intermediate_size"
        assert config.feed_forward == getattr(reference, size)
    if model_type == "gemma3_text":
        kinds = [{"sliding_attention": 1, "full_attention": 2}[kind] for kind in reference.layer_types]
        assert list(config.layer_kinds) == kinds
        assert config.attention_scale == reference.query_pre_attn_scalar**-0.5
