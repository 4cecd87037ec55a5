"""The Qwen 3 family: Llama with a norm on every head's query and key, and no relation between d and the head size.

q' = rotary(RMSNorm(q) * g_q),  k' = rotary(RMSNorm(k) * g_k)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .llama import LlamaConfig


@dataclass(frozen=True, kw_only=True)
class Qwen3Config(LlamaConfig):
    """The shape of a model. The gains cannot be folded into a matrix, so they are weights of their own."""

    family: ClassVar[str] = "qwen3"
    head_norms: ClassVar[bool] = True
