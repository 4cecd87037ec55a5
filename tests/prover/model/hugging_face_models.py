"""Small seeded models of every family, made with `transformers`, as directories and as GGUF files.

The library that the families come from is the oracle: what it saves is what an importer must read, and what it
computes is what the float reference must give. GGUF names come from the `gguf` package's own map.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from prover.model.token_models import byte_alphabet

VOCABULARY = 264
LENGTH = 80
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "eos_token_id": 257,
}
_LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
_LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0],
    "long_factor": [2.0] * 8,
    "original_max_position_embeddings": 96,
}

_DEEPSEEK: dict[str, Any] = {
    name: value for name, value in _SIZES.items() if name not in ("num_key_value_heads", "head_dim")
} | {
    "num_hidden_layers": 3,
    "num_key_value_heads": None,
    "q_lora_rank": 24,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 40,
    "n_routed_experts": 12,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "n_group": 3,
    "topk_group": 2,
    "routed_scaling_factor": 1.5,
}


def _configurations() -> dict[str, transformers.PreTrainedConfig]:
    return {**_families(), **_variants()}


def _variants() -> dict[str, transformers.PreTrainedConfig]:
    """What only some models of a family have."""
    qwen = _SIZES | {"use_sliding_window": True, "sliding_window": 32}
    return {
        "mistral": transformers.MistralConfig(**_SIZES, sliding_window=32),
        "mistral-everywhere": transformers.MistralConfig(**_SIZES, sliding_window=None),
        "llama-biases": transformers.LlamaConfig(**_SIZES, attention_bias=True, mlp_bias=True),
        "llama-dynamic": transformers.LlamaConfig(
            **_SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
        ),
        "llama-longrope": transformers.LlamaConfig(**_SIZES, rope_parameters=_LONG_ROPE),
        "qwen2-windows": transformers.Qwen2Config(**qwen, max_window_layers=1),
        "qwen3-yarn": transformers.Qwen3Config(**(_SIZES | {"head_dim": 32}), rope_parameters=_YARN_ROPE),
        "smollm3-windows": transformers.SmolLM3Config(
            **(_SIZES | {"num_hidden_layers": 3}),
            pad_token_id=None,
            no_rope_layers=[1, 0, 1],
            use_sliding_window=True,
            sliding_window=32,
            attention_bias=True,
            mlp_bias=True,
        ),
        "olmo2-biases": transformers.Olmo2Config(**_SIZES, pad_token_id=None, attention_bias=True),
        "phi3-partial": transformers.Phi3Config(
            **_SIZES,
            pad_token_id=None,
            original_max_position_embeddings=96,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "partial_rotary_factor": 0.5,
                "short_factor": [1.0, 1.05, 1.5, 4.0],
                "long_factor": [2.0] * 4,
            },
        ),
        "deepseek-v3-plain": transformers.DeepseekV3Config(
            **(_DEEPSEEK | {"q_lora_rank": None, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0}),
            rope_interleave=False,
            rope_parameters=_YARN_ROPE | {"mscale": 1.0, "mscale_all_dim": 0.7},
        ),
        "deepseek-v3-yarn": transformers.DeepseekV3Config(
            **(_DEEPSEEK | {"q_lora_rank": None, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 0}),
            rope_parameters=_YARN_ROPE | {"mscale": 0.7, "mscale_all_dim": 0.7},
        ),
        "qwen3-moe-plain": transformers.Qwen3MoeConfig(
            **(_SIZES | {"head_dim": 32}),
            moe_intermediate_size=40,
            num_experts=6,
            num_experts_per_tok=3,
            norm_topk_prob=True,
        ),
        "qwen3-biases": transformers.Qwen3Config(
            **(qwen | {"head_dim": 32}),
            layer_types=["sliding_attention", "full_attention"],
            attention_bias=True,
        ),
    }


def _families() -> dict[str, transformers.PreTrainedConfig]:
    return {
        "llama": transformers.LlamaConfig(**_SIZES, rope_parameters=_LLAMA3_ROPE),
        "qwen2": transformers.Qwen2Config(**(_SIZES | {"head_dim": 16}), tie_word_embeddings=True),
        "qwen3": transformers.Qwen3Config(**(_SIZES | {"head_dim": 32})),
        "mixtral": transformers.MixtralConfig(
            **(_SIZES | {"intermediate_size": 48}), num_local_experts=4, num_experts_per_tok=2
        ),
        "qwen3-moe": transformers.Qwen3MoeConfig(
            **(_SIZES | {"head_dim": 32}),
            moe_intermediate_size=40,
            num_experts=6,
            num_experts_per_tok=3,
            norm_topk_prob=True,
            attention_bias=True,
        ),
        "deepseek-v3": transformers.DeepseekV3Config(**_DEEPSEEK),
        "smollm3": transformers.SmolLM3Config(
            **(_SIZES | {"num_hidden_layers": 4}), pad_token_id=None, tie_word_embeddings=False
        ),
        "granite": transformers.GraniteConfig(
            **_SIZES,
            embedding_multiplier=12.0,
            residual_multiplier=0.22,
            attention_multiplier=0.15625,
            logits_scaling=0.5,
        ),
        "olmo2": transformers.Olmo2Config(**_SIZES, pad_token_id=None),
        "phi3": transformers.Phi3Config(**_SIZES, pad_token_id=None, sliding_window=97),
        "gemma3": transformers.Gemma3TextConfig(
            **(_SIZES | {"num_hidden_layers": 3, "num_key_value_heads": 1}),
            sliding_window=32,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            query_pre_attn_scalar=16,
        ),
        "gpt2": transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=64,
            n_head=4,
            n_inner=160,
            n_layer=2,
            n_positions=256,
            bos_token_id=256,
            eos_token_id=257,
        ),
    }


FAMILIES = tuple(_families())
VARIANTS = tuple(_variants())
MODELS = (*FAMILIES, *VARIANTS)
GGUF_NAMES = {
    **{family: family for family in FAMILIES if family not in ("mixtral", "qwen3-moe", "deepseek-v3")},
    "mixtral": "llama",
    "qwen3-moe-plain": "qwen3moe",
    "deepseek-v3": "deepseek2",
    "deepseek-v3-yarn": "deepseek2",
    "mistral-everywhere": "llama",
    "llama-biases": "llama",
    "llama-longrope": "llama",
    "qwen3-yarn": "qwen3",
    "phi3-partial": "phi3",
}
"""Models that llama.cpp has: its name for the architecture. It knows no window there, and no dynamic scaling."""


def seeded_model(name: str, seed: int = 7) -> Any:
    """A model whose weights are large enough that every part of it shows in the logits."""
    torch.manual_seed(seed)
    configuration = _configurations()[name]
    family = configuration.model_type
    model = transformers.AutoModelForCausalLM.from_config(configuration, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name and "wte" not in name and "wpe" not in name:
                parameter.normal_(0, 0.16)
            elif parameter.ndim == 2:
                parameter.normal_(0, 0.5)
            elif "norm" in name or "ln_" in name:
                centre = 0.0 if family == "gemma3_text" or name.endswith("bias") else 1.0
                parameter.normal_(centre, 0.3)
            else:
                parameter.normal_(0, 0.2)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(5, 0.1)  # what all have in common decides nothing
        model.tie_weights()
    return model.eval()


def logits(model: Any, ids: list[int]) -> np.ndarray:
    """Logits of every position, (T, vocabulary) float32."""
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def random_ids(length: int = LENGTH, seed: int = 3) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, 256, length)]


def save_directory(model: Any, directory: Path, **options: Any) -> Path:
    """The model as `transformers` saves it, with a byte-level tokenizer of two special tokens."""
    model.save_pretrained(directory, **options)
    alphabet = byte_alphabet()
    vocabulary = {alphabet[byte]: byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|start|>", "<|end|>"])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>"
    )
    fast.chat_template = "{% for m in messages %}<|start|>{{ m['content'] }}<|end|>{% endfor %}"
    fast.save_pretrained(directory)
    return directory


def write_gguf_of(
    model: Any,
    name: str,
    path: Path,
    *,
    matrices: str = "F32",
    heads_apart: bool = True,
    change: Callable[[dict[str, gguf.gguf_writer.GGUFValue], dict[str, np.ndarray]], Any] | None = None,
) -> Path:
    """The model as llama.cpp's converter would store it. matrices: their encoding, of vectors it is F32.

    heads_apart: how the converter stores latent attention since it has matrices of keys and values by themselves. change: is
    given metadata and tensors before they are written.
    """
    writer = gguf_metadata_of(model, name, path, heads_apart=heads_apart)
    tensors = gguf_tensors(model, name, heads_apart=heads_apart)
    if change:
        change(writer.kv_data[0], tensors)
    for stored, values in tensors.items():
        kind = gguf.GGMLQuantizationType[matrices if values.ndim > 1 else "F32"]
        writer.add_tensor(stored, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_metadata_of(model: Any, name: str, path: Path, *, heads_apart: bool = True) -> gguf.GGUFWriter:
    """A writer that knows all but the tensors."""
    family, config = GGUF_NAMES[name], model.config
    writer = gguf.GGUFWriter(path, family)
    writer.add_name(f"small {family}")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_feed_forward_length(config.n_inner if family == "gpt2" else config.intermediate_size)
    if family == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        _write_rotary(writer, model, latent=family == "deepseek2")
    if family == "deepseek2":
        _write_latent(writer, config, heads_apart)
    elif family != "gpt2":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if name == "mixtral" or family == "qwen3moe":
        writer.add_expert_count(config.num_local_experts if name == "mixtral" else config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if family == "qwen3moe":
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if family == "granite":
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if family == "phi3" and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if family == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        local = [kind == "sliding_attention" for kind in config.layer_types]
        writer.add_sliding_window_pattern(local)
    _write_tokenizer(writer)
    return writer


def gguf_tensors(model: Any, name: str, *, heads_apart: bool = True) -> dict[str, np.ndarray]:
    """The model's tensors under the names and in the order that llama.cpp's converter gives them."""
    family, config = GGUF_NAMES[name], model.config
    architecture = next(key for key, known in gguf.MODEL_ARCH_NAMES.items() if known == family)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tensors: dict[str, np.ndarray] = {}

    def add(name: str, values: np.ndarray) -> None:
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        tensors[stored] = np.ascontiguousarray(values, dtype=np.float32)

    for name, parameter in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = parameter.float().numpy()
        if family in ("llama", "smollm3", "granite") and ("q_proj" in name or "k_proj" in name):
            count = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            values = values.reshape(count, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        if family == "gpt2" and values.ndim == 2 and ".h." in name:
            values = values.T
        if family == "gemma3" and name.endswith("norm.weight"):
            values = values + 1
        place = name.rsplit(".", 1)[0]
        if name.endswith("experts.gate_up_proj"):  # how the library holds them, and neither format
            for part, half in zip(("gate", "up"), np.split(values, 2, axis=1), strict=True):
                add(f"{place}.{part}_proj.weight", half)
        elif name.endswith("experts.down_proj"):
            add(f"{name}.weight", values)
        elif name.endswith("e_score_correction_bias"):
            add(f"{name.removesuffix('_bias')}.bias", values)
        elif name.endswith("kv_b_proj.weight") and heads_apart:
            per_head = values.reshape(config.num_attention_heads, -1, config.kv_lora_rank)
            keys, values = np.split(per_head, [config.qk_nope_head_dim], axis=1)
            add(name.replace("kv_b_proj", "k_b_proj"), keys.swapaxes(1, 2))
            add(name.replace("kv_b_proj", "v_b_proj"), values)
        else:
            add(name, values)
    return tensors


def _write_latent(writer: gguf.GGUFWriter, config: Any, heads_apart: bool) -> None:
    key_size = config.qk_nope_head_dim + config.qk_rope_head_dim
    writer.add_kv_lora_rank(config.kv_lora_rank)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_head_count_kv(1 if heads_apart else config.num_attention_heads)
    writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim if heads_apart else key_size)
    writer.add_value_length(config.kv_lora_rank if heads_apart else config.v_head_dim)
    if heads_apart:
        writer.add_key_length_mla(key_size)
        writer.add_value_length_mla(config.v_head_dim)
    writer.add_leading_dense_block_count(config.first_k_dense_replace)
    writer.add_vocab_size(config.vocab_size)
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(True)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_group_count(config.n_group)
    writer.add_expert_group_used_count(config.topk_group)


def _write_rotary(writer: gguf.GGUFWriter, model: Any, *, latent: bool) -> None:
    config = model.config
    size = config.qk_rope_head_dim if latent else config.head_dim
    writer.add_rope_dimension_count(
        int(size * (config.rope_parameters or {}).get("partial_rotary_factor", 1))
    )
    rotary = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rotary["rope_theta"])
    if rotary["rope_type"] == "llama3":
        inverse = model.model.rotary_emb.inv_freq.numpy()
        plain = rotary["rope_theta"] ** (-np.arange(0, size, 2) / size)
        writer.add_tensor("rope_freqs.weight", (plain / inverse).astype(np.float32))
    if rotary["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rotary["factor"])
        writer.add_rope_scaling_orig_ctx_len(rotary["original_max_position_embeddings"])
        if latent:
            writer.add_rope_scaling_yarn_log_mul(0.1 * rotary["mscale_all_dim"])
    if rotary["rope_type"] == "longrope":
        writer.add_rope_scaling_attn_factors(model.model.rotary_emb.attention_scaling)
        writer.add_rope_scaling_orig_ctx_len(rotary["original_max_position_embeddings"])
        for length in ("long", "short"):
            factors = np.array(rotary[f"{length}_factor"], dtype=np.float32)
            writer.add_tensor(f"rope_factors_{length}.weight", factors)


def _write_tokenizer(writer: gguf.GGUFWriter) -> None:
    alphabet = byte_alphabet()
    tokens = [alphabet[byte] for byte in range(256)] + ["<|start|>", "<|end|>", "ab"]
    tokens += [f"[PAD{index}]" for index in range(len(tokens), VOCABULARY)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 3, 1] + [5] * (VOCABULARY - 259))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
