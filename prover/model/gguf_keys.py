"""What a GGUF file says under its architecture's name: every key must be one that is read or known to change nothing.

An option that is not understood changes what the model computes, so it is refused by name.
"""

from __future__ import annotations

from typing import Any

from .errors import Finding, GgufError, UnsupportedModelError
from .facts import decimal_of_float32
from .gguf_file import GgufFile

ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "deepseek2": "deepseek_v3",
    "smollm3": "smollm3",
    "granite": "granite",
    "olmo2": "olmo2",
    "phi3": "phi3",
    "gemma3": "gemma3",
    "gpt2": "gpt2",
}
"""llama.cpp's names and the families that they stand for; a `llama` with experts is a Mixtral."""

_READ_KEYS = frozenset(
    {
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        "attention.layer_norm_epsilon",
        "attention.layer_norm_rms_epsilon",
        "attention.scale",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.freq_base_swa",
        "rope.scale_linear",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
    }
)
_EXPERT_KEYS = frozenset({"expert_count", "expert_used_count", "expert_feed_forward_length"})
_LATENT_KEYS = frozenset(
    {
        "attention.q_lora_rank",
        "attention.kv_lora_rank",
        "attention.key_length_mla",
        "attention.value_length_mla",
        "leading_dense_block_count",
        "expert_shared_count",
        "expert_weights_scale",
        "expert_group_count",
        "expert_group_used_count",
        "rope.scaling.yarn_log_multiplier",
    }
)
_IDLE_KEYS = frozenset({"rope.scaling.finetuned"})  # of a Granite it says whether there are positions at all
_ALSO_READ: dict[str, frozenset[str]] = {
    "granite": frozenset({"embedding_scale", "residual_scale", "logit_scale"}),
    "mixtral": _IDLE_KEYS | _EXPERT_KEYS,
    "qwen3_moe": _IDLE_KEYS | _EXPERT_KEYS,
    "deepseek_v3": _IDLE_KEYS | _EXPERT_KEYS | _LATENT_KEYS,
}
"""Keys that a family reads beside those of all; families that are not named here have `_IDLE_KEYS`."""
# Options with the values under which they change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.max_alibi_bias": (0,),
    "attention.clamp_kqv": (0,),
    "attention.shared_kv_layers": (0,),
    "attn_logit_softcapping": (0,),
    "attention.logit_softcapping": (0,),
    "embedding_scale": (1,),
    "expert_count": (0,),
    "expert_shared_count": (0,),
    "expert_used_count": (0,),
    "final_logit_softcapping": (0,),
    "logit_scale": (0, 1),  # llama.cpp: 0 stands for none
    "nextn_predict_layers": (0,),
    "pooling_type": (0,),
    "residual_scale": (1,),
    "rope.scaling.finetuned": (True,),
    "rope.scaling.yarn_attn_factor": (1,),
    "rope.scaling.yarn_beta_fast": (32,),
    "rope.scaling.yarn_beta_slow": (1,),
    "rope.scaling.yarn_ext_factor": (1,),
    "rope.scaling.yarn_log_multiplier": (0,),
    "use_parallel_residual": (False,),
}
_SOFTMAX, _SIGMOID = 1, 2  # `expert_gating_func`
_OF_SOFTMAX: dict[str, tuple[Any, ...]] = {
    "expert_gating_func": (_SOFTMAX,),
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "expert_weights_norm": (True,),  # the softmax is over a row's own experts
    "expert_weights_scale": (0, 1),  # llama.cpp: 0 stands for none
}
_ALSO_NEUTRAL: dict[str, dict[str, tuple[Any, ...]]] = {
    "mixtral": _OF_SOFTMAX,
    "qwen3_moe": _OF_SOFTMAX,
    "deepseek_v3": {"expert_gating_func": (_SIGMOID,), "expert_weights_norm": (True,)},
}
_NEVER_READ = frozenset({"vocab_size", "tensor_data_layout"})


def family_of(file: GgufFile, architecture: str) -> str:
    """The family of a file of one of ARCHITECTURES."""
    if architecture == "llama" and file.metadata.get("llama.expert_count", 0) != 0:
        return "mixtral"
    return ARCHITECTURES[architecture]


def architectures_of(family: str) -> list[str]:
    """llama.cpp's names for a family."""
    if family == "mixtral":
        return ["llama"]
    return [name for name, known in ARCHITECTURES.items() if known == family]


class GgufKeys:
    """Metadata under the architecture's own name, of a model of `family`."""

    def __init__(self, file: GgufFile, architecture: str, family: str) -> None:
        self.file, self.architecture, self.family = file, architecture, family

    def refuse_unknown(self) -> None:
        """Raise UnsupportedModelError naming every option that nobody reads."""
        known = _READ_KEYS | _ALSO_READ.get(self.family, _IDLE_KEYS)
        neutral = _NEUTRAL | _ALSO_NEUTRAL.get(self.family, {})
        prefix = f"{self.architecture}."
        own = {key.removeprefix(prefix) for key in self.file.metadata if key.startswith(prefix)}
        needed = f"a model without it, or what it asks for in the {self.family} layer programs"
        unknown = [
            Finding("option", f"{prefix}{key} = {short(self.value(key, None))}", needed)
            for key in sorted(own - known - _NEVER_READ)
            if self.value(key, None) not in neutral.get(key, ())
        ]
        if unknown:
            raise UnsupportedModelError(unknown)

    def whole(self, key: str, default: int | None = None) -> int:
        """A positive number. Raises GgufError and MissingMetadataError."""
        value = self._value(key, int, default)
        if value < 1:
            raise GgufError(f"GGUF metadata {self.architecture}.{key} is {value}; it must be positive")
        return int(value)

    def count(self, key: str) -> int:
        """How many there are; none where the file does not say. Raises GgufError."""
        value = self._value(key, int, 0)
        if value < 0:
            raise GgufError(f"GGUF metadata {self.architecture}.{key} is {value}; it must not be negative")
        return int(value)

    def real(self, key: str, default: float | None = None) -> float:
        """A number. Raises GgufError and MissingMetadataError."""
        return float(self._value(key, (float, int), default))

    def value(self, key: str, default: Any) -> Any:
        """Whatever the file says, or the default."""
        return self.file.metadata.get(f"{self.architecture}.{key}", default)

    def _value(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        if default is not None and f"{self.architecture}.{key}" not in self.file.metadata:
            return default
        return self.file.required(f"{self.architecture}.{key}", kind)


def sizes(keys: GgufKeys, epsilon: str) -> dict[str, Any]:
    """What every family's file says."""
    vocabulary = len(keys.file.required("tokenizer.ggml.tokens", list))
    return {
        "family": keys.family,
        "layers": keys.whole("block_count"),
        "hidden": keys.whole("embedding_length"),
        "heads": keys.whole("attention.head_count"),
        "feed_forward": keys.whole("feed_forward_length"),
        "vocabulary": vocabulary,
        # float32 1e-5 reads back as 9.999999747e-06
        "norm_epsilon": decimal_of_float32(keys.real(epsilon)),
    }


def short(value: Any) -> str:
    """A value as a message quotes it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
