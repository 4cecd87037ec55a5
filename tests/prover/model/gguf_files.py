"""Writes small, sound GGUF files for the tests, through the reference writer of the `gguf` package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from prover.model.float_model import FloatModel

STORED = {
    "attention_norm": "attn_norm",
    "mlp_norm": "ffn_norm",
    "w_query": "attn_q",
    "w_key": "attn_k",
    "w_value": "attn_v",
    "w_output": "attn_output",
    "w_gate": "ffn_gate",
    "w_up": "ffn_up",
    "w_down": "ffn_down",
}


def write_gguf(
    path: Path,
    model: FloatModel,
    *,
    encoding: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    leave_out: frozenset[str] = frozenset(),
    extra: dict[str, np.ndarray] | None = None,
    architecture: str = "llama",
    metadata: dict[str, float] | None = None,
    tied: bool = False,
) -> Path:
    """`model` as a GGUF file; matrices in `encoding`, norms in F32, tensors named in `leave_out` absent."""
    config, tokenizer = model.config, model.tokenizer.specification
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(model.name)
    writer.add_block_count(config.layers)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_freq_base(float(config.rope_base))
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_dimension_count(config.head_size)
    for key, number in (metadata or {}).items():
        writer.add_float32(key, number)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre_tokenizer)
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(list(tokenizer.token_types))
    writer.add_token_merges(list(tokenizer.merges) or ["Ġ a"])
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_chat_template(tokenizer.chat_template)

    def add(name: str, values: np.ndarray) -> None:
        if name in leave_out:
            return
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, encoding), raw_dtype=encoding)

    add("token_embd.weight", model.embedding)
    add("output_norm.weight", model.final_norm)
    if not tied:
        add("output.weight", model.head)
    for index, layer in enumerate(model.layers):
        for name, values in layer.tensors.items():
            add(f"blk.{index}.{STORED[name]}.weight", values)
    for name, values in (extra or {}).items():
        add(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
