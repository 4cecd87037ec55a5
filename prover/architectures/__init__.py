"""Layer programs from a model configuration. A new family is one file, named here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import ModelConfig
from .deepseek_v3 import DeepseekV3Config
from .gemma3 import Gemma3Config
from .gpt2 import Gpt2Config
from .granite import GraniteConfig
from .llama import LlamaConfig
from .mixtral import MixtralConfig
from .olmo2 import Olmo2Config
from .phi3 import Phi3Config
from .qwen2 import Qwen2Config
from .qwen3 import Qwen3Config
from .qwen3_moe import Qwen3MoeConfig
from .smollm3 import SmolLM3Config

FAMILIES: dict[str, type[ModelConfig]] = {
    config.family: config
    for config in (
        LlamaConfig,
        Qwen2Config,
        Qwen3Config,
        SmolLM3Config,
        GraniteConfig,
        Phi3Config,
        Olmo2Config,
        MixtralConfig,
        Qwen3MoeConfig,
        DeepseekV3Config,
        Gemma3Config,
        Gpt2Config,
    )
}


def config_from_json(facts: Mapping[str, Any]) -> ModelConfig:
    """The configuration that `ModelConfig.to_json` wrote. Raises ValueError naming what is wrong."""
    family = facts.get("family", LlamaConfig.family)
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"architecture family {family!r} has no layer program; known: {', '.join(FAMILIES)}")
    return FAMILIES[family].from_json({name: value for name, value in facts.items() if name != "family"})


__all__ = ["FAMILIES", "ModelConfig", "config_from_json"]
