"""The Qwen 3 MoE family: Qwen 3's attention in front of a mixture of experts.

The weights of a row's experts add up to one (`norm_topk_prob`), and every layer has experts; models without either are not expressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .mixtral import MixtralConfig


@dataclass(frozen=True, kw_only=True)
class Qwen3MoeConfig(MixtralConfig):
    """The shape of a model."""

    family: ClassVar[str] = "qwen3_moe"
    head_norms: ClassVar[bool] = True
