"""The Qwen 2 family: Llama with biases on queries, keys and values.

q, k, v = n W_q + b_q, n W_k + b_k, n W_v + b_v
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .llama import LlamaConfig


@dataclass(frozen=True, kw_only=True)
class Qwen2Config(LlamaConfig):
    """The shape of a model. Queries and keys, biases included, must stay below 128, as in Llama."""

    family: ClassVar[str] = "qwen2"
    bias: ClassVar[bool] = True
