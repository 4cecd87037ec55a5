"""Layer programs from a model configuration. A new family is one file, named here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from .config import ModelConfig

_CONFIGURATIONS = {
    "llama": "LlamaConfig",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "smollm3": "SmolLM3Config",
    "granite": "GraniteConfig",
    "phi3": "Phi3Config",
    "olmo2": "Olmo2Config",
    "mixtral": "MixtralConfig",
    "qwen3_moe": "Qwen3MoeConfig",
    "deepseek_v3": "DeepseekV3Config",
    "gemma3": "Gemma3Config",
    "gpt2": "Gpt2Config",
}
"""Configuration by family; both stand in the file of the family's name."""


class _Families(Mapping[str, type[ModelConfig]]):
    """Configurations by family. A file is imported when its family is asked for: whoever verifies one proof needs one."""

    def __getitem__(self, family: str) -> type[ModelConfig]:
        # The name may come from a stranger's file: it is known before anything is imported.
        name = _CONFIGURATIONS[family]
        found: type[ModelConfig] = getattr(import_module(f".{family}", __name__), name)
        return found

    def __contains__(self, family: object) -> bool:
        return family in _CONFIGURATIONS

    def __iter__(self) -> Iterator[str]:
        return iter(_CONFIGURATIONS)

    def __len__(self) -> int:
        return len(_CONFIGURATIONS)


FAMILIES = _Families()


def config_from_json(facts: Mapping[str, Any]) -> ModelConfig:
    """The configuration that `ModelConfig.to_json` wrote. Raises ValueError naming what is wrong."""
    family = facts.get("family", "llama")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"architecture family {family!r} has no layer program; known: {', '.join(FAMILIES)}")
    return FAMILIES[family].from_json({name: value for name, value in facts.items() if name != "family"})


__all__ = ["FAMILIES", "ModelConfig", "config_from_json"]
