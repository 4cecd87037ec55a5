"""Models in which the rows of every text are harmless, and rows without a text are not.

Channel 0 of every token is large and the same, so that it is nearly all of a normalised row. What a matrix takes from it
cancels a bias (or drowns the other channels); where it is missing, the bias or the other channels stand alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from prover.model.float_model import FloatLayer, FloatModel
from prover.model.library import built_in_model

from .hugging_face_models import seeded_model

CONSTANT = 4.0
"""Channel 0 of every embedding; all other channels together are shorter."""
KEY_BIAS = 130.0
"""Beyond 128, where keys end."""


def qwen2_with_empty_rows_out_of_range() -> Any:
    """A Qwen 2 of `transformers` whose empty context rows have a key of 130 at layer 1.

    Rows of texts have small ones, and so have the padded rows of a last window: layer 0 gives the constant to all rows,
    by a value that is 1 for every row, and so is any mean of it.
    """
    model = seeded_model("qwen2")
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding *= 1 / 16
        embedding[:, 0] = CONSTANT
        for layer in model.model.layers:
            layer.input_layernorm.weight.fill_(1)
            layer.post_attention_layernorm.weight.fill_(1)
            for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
                projection.weight *= 1 / 64
                projection.weight[0] = 0
        first, second = (layer.self_attn for layer in model.model.layers)
        first.v_proj.weight[0] = 0
        first.v_proj.bias[0] = 1
        first.o_proj.weight[0, 0] = CONSTANT  # query head 0 reads value channel 0
        second.k_proj.weight[0] = 0
        second.k_proj.weight[0, 0] = -KEY_BIAS / model.config.hidden_size**0.5
        second.k_proj.bias[0] = KEY_BIAS
    return model


def llama_with_padded_rows_out_of_range() -> FloatModel:
    """A Llama whose padded rows lack the constant: normalised, their other channels are large, and so are their gates."""
    model, noise = built_in_model("tiny"), np.float32(1 / 16)
    embedding = model.embedding * noise
    embedding[:, 0] = CONSTANT
    layers = []
    for layer in model.layers:
        tensors = {name: array.copy() for name, array in layer.tensors.items()}
        for name in ("attention_norm", "mlp_norm"):
            tensors[name] = np.ones_like(tensors[name])
        for name in ("w_output", "w_down"):
            tensors[name] *= noise
            tensors[name][0] = 0
        layers.append(FloatLayer(tensors))
    gate = layers[0].tensors["w_gate"]
    gate *= np.float32(64)
    gate[:, 0] = 0
    return replace(model, name="drowned", embedding=embedding, layers=layers)
