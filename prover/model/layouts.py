"""Where each family's tensors lie in a GGUF file and in a Hugging Face checkpoint.

GGUF names are those of llama.cpp's converters. These permute the rows of attn_q and attn_k of Llama models so that
rotary pairs are neighbours, and leave those of other families in halves; they store Gemma's gains with the 1 added.
"""

from __future__ import annotations

from dataclasses import replace

from .checkpoint import Layout


def _named(pattern: str, names: dict[str, str]) -> dict[str, str]:
    return {tensor: pattern.format(stored=stored) for tensor, stored in names.items()}


_QUERY_KEY_VALUE = ("w_query", "w_key", "w_value")
_GATE_UP = ("w_gate", "w_up")
_QUERY_KEY_VALUE_BIAS = ("query_bias", "key_bias", "value_bias")
_GGUF_BIASES = {
    "query_bias": "attn_q",
    "key_bias": "attn_k",
    "value_bias": "attn_v",
    "output_bias": "attn_output",
    "gate_bias": "ffn_gate",
    "up_bias": "ffn_up",
    "down_bias": "ffn_down",
}
_HF_BIASES = {
    "query_bias": "self_attn.q_proj",
    "key_bias": "self_attn.k_proj",
    "value_bias": "self_attn.v_proj",
    "output_bias": "self_attn.o_proj",
    "gate_bias": "mlp.gate_proj",
    "up_bias": "mlp.up_proj",
    "down_bias": "mlp.down_proj",
}


def _without_fused(layout: Layout) -> dict[str, str]:
    """The layer's tensors apart from those that some files hold in one matrix."""
    return {
        name: stored for name, stored in layout.layer.items() if name not in (*_QUERY_KEY_VALUE, *_GATE_UP)
    }


# --- GGUF -------------------------------------------------------------------------------------------------------

_GGUF_WEIGHT, _GGUF_BIAS = "blk.{{layer}}.{stored}.weight", "blk.{{layer}}.{stored}.bias"
_GGUF_LLAMA = Layout(
    embedding="token_embd.weight",
    final_norm="output_norm.weight",
    head="output.weight",
    layer=_named(
        _GGUF_WEIGHT,
        {
            "attention_norm": "attn_norm",
            "w_query": "attn_q",
            "w_key": "attn_k",
            "w_value": "attn_v",
            "w_output": "attn_output",
            "mlp_norm": "ffn_norm",
            "w_gate": "ffn_gate",
            "w_up": "ffn_up",
            "w_down": "ffn_down",
        },
    )
    | _named(_GGUF_BIAS, _GGUF_BIASES),
    read_elsewhere=frozenset({"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"}),
)
_GGUF_NORMS_BEHIND = {"post_attention_norm": "post_attention_norm", "post_mlp_norm": "post_ffw_norm"}
_QUERY_KEY_NORMS = {"query_norm": "attn_q_norm", "key_norm": "attn_k_norm"}
_GGUF_GPT2 = Layout(
    embedding="token_embd.weight",
    positions="position_embd.weight",
    final_norm="output_norm.weight",
    final_norm_bias="output_norm.bias",
    head="output.weight",
    layer=_named(
        _GGUF_WEIGHT,
        {
            "attention_norm": "attn_norm",
            "w_output": "attn_output",
            "mlp_norm": "ffn_norm",
            "w_up": "ffn_up",
            "w_down": "ffn_down",
        },
    )
    | _named(
        _GGUF_BIAS,
        {
            "attention_norm_bias": "attn_norm",
            "output_bias": "attn_output",
            "mlp_norm_bias": "ffn_norm",
            "up_bias": "ffn_up",
            "down_bias": "ffn_down",
        },
    ),
    fused={
        "blk.{layer}.attn_qkv.weight": _QUERY_KEY_VALUE,
        "blk.{layer}.attn_qkv.bias": _QUERY_KEY_VALUE_BIAS,
    },
)


def _with_stacked_experts(layout: Layout) -> Layout:
    """The layout with a router and experts beside the feed-forward unit, each matrix of all experts in one tensor."""
    stacked = {"w_gate": "ffn_gate_exps", "w_up": "ffn_up_exps", "w_down": "ffn_down_exps"}
    router = _named(_GGUF_WEIGHT, {"w_router": "ffn_gate_inp"})
    return replace(layout, layer={**layout.layer, **router}, experts=_named(_GGUF_WEIGHT, stacked))


def _gguf_deepseek_v3() -> Layout:
    layout = _with_stacked_experts(_GGUF_LLAMA)
    kept = {name: stored for name, stored in layout.layer.items() if name not in _QUERY_KEY_VALUE}
    own = {"query_latent_norm": "attn_q_a_norm", "w_query_down": "attn_q_a", "latent_norm": "attn_kv_a_norm"}
    bias = {"choice_bias": _GGUF_BIAS.format(stored="exp_probs_b")}
    shared = {"w_gate": "ffn_gate_shexp", "w_up": "ffn_up_shexp", "w_down": "ffn_down_shexp"}
    queries = {
        _GGUF_WEIGHT.format(stored=name): ("w_query", "w_query_rope") for name in ("attn_q", "attn_q_b")
    }
    return replace(
        layout,
        layer={**kept, **_named(_GGUF_WEIGHT, own), **bias},
        shared_experts=_named(_GGUF_WEIGHT, shared),
        fused={_GGUF_WEIGHT.format(stored="attn_kv_a_mqa"): ("w_latent", "w_key"), **queries},
        fused_in_heads=frozenset(queries),
        turning=("w_query_rope", "w_key"),
    )


def of_gguf_latents(layout: Layout, heads_apart: bool, query_latent: bool) -> Layout:
    """Where a file of DeepSeek V3 has its queries, and its matrices from latents to keys and values: apart, those of keys turned,
    or head by head in one.
    """
    left_out = _GGUF_WEIGHT.format(stored="attn_q" if query_latent else "attn_q_b")
    fused = {stored: parts for stored, parts in layout.fused.items() if stored != left_out}
    in_heads = layout.fused_in_heads - {left_out}
    if heads_apart:
        own = _named(_GGUF_WEIGHT, {"w_key_up": "attn_k_b", "w_value_up": "attn_v_b"})
        apart = {"w_key_up": True, "w_value_up": False}
        return replace(
            layout, layer={**layout.layer, **own}, heads_apart=apart, fused=fused, fused_in_heads=in_heads
        )
    whole = _GGUF_WEIGHT.format(stored="attn_kv_b")
    return replace(
        layout,
        fused={**fused, whole: ("w_key_up", "w_value_up")},
        fused_in_heads=in_heads | {whole},
    )


GGUF_LAYOUTS: dict[str, Layout] = {
    "llama": _GGUF_LLAMA,
    "mixtral": _with_stacked_experts(_GGUF_LLAMA),
    "deepseek_v3": _gguf_deepseek_v3(),
    "qwen2": replace(_GGUF_LLAMA, half_split_rotary=True),
    "qwen3": replace(
        _GGUF_LLAMA,
        layer={**_GGUF_LLAMA.layer, **_named(_GGUF_WEIGHT, _QUERY_KEY_NORMS)},
        half_split_rotary=True,
    ),
    "qwen3_moe": _with_stacked_experts(
        replace(
            _GGUF_LLAMA,
            layer={**_GGUF_LLAMA.layer, **_named(_GGUF_WEIGHT, _QUERY_KEY_NORMS)},
            half_split_rotary=True,
        )
    ),
    "gemma3": replace(
        _GGUF_LLAMA,
        layer={
            **_GGUF_LLAMA.layer,
            **_named(
                _GGUF_WEIGHT,
                {**_QUERY_KEY_NORMS, **_GGUF_NORMS_BEHIND},
            ),
        },
        half_split_rotary=True,
    ),
    "smollm3": _GGUF_LLAMA,
    "granite": _GGUF_LLAMA,
    "olmo2": replace(
        _GGUF_LLAMA,
        layer={**_GGUF_LLAMA.layer, **_named(_GGUF_WEIGHT, {**_QUERY_KEY_NORMS, **_GGUF_NORMS_BEHIND})},
        half_split_rotary=True,
    ),
    "phi3": replace(
        _GGUF_LLAMA,
        layer=_without_fused(_GGUF_LLAMA),
        fused={
            "blk.{layer}.attn_qkv.weight": _QUERY_KEY_VALUE,
            "blk.{layer}.ffn_up.weight": _GATE_UP,
        },
        half_split_rotary=True,
    ),
    "gpt2": _GGUF_GPT2,
}

# --- Hugging Face -----------------------------------------------------------------------------------------------

_HF_WEIGHT, _HF_BIAS = "layers.{{layer}}.{stored}.weight", "layers.{{layer}}.{stored}.bias"
_HF_LLAMA = Layout(
    prefix="model.",
    embedding="embed_tokens.weight",
    final_norm="norm.weight",
    head="lm_head.weight",
    layer=_named(
        _HF_WEIGHT,
        {
            "attention_norm": "input_layernorm",
            "w_query": "self_attn.q_proj",
            "w_key": "self_attn.k_proj",
            "w_value": "self_attn.v_proj",
            "w_output": "self_attn.o_proj",
            "mlp_norm": "post_attention_layernorm",
            "w_gate": "mlp.gate_proj",
            "w_up": "mlp.up_proj",
            "w_down": "mlp.down_proj",
        },
    )
    | _named(_HF_BIAS, _HF_BIASES),
    half_split_rotary=True,
    derived=(r"(layers\.\d+\.self_attn\.)?rotary_emb(_local)?\.inv_freq",),
)


def _mixture(layout: Layout, place: str, gate: str, up: str, down: str) -> Layout:
    """The layout with a router and experts in the place of the feed-forward unit, each expert's matrices by themselves."""
    kept = {name: stored for name, stored in layout.layer.items() if name not in (*_GATE_UP, "w_down")}
    names = {"w_gate": gate, "w_up": up, "w_down": down}
    experts = {
        name: f"layers.{{layer}}.{place}.experts.{{expert}}.{stored}.weight" for name, stored in names.items()
    }
    router = {"w_router": f"layers.{{layer}}.{place}.gate.weight"}
    return replace(layout, layer=kept | router, experts=experts)


def _with_shared_experts(layout: Layout, names: dict[str, str]) -> Layout:
    """The layout of a mixture with dense layers in front, a choice bias, and a unit that every row has beside its experts."""
    units = _named(_HF_WEIGHT, {name: f"mlp.{stored}" for name, stored in names.items()})
    bias = {"choice_bias": "layers.{layer}.mlp.gate.e_score_correction_bias"}
    shared = _named(_HF_WEIGHT, {name: f"mlp.shared_experts.{stored}" for name, stored in names.items()})
    return replace(layout, layer={**layout.layer, **units, **bias}, shared_experts=shared)


def _latent_attention(layout: Layout) -> Layout:
    """The layout with queries, keys and values by way of latents; a model without latents of queries has w_query and its part."""
    kept = {name: stored for name, stored in layout.layer.items() if name not in _QUERY_KEY_VALUE}
    own = {"query_latent_norm": "q_a_layernorm", "w_query_down": "q_a_proj", "latent_norm": "kv_a_layernorm"}
    place = "layers.{layer}.self_attn."
    queries, keys_values = ("w_query", "w_query_rope"), ("w_key_up", "w_value_up")
    in_heads = {
        f"{place}q_b_proj.weight": queries,
        f"{place}kv_b_proj.weight": keys_values,
    }
    return replace(
        layout,
        layer=kept | {name: f"{place}{stored}.weight" for name, stored in own.items()},
        fused={f"{place}kv_a_proj_with_mqa.weight": ("w_latent", "w_key"), **in_heads},
        fused_in_heads=frozenset(in_heads),
        half_split_rotary=False,
        turning=("w_query_rope", "w_key"),
    )


def with_file_options(layout: Layout, *, queries_without_latent: bool, half_split_rotary: bool) -> Layout:
    """What a latent-attention file says about where and how it stores its queries and keys."""
    name = "layers.{layer}.self_attn.q_b_proj.weight"
    if queries_without_latent:
        plain = name.replace("q_b_proj", "q_proj")
        fused = {plain if stored == name else stored: parts for stored, parts in layout.fused.items()}
        in_heads = frozenset(plain if stored == name else stored for stored in layout.fused_in_heads)
        layout = replace(layout, fused=fused, fused_in_heads=in_heads)
    return replace(layout, half_split_rotary=half_split_rotary)


_HF_QUERY_KEY_NORMS = _named(_HF_WEIGHT, {"query_norm": "self_attn.q_norm", "key_norm": "self_attn.k_norm"})
_HF_GPT2 = Layout(
    prefix="transformer.",
    embedding="wte.weight",
    positions="wpe.weight",
    final_norm="ln_f.weight",
    final_norm_bias="ln_f.bias",
    head="lm_head.weight",
    layer=_named(
        "h.{{layer}}.{stored}",
        {
            "attention_norm": "ln_1.weight",
            "attention_norm_bias": "ln_1.bias",
            "w_output": "attn.c_proj.weight",
            "output_bias": "attn.c_proj.bias",
            "mlp_norm": "ln_2.weight",
            "mlp_norm_bias": "ln_2.bias",
            "w_up": "mlp.c_fc.weight",
            "up_bias": "mlp.c_fc.bias",
            "w_down": "mlp.c_proj.weight",
            "down_bias": "mlp.c_proj.bias",
        },
    ),
    fused={
        "h.{layer}.attn.c_attn.weight": _QUERY_KEY_VALUE,
        "h.{layer}.attn.c_attn.bias": _QUERY_KEY_VALUE_BIAS,
    },
    transposed=True,
    derived=(r"h\.\d+\.attn\.(masked_)?bias",),
)
HUGGING_FACE_LAYOUTS: dict[str, Layout] = {
    "llama": _HF_LLAMA,
    "qwen2": _HF_LLAMA,
    "qwen3": replace(_HF_LLAMA, layer={**_HF_LLAMA.layer, **_HF_QUERY_KEY_NORMS}),
    "gemma3": replace(
        _HF_LLAMA,
        layer={
            **_HF_LLAMA.layer,
            **_HF_QUERY_KEY_NORMS,
            **_named(
                _HF_WEIGHT,
                {
                    "post_attention_norm": "post_attention_layernorm",
                    "mlp_norm": "pre_feedforward_layernorm",
                    "post_mlp_norm": "post_feedforward_layernorm",
                },
            ),
        },
        gains_less_one=True,
    ),
    "smollm3": _HF_LLAMA,
    "granite": _HF_LLAMA,
    "olmo2": replace(
        _HF_LLAMA,
        layer={
            **_HF_LLAMA.layer,
            **_HF_QUERY_KEY_NORMS,
            **_named(
                _HF_WEIGHT,
                {
                    "post_attention_norm": "post_attention_layernorm",
                    "post_mlp_norm": "post_feedforward_layernorm",
                },
            ),
        },
    ),
    "phi3": replace(
        _HF_LLAMA,
        layer=_without_fused(_HF_LLAMA),
        fused={
            "layers.{layer}.self_attn.qkv_proj.weight": _QUERY_KEY_VALUE,
            "layers.{layer}.mlp.gate_up_proj.weight": _GATE_UP,
        },
    ),
    "mixtral": _mixture(_HF_LLAMA, "block_sparse_moe", "w1", "w3", "w2"),
    "qwen3_moe": _mixture(
        replace(_HF_LLAMA, layer={**_HF_LLAMA.layer, **_HF_QUERY_KEY_NORMS}),
        "mlp",
        "gate_proj",
        "up_proj",
        "down_proj",
    ),
    "deepseek_v3": _with_shared_experts(
        _latent_attention(_mixture(_HF_LLAMA, "mlp", "gate_proj", "up_proj", "down_proj")),
        {
            "w_gate": "gate_proj",
            "w_up": "up_proj",
            "w_down": "down_proj",
        },
    ),
    "gpt2": _HF_GPT2,
}
