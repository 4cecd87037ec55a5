"""A Llama-architecture GGUF file as float32 weights, a config and a tokenizer.

llama.cpp's converter permutes the rows of attn_q and attn_k so that the two members of a rotary pair are
neighbours, (2i, 2i+1). That order is kept: it is the one in which `prover.operators` rotates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..architectures.llama import PROVABLE_POSITIONS, LlamaConfig
from .errors import GgufError, UnsupportedModelError
from .gguf_file import GgufFile
from .tokenizer import Tokenizer, TokenizerSpecification

# Weight of the layer program -> tensor of the file.
_STORED_NAMES = {
    "w_query": "attn_q",
    "w_key": "attn_k",
    "w_value": "attn_v",
    "w_output": "attn_output",
    "w_gate": "ffn_gate",
    "w_up": "ffn_up",
    "w_down": "ffn_down",
}


@dataclass(frozen=True)
class FloatLayer:
    """One layer. Matrices are (outputs, inputs) float32, as in y = W·x."""

    attention_norm: np.ndarray  # (hidden,)
    mlp_norm: np.ndarray  # (hidden,)
    matrices: dict[str, np.ndarray]  # by weight name of the layer program: w_query, ..., w_down


@dataclass(frozen=True)
class FloatModel:
    """A model before quantisation to integers: what the file says, as float32."""

    name: str
    config: LlamaConfig
    tokenizer: Tokenizer
    embedding: np.ndarray  # (vocabulary, hidden)
    layers: list[FloatLayer]
    final_norm: np.ndarray  # (hidden,)
    head: np.ndarray  # (vocabulary, hidden); the embedding itself when tied


def import_gguf(path: Path | str, *, progress: Callable[[str, int, int], None] | None = None) -> FloatModel:
    """Read a GGUF file completely.

    Raises GgufError (malformed), MissingTensorError, MissingMetadataError, UnsupportedTensorError (encoding not
    in `gguf_file.DECODABLE`) or UnsupportedModelError (sound file, other architecture or option).
    """
    report = progress or (lambda stage, done, total: None)
    with GgufFile(path) as file:
        name = str(file.metadata.get("general.name", file.path.stem))
        config = _configuration(file)
        tokenizer = Tokenizer(_tokenizer_specification(file))
        vocabulary, hidden = config.vocabulary, config.hidden
        if len(tokenizer) != vocabulary:
            raise GgufError(
                f"the tokenizer has {len(tokenizer)} tokens but the embedding has {vocabulary} rows"
            )
        _reject_unknown_tensors(file, config)
        embedding = file.read("token_embd.weight", (vocabulary, hidden))
        tied = "output.weight" not in file.tensors
        head = embedding if tied else file.read("output.weight", (vocabulary, hidden))
        layers = []
        for index in range(config.layers):
            layers.append(_layer(file, index, config))
            report("read", index + 1, config.layers)
        final_norm = file.read("output_norm.weight", (hidden,))
        return FloatModel(name, config, tokenizer, embedding, layers, final_norm, head)


def _layer(file: GgufFile, index: int, config: LlamaConfig) -> FloatLayer:
    shapes = matrix_shapes(config)
    return FloatLayer(
        attention_norm=file.read(f"blk.{index}.attn_norm.weight", (config.hidden,)),
        mlp_norm=file.read(f"blk.{index}.ffn_norm.weight", (config.hidden,)),
        matrices={
            name: file.read(f"blk.{index}.{stored}.weight", shapes[name])
            for name, stored in _STORED_NAMES.items()
        },
    )


def _configuration(file: GgufFile) -> LlamaConfig:
    architecture = file.required("general.architecture", str)
    if architecture != "llama":
        raise UnsupportedModelError(
            f"architecture {architecture!r} has no layer program; use a Llama-shaped model"
        )

    def number(key: str) -> int:
        return file.required(f"llama.{key}", int)

    hidden, heads = number("embedding_length"), number("attention.head_count")
    kv_heads = file.metadata.get("llama.attention.head_count_kv", heads)
    if not (isinstance(kv_heads, int) and heads >= 1 and kv_heads >= 1 and heads % kv_heads == 0):
        raise UnsupportedModelError(f"{heads} query heads do not divide among {kv_heads} key heads")
    head_size = file.metadata.get("llama.attention.key_length", hidden // heads)
    value_size = file.metadata.get("llama.attention.value_length", head_size)
    rotary_size = file.metadata.get("llama.rope.dimension_count", head_size)
    if not head_size == value_size == rotary_size:
        raise UnsupportedModelError(
            f"key, value and rotary sizes {head_size}, {value_size}, {rotary_size} must be equal"
        )
    scaling = file.metadata.get("llama.rope.scaling.type", "none")
    if scaling != "none" or file.metadata.get("llama.rope.scale_linear", 1.0) != 1.0:
        raise UnsupportedModelError(
            f"rotary scaling {scaling!r} has no operator; use a model without rope scaling"
        )
    if file.metadata.get("llama.expert_count", 0):
        raise UnsupportedModelError("mixtures of experts have no layer program; use a dense model")
    base = file.metadata.get("llama.rope.freq_base", 10_000.0)
    if not (isinstance(base, float) and base.is_integer() and base > 1):
        raise UnsupportedModelError(f"rotary base {base!r} must be a whole number above 1")
    # float32 1e-5 reads back as 9.999999747e-06; six digits give the number that was meant.
    epsilon = float(f"{file.required('llama.attention.layer_norm_rms_epsilon', float):.5e}")
    config = LlamaConfig(
        layers=number("block_count"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        feed_forward=number("feed_forward_length"),
        vocabulary=len(file.required("tokenizer.ggml.tokens", list)),
        rope_base=int(base),
        norm_epsilon=epsilon,
        max_positions=min(number("context_length"), PROVABLE_POSITIONS),
    )
    sizes = (config.layers, hidden, head_size, config.feed_forward, config.vocabulary, config.max_positions)
    if min(sizes) < 1 or not epsilon > 0:
        raise GgufError(f"sizes {sizes} and norm epsilon {epsilon} must be positive; convert the model again")
    try:
        _ = config.programs
    except ValueError as error:
        raise UnsupportedModelError(f"this model has no layer program: {error}") from error
    return config


def matrix_shapes(config: LlamaConfig) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of every matrix of a layer, in the order of the layer programs."""
    queries, keys = config.heads * config.head_size, config.kv_heads * config.head_size
    return {
        "w_query": (queries, config.hidden),
        "w_key": (keys, config.hidden),
        "w_value": (keys, config.hidden),
        "w_output": (config.hidden, queries),
        "w_gate": (config.feed_forward, config.hidden),
        "w_up": (config.feed_forward, config.hidden),
        "w_down": (config.hidden, config.feed_forward),
    }


def _tokenizer_specification(file: GgufFile) -> TokenizerSpecification:
    model = file.required("tokenizer.ggml.model", str)
    if model != "gpt2":
        raise UnsupportedModelError(
            f"tokenizer model {model!r} is not byte-level BPE ('gpt2'), the only kind read"
        )
    tokens = file.required("tokenizer.ggml.tokens", list)
    data = file.metadata
    return TokenizerSpecification(
        tokens=tuple(tokens),
        token_types=tuple(data.get("tokenizer.ggml.token_type", [1] * len(tokens))),
        merges=tuple(file.required("tokenizer.ggml.merges", list)),
        pre_tokenizer=str(data.get("tokenizer.ggml.pre", "default")),
        bos_id=data.get("tokenizer.ggml.bos_token_id"),
        eos_id=data.get("tokenizer.ggml.eos_token_id"),
        end_of_turn_id=data.get("tokenizer.ggml.eot_token_id"),
        add_bos=bool(data.get("tokenizer.ggml.add_bos_token", False)),
        chat_template=data.get("tokenizer.chat_template"),
    )


def _reject_unknown_tensors(file: GgufFile, config: LlamaConfig) -> None:
    """A tensor that this importer would ignore (a bias, rotary factors) changes what the model computes."""
    known = {"token_embd.weight", "output.weight", "output_norm.weight"}
    for index in range(config.layers):
        known |= {f"blk.{index}.{name}.weight" for name in (*_STORED_NAMES.values(), "attn_norm", "ffn_norm")}
    unknown = sorted(set(file.tensors) - known)
    if unknown:
        raise UnsupportedModelError(
            f"tensor {unknown[0]!r} (and {len(unknown) - 1} more) has no place in the Llama layer program; "
            f"use a model without it"
        )
