"""The same weights in Hugging Face's Llama, and GGUF blocks decoded from the format's description."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prover.architectures.llama import LlamaConfig
from prover.model.gguf_import import FloatModel

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the package is imported: nothing here may be fetched

_MATRICES = {
    "w_query": "self_attn.q_proj",
    "w_key": "self_attn.k_proj",
    "w_value": "self_attn.v_proj",
    "w_output": "self_attn.o_proj",
    "w_gate": "mlp.gate_proj",
    "w_up": "mlp.up_proj",
    "w_down": "mlp.down_proj",
}


def load_gguf(path: Path) -> tuple[Any, Any]:
    """Transformers' own reading of a GGUF file: causal language model in float32, and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def build(model: FloatModel) -> Any:
    """Transformers' Llama with the weights of a model of ours."""
    from transformers import LlamaConfig as PublishedConfig
    from transformers import LlamaForCausalLM

    sizes = model.config
    published = LlamaForCausalLM(
        PublishedConfig(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.hidden,
            intermediate_size=sizes.feed_forward,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            head_dim=sizes.head_size,
            max_position_embeddings=sizes.max_positions,
            rms_norm_eps=sizes.norm_epsilon,
            rope_parameters={"rope_type": "default", "rope_theta": float(sizes.rope_base)},
            tie_word_embeddings=False,
        )
    )
    weights = {name: torch.from_numpy(values) for name, values in tensors(model).items()}
    published.load_state_dict(weights, strict=True)
    return published.eval()


def tensors(model: FloatModel) -> dict[str, np.ndarray]:
    """Our weights under the published names and in the published order of rotary pairs."""
    found = {
        "model.embed_tokens.weight": model.embedding,
        "model.norm.weight": model.final_norm,
        "lm_head.weight": model.head,
    }
    for index, layer in enumerate(model.layers):
        prefix = f"model.layers.{index}"
        found[f"{prefix}.input_layernorm.weight"] = layer["attention_norm"]
        found[f"{prefix}.post_attention_layernorm.weight"] = layer["mlp_norm"]
        for ours, theirs in _MATRICES.items():
            found[f"{prefix}.{theirs}.weight"] = in_halves(ours, layer[ours], model.config)
    return found


def in_halves(name: str, matrix: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """Rotary pairs (2i, 2i + 1) of queries and keys as pairs (i, i + head_size / 2); others as they are."""
    if name not in ("w_query", "w_key"):
        return matrix
    pairs = matrix.reshape(-1, config.head_size // 2, 2, matrix.shape[1])
    return np.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(matrix.shape)


def published_logits(model: Any, ids: Sequence[int]) -> np.ndarray:
    """(T, vocabulary) float32."""
    with torch.no_grad():
        logits: np.ndarray = model(input_ids=torch.tensor([list(ids)])).logits[0].numpy()
    return logits


def decode_blocks(encoding: str, data: bytes) -> np.ndarray:
    """Values of Q4_1 or Q8_0 blocks of 32.

    Q4_1: float16 d, float16 m, 16 bytes; value i < 16 is m + d * (low nibble of byte i), value i + 16 takes the high
    one. Q8_0: float16 d, 32 signed bytes; d times each.
    """
    values = []
    size = {"Q4_1": 20, "Q8_0": 34}[encoding]
    for at in range(0, len(data), size):
        block = data[at : at + size]
        if encoding == "Q8_0":
            (d,) = struct.unpack_from("<e", block)
            values += [d * integer for integer in struct.unpack_from("<32b", block, 2)]
        else:
            d, m = struct.unpack_from("<ee", block)
            nibbles = [byte & 15 for byte in block[4:]] + [byte >> 4 for byte in block[4:]]
            values += [m + d * nibble for nibble in nibbles]
    return np.array(values, dtype=np.float64)
