"""The model as its makers meant it: one causal pass in float32, to measure the integer model against.

Read it from top to bottom; nothing else in the project depends on its numbers. Families differ in which tensors a
layer has: what is absent is left out. Rows have the type of the embedding: with tensors of bfloat16 it is the model as most
people run it (`other_arithmetics.py`), norms and angles in float32 and rounded as `transformers` rounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional

from ..architectures.latent import LATENT_EPSILON
from ..architectures.smollm3 import STILL
from .facts import LOCAL
from .float_model import FloatLayer, FloatModel

_HEAD_ROWS_AT_ONCE = 64


@dataclass
class KeyValueCache:
    """What the positions so far leave for later ones: per layer, keys as they are scored and values."""

    length: int = 0
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(
        default_factory=dict
    )  # (heads, T, size) each


def float_logits(
    model: FloatModel, ids: Sequence[int], *, progress: Callable[[str, int, int], None] | None = None
) -> np.ndarray:
    """Logits of every position, (T, vocabulary) float32.

    x  = embedding[ids] * embedding_factor + positions
    x += post_attention_norm(W_o · attention(rotary(norm(W_q n)), rotary(norm(W_k n)), W_v n))   n = attention_norm(x)
    x += post_mlp_norm(W_down · (act(W_gate n) * (W_up n)))   or   W_down · act(W_up n)          n = mlp_norm(x)
          or the sum over experts of such units, each times the row's weight for it
    logits = head · final_norm(x) / divisor

    where some families multiply what is added to x by one more factor.
    """
    rows = final_rows(model, ids, progress=progress)
    head = _tensor(model.head)
    rows = rows if model.rounding is None else model.rounding(rows)
    blocks = [
        rows[start : start + _HEAD_ROWS_AT_ONCE] @ head.T for start in range(0, len(ids), _HEAD_ROWS_AT_ONCE)
    ]
    return (torch.cat(blocks).float() / model.config.head_rule.divisor).numpy()


def final_rows(
    model: FloatModel,
    ids: Sequence[int],
    *,
    cache: KeyValueCache | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> torch.Tensor:
    """What the head multiplies at every position of `ids`, (T, hidden), of the embedding's type.

    cache: the positions before them; it grows by them. Without one `ids` are the whole sequence.
    """
    config = model.config
    cache = KeyValueCache() if cache is None else cache
    first = cache.length
    x = _tensor(model.embedding[np.asarray(ids)]) * config.embedding_factor  # (T, hidden)
    if model.positions is not None:
        x = x + _tensor(model.positions[first : first + len(ids)])
    factor = getattr(config, "residual_factor", 1.0)
    for index, layer in enumerate(model.layers):
        normalised = _norm_if_any(x, layer, "attention_norm", config)
        attended = _attention(normalised, layer, config, index, cache)
        x = x + factor * _norm_if_any(attended, layer, "post_attention_norm", config)
        normalised = _norm_if_any(x, layer, "mlp_norm", config)
        x = x + factor * _norm_if_any(_mlp(normalised, layer, config), layer, "post_mlp_norm", config)
        if progress:
            progress("float reference", index + 1, config.layers)
    cache.length += len(ids)
    bias = {} if model.final_norm_bias is None else {"final_norm_bias": model.final_norm_bias}
    return _norm(x, FloatLayer({"final_norm": model.final_norm} | bias), "final_norm", config)


def _attention(
    n: torch.Tensor, layer: FloatLayer, config: Any, index: int, cache: KeyValueCache
) -> torch.Tensor:
    if "w_latent" in layer.tensors:
        return _latent_attention(n, layer, config, index, cache)
    length, size = n.shape[0], config.head_size
    position = torch.arange(cache.length, cache.length + length)
    q, k, v = (_projected(n, layer, name, config) for name in ("query", "key", "value"))
    kinds = getattr(config, "layer_kinds", ())
    local = len(kinds) > 0 and kinds[index] == LOCAL
    still = index < len(stills := getattr(config, "rotary_kinds", ())) and stills[index] == STILL
    if hasattr(config, "rope_base") and not still:
        cosine, sine = _rotary_angles(position, config, local)
        q, k = _rotate(q, cosine, sine), _rotate(k, cosine, sine)
    if index in cache.layers:
        k, v = (torch.cat((past, new), 1) for past, new in zip(cache.layers[index], (k, v), strict=True))
    cache.layers[index] = k, v
    group = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
    distance = position[:, None] - torch.arange(k.shape[1])[None, :]
    visible = (distance >= 0) & (distance < config.sliding_window) if local else distance >= 0
    scale = getattr(config, "attention_scale", size**-0.5)
    context = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale)
    return _linear(context.transpose(0, 1).reshape(length, -1), layer, "w_output", "output_bias")


def _latent_attention(
    n: torch.Tensor, layer: FloatLayer, config: Any, index: int, cache: KeyValueCache
) -> torch.Tensor:
    """Keys and values of every head are made from one latent per position, and a key that turns and is shared."""
    length, heads = n.shape[0], config.heads
    position = torch.arange(cache.length, cache.length + length)
    cosine, sine = _rotary_angles(position, config, local=False)
    x = n
    if "w_query_down" in layer.tensors:
        low = _linear(n, layer, "w_query_down", "")
        x = _rms(low, layer["query_latent_norm"], LATENT_EPSILON)
    q_plain, q_rope, latent = (
        _linear(x, layer, "w_query", "").view(length, heads, -1),
        _linear(x, layer, "w_query_rope", "").view(length, heads, -1),
        _rms(_linear(n, layer, "w_latent", ""), layer["latent_norm"], LATENT_EPSILON),
    )
    q = torch.cat((q_plain.transpose(0, 1), _rotate(q_rope.transpose(0, 1), cosine, sine)), -1)
    k_rope = _rotate(_linear(n, layer, "w_key", ""), cosine, sine).expand(heads, -1, -1)
    k_plain = _linear(latent, layer, "w_key_up", "").view(length, heads, -1).transpose(0, 1)
    k, v = (
        torch.cat((k_plain, k_rope), -1),
        _linear(latent, layer, "w_value_up", "").view(length, heads, -1).transpose(0, 1),
    )
    if index in cache.layers:
        earlier_k, earlier_v = cache.layers[index]
        k, v = torch.cat((earlier_k, k), 1), torch.cat((earlier_v, v), 1)
    cache.layers[index] = k, v
    visible = position[:, None] >= torch.arange(k.shape[1])[None, :]
    scale = q.shape[-1] ** -0.5 * config.score_factor
    context = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale)
    return _linear(context.transpose(0, 1).reshape(length, -1), layer, "w_output", "")


def _projected(n: torch.Tensor, layer: FloatLayer, name: str, config: Any) -> torch.Tensor:
    """(heads, T, head_size), normalised over whatever its gain spans: each head, or all of them."""
    x = _linear(n, layer, f"w_{name}", f"{name}_bias")  # (T, heads * head_size)
    if (gain := layer.get(f"{name}_norm")) is not None:
        x = _norm(x.view(len(n), -1, gain.shape[0]), layer, f"{name}_norm", config)
    return x.reshape(len(n), -1, config.head_size).transpose(0, 1)


def _mlp(n: torch.Tensor, layer: FloatLayer, config: Any) -> torch.Tensor:
    if "w_router" in layer.tensors:
        return _mixture(n, layer, config)
    up = _linear(n, layer, "w_up", "up_bias")
    if "w_gate" not in layer.tensors:
        return _linear(_gelu(up), layer, "w_down", "down_bias")
    activation = _gelu if config.family == "gemma3" else functional.silu
    return _linear(activation(_linear(n, layer, "w_gate", "gate_bias")) * up, layer, "w_down", "down_bias")


def _mixture(n: torch.Tensor, layer: FloatLayer, config: Any) -> torch.Tensor:
    """The sum over a row's experts of weight * expert(n), (T, hidden)."""
    logits = n @ _tensor(layer["w_router"]).T  # no engine rounds what decides the route
    weights, experts = (_scored if "choice_bias" in layer.tensors else _routed)(
        logits, layer, config
    )  # (T, k) each
    size: int = getattr(config, "expert_size", 0) or config.feed_forward
    total = torch.zeros_like(n)
    for expert in range(layer["w_gate"].shape[0] // size):
        row, place = torch.where(experts == expert)
        if len(row) == 0:
            continue
        own, rows = slice(expert * size, (expert + 1) * size), _rounded(n[row], layer)
        gate, up = (rows @ _tensor(layer[name][own]).T for name in ("w_gate", "w_up"))
        output = _rounded(functional.silu(gate) * up, layer) @ _tensor(layer["w_down"][:, own]).T
        total[row] += weights[row, place, None] * output
    return total


def _routed(logits: torch.Tensor, layer: FloatLayer, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax of the k largest."""
    largest, experts = logits.topk(config.experts_per_token)
    return largest.softmax(-1), experts


def _scored(logits: torch.Tensor, layer: FloatLayer, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of the sigmoids of those with the largest sigmoid + bias, times a factor; the shared experts have weight one."""
    scores = logits.sigmoid()
    choice = scores + _tensor(layer["choice_bias"])
    grouped = choice.view(len(choice), config.expert_groups, -1)
    if config.groups_per_token < config.expert_groups:
        best = grouped.topk(2, -1).values.sum(-1)
        least = best.topk(config.groups_per_token, -1).values[:, -1:]
        grouped = grouped.masked_fill((best < least)[..., None], -torch.inf)
    experts = grouped.flatten(1).topk(config.experts_per_token, -1).indices
    chosen = scores.gather(1, experts)
    shared = torch.arange(config.experts, config.experts + config.shared_experts).expand(len(chosen), -1)
    weights = config.routing_factor * chosen / chosen.sum(-1, keepdim=True)
    return torch.cat((weights, torch.ones(shared.shape, dtype=weights.dtype)), 1), torch.cat(
        (experts, shared), 1
    )


def _linear(x: torch.Tensor, layer: FloatLayer, weight: str, bias: str) -> torch.Tensor:
    stored = layer.get(bias)
    return functional.linear(
        _rounded(x, layer), _tensor(layer[weight]), None if stored is None else _tensor(stored)
    )


def _rounded(x: torch.Tensor, layer: FloatLayer) -> torch.Tensor:
    return x if layer.rounding is None else cast(torch.Tensor, layer.rounding(x))


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate="tanh")


def _norm(x: torch.Tensor, layer: FloatLayer, name: str, config: Any) -> torch.Tensor:
    """LayerNorm where the norm has a bias, RMS norm where it has none; over the last axis."""
    gain, bias = _tensor(layer[name]), layer.get(f"{name}_bias")
    if bias is not None:
        return functional.layer_norm(x, gain.shape, gain, _tensor(bias), config.norm_epsilon)
    return _rms(x, layer[name], config.norm_epsilon)


def _rms(x: torch.Tensor, gain: np.ndarray, epsilon: float) -> torch.Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)).to(x.dtype) * _tensor(gain)


def _norm_if_any(x: torch.Tensor, layer: FloatLayer, name: str, config: Any) -> torch.Tensor:
    return _norm(x, layer, name, config) if name in layer.tensors else x


def _rotary_angles(position: torch.Tensor, config: Any, local: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin of position * frequency, times the rotation's factor, each (T, pairs that turn)."""
    size = getattr(config, "rotated_channels", config.head_size)
    apart = local and hasattr(config, "local_rope_base")
    base = config.local_rope_base if apart else config.rope_base
    frequency = float(base) ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    if config.rope_divisors and not apart:
        frequency = frequency / torch.tensor(config.rope_divisors, dtype=torch.float64)
    angle = position.to(torch.float64)[:, None] * frequency
    factor = getattr(config, "rope_factor", 1.0)
    return (angle.cos() * factor).float(), (angle.sin() * factor).float()


def _rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotate the adjacent pairs (2i, 2i+1) of the last axis, as many as there are angles for."""
    turning = 2 * cosine.shape[-1]
    cosine, sine = cosine.to(x.dtype), sine.to(x.dtype)
    even, odd = x[..., 0:turning:2], x[..., 1:turning:2]
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)
    return torch.cat((turned, x[..., turning:]), -1)


def _tensor(array: np.ndarray | torch.Tensor) -> torch.Tensor:
    """A tensor stays what it is: `fisher` asks for derivatives with respect to it."""
    return array if isinstance(array, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(array))
