"""Decoding speed of the integer model beside float32 torch with the same shapes, cache and thread count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from prover.model.execute import Executor
from prover.model.library import load_model
from prover.model.weights import IntegerModel

_PROMPT_TOKENS = 16


def measure_model(name: str, models: Path, tokens: int, commit: bool) -> dict[str, Any]:
    """Median tokens per second of greedy decoding after a prompt of 16 tokens; optionally the commitment's seconds."""
    model = load_model(name, models=models)
    prompt = list(range(1, _PROMPT_TOKENS + 1))
    executor = Executor(model)
    executor.generate(prompt, 2, end_ids=())
    integer_s = _token_seconds(
        lambda heard: executor.generate(prompt, tokens, end_ids=(), on_token=heard),
    )
    decoder = _FloatDecoder(model)
    decoder.generate(prompt, 2, lambda _: None)
    float_s = _token_seconds(lambda heard: decoder.generate(prompt, tokens, heard))
    facts: dict[str, Any] = {
        "model": model.name,
        "tokens": tokens,
        "integer_tokens_per_s": round(1 / integer_s, 2),
        "float32_torch_tokens_per_s": round(1 / float_s, 2),
        "integer_to_float": round(float_s / integer_s, 3),
        "torch_threads": torch.get_num_threads(),
    }
    if commit:
        facts["commit_s"] = round(_commit_seconds(model), 1)
    return facts


def _token_seconds(generate: Callable[[Callable[[int], None]], Any]) -> float:
    """Median seconds between two tokens, so that neither the prompt nor a busy moment counts."""
    moments: list[float] = []
    generate(lambda _: moments.append(time.perf_counter()))
    return statistics.median(b - a for a, b in pairwise(moments))


def _commit_seconds(model: IntegerModel) -> float:
    from prover.curve.srs import SRS
    from prover.model_commitment import commit_model

    started = time.perf_counter()
    commit_model(model, SRS.devnet(18), cache_dir=None)
    return time.perf_counter() - started


class _FloatDecoder:
    """The Llama forward pass in float32 with a key/value cache; weights are the integers over their scales.

    Gains are folded into the matrices, as in the integer model; what the tokens are does not matter here.
    """

    def __init__(self, model: IntegerModel) -> None:
        self._config = model.config
        self._layers = [
            {
                name: torch.from_numpy(matrix.values.astype(np.float32)) / float(2**matrix.scale)
                for name, matrix in layer.items()
            }
            for layer in model.weights.layers
        ]
        self._embedding = torch.from_numpy(model.embedding.astype(np.float32))
        self._embedding /= self._embedding.std()
        self._head = torch.from_numpy(model.head.astype(np.float32)) / float(2**model.weights.head_scale)

    def generate(self, prompt: list[int], count: int, on_token: Callable[[int], None]) -> list[int]:
        """Greedy continuation by `count` tokens; each is told as soon as it is known."""
        keys: list[torch.Tensor | None] = [None] * len(self._layers)
        values: list[torch.Tensor | None] = [None] * len(self._layers)
        produced: list[int] = []
        fed = prompt
        with torch.inference_mode():
            for _ in range(count):
                start = len(prompt) + len(produced) - len(fed)
                x = self._embedding[fed]
                for index in range(len(self._layers)):
                    x = self._layer(index, x, start, keys, values)
                produced.append(int((_normalised(x[-1:]) @ self._head.T).argmax()))
                on_token(produced[-1])
                fed = produced[-1:]
        return produced

    def _layer(
        self,
        index: int,
        x: torch.Tensor,
        start: int,
        keys: list[torch.Tensor | None],
        values: list[torch.Tensor | None],
    ) -> torch.Tensor:
        sizes, weight, rows = self._config, self._layers[index], len(x)
        normalised = _normalised(x)
        q = (normalised @ weight["w_query"].T).view(rows, sizes.heads, sizes.head_size).transpose(0, 1)
        k = (normalised @ weight["w_key"].T).view(rows, sizes.kv_heads, sizes.head_size).transpose(0, 1)
        v = (normalised @ weight["w_value"].T).view(rows, sizes.kv_heads, sizes.head_size).transpose(0, 1)
        q, k = self._rotated(q, start), self._rotated(k, start)
        past_k, past_v = keys[index], values[index]
        k = k if past_k is None else torch.cat([past_k, k], 1)
        v = v if past_v is None else torch.cat([past_v, v], 1)
        keys[index], values[index] = k, v
        group = sizes.heads // sizes.kv_heads
        context = functional.scaled_dot_product_attention(
            q, k.repeat_interleave(group, 0), v.repeat_interleave(group, 0), is_causal=rows > 1
        )
        x = x + context.transpose(0, 1).reshape(rows, -1) @ weight["w_output"].T
        normalised = _normalised(x)
        gated = functional.silu(normalised @ weight["w_gate"].T) * (normalised @ weight["w_up"].T)
        return x + gated @ weight["w_down"].T

    def _rotated(self, x: torch.Tensor, start: int) -> torch.Tensor:
        size = self._config.head_size
        frequency = self._config.rope_base ** (-torch.arange(0, size, 2) / size)
        angle = torch.arange(start, start + x.shape[1])[:, None] * frequency  # (T, head_size / 2)
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = (even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos())
        return torch.stack(turned, -1).flatten(-2)


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
