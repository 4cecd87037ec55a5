"""Small seeded models of every family, made with `transformers`, as directories and as GGUF files.

The library that the families come from is the oracle: what it saves is what an importer must read, and what it
computes is what the float reference must give. GGUF names come from the `gguf` package's own map.
"""

from __future__ import annotations

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


def _configurations() -> dict[str, transformers.PreTrainedConfig]:
    return {
        "llama": transformers.LlamaConfig(**_SIZES, rope_parameters=_LLAMA3_ROPE),
        "qwen2": transformers.Qwen2Config(**(_SIZES | {"head_dim": 16}), tie_word_embeddings=True),
        "qwen3": transformers.Qwen3Config(**(_SIZES | {"head_dim": 32})),
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


FAMILIES = ("llama", "qwen2", "qwen3", "gemma3", "gpt2")


def seeded_model(family: str, seed: int = 7) -> Any:
    """A model whose weights are large enough that every part of it shows in the logits."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(_configurations()[family], dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "embed" not in name and "wte" not in name and "wpe" not in name:
                parameter.normal_(0, 0.16)
            elif parameter.ndim == 2:
                parameter.normal_(0, 0.5)
            elif "norm" in name or "ln_" in name:
                centre = 0.0 if family == "gemma3" or name.endswith("bias") else 1.0
                parameter.normal_(centre, 0.3)
            else:
                parameter.normal_(0, 0.2)
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


def write_gguf_of(model: Any, family: str, path: Path) -> Path:
    """The model as llama.cpp's converter would store it."""
    config = model.config
    hidden, heads = config.hidden_size, config.num_attention_heads
    architecture = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == family)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, family)
    writer.add_name(f"small {family}")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(hidden)
    writer.add_head_count(heads)
    writer.add_feed_forward_length(config.n_inner if family == "gpt2" else config.intermediate_size)
    if family == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        rotary = config.rope_parameters.get("full_attention", config.rope_parameters)
        writer.add_rope_freq_base(rotary["rope_theta"])
        if rotary["rope_type"] == "llama3":
            inverse = model.model.rotary_emb.inv_freq.numpy()
            plain = rotary["rope_theta"] ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
            writer.add_tensor("rope_freqs.weight", (plain / inverse).astype(np.float32))
    if family == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        local = [kind == "sliding_attention" for kind in config.layer_types]
        writer.add_sliding_window_pattern(local)
    _write_tokenizer(writer)
    for name, parameter in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = parameter.numpy()
        if family == "llama" and ("q_proj" in name or "k_proj" in name):
            count = heads if "q_proj" in name else config.num_key_value_heads
            values = values.reshape(count, 2, -1, hidden).swapaxes(1, 2).reshape(values.shape)
        if family == "gpt2" and values.ndim == 2 and ".h." in name:
            values = values.T
        if family == "gemma3" and name.endswith("norm.weight"):
            values = values + 1
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        writer.add_tensor(stored, np.ascontiguousarray(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
