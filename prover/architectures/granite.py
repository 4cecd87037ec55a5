"""The Granite family: Llama with a multiplier at each of four places.

    x starts at embedding_multiplier * E[token]
    x = x + residual_multiplier * attend(q', k', v) W_o;  x = x + residual_multiplier * (silu(...) * ...) W_down
    scores are attention_scale * q . k;  logits = RMSNorm(x) W_head / logits_divisor

None of them costs anything: they are folded into the embedding's rows, the matrices behind both sub-layers, the query's
matrix with the shift of scores, and the head's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .config import HeadRule, number
from .llama import LlamaConfig

_LARGEST = 1 << 16


@dataclass(frozen=True, kw_only=True)
class GraniteConfig(LlamaConfig):
    """The shape of a model, and its multipliers."""

    family: ClassVar[str] = "granite"

    embedding_multiplier: float = number(_LARGEST)
    residual_multiplier: float = number(_LARGEST)
    attention_scale: float = number(1.0)
    logits_divisor: float = number(_LARGEST)

    @property
    def score_scale(self) -> float:
        return self.attention_scale

    @property
    def residual_factor(self) -> float:
        return self.residual_multiplier

    @property
    def embedding_factor(self) -> float:
        return self.embedding_multiplier

    @property
    def head_rule(self) -> HeadRule:
        return HeadRule(divisor=self.logits_divisor)
