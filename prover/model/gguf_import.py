"""A GGUF file as a float model: its metadata as a configuration, its tokenizer, its tensors.

Every key under the architecture's name must be one that is read or known to change nothing: an option that is not
understood changes what the model computes, so it is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..architectures.config import ModelConfig
from ..architectures.smollm3 import ROTATING, STILL
from .checkpoint import Progress, in_memory, read_float_model, unplaced_tensors
from .errors import Finding, GgufError, UnsupportedModelError, grouped
from .facts import (
    GLOBAL,
    LOCAL,
    WHY_NOT,
    build_config,
    decimal_of_float32,
    float32,
    linear_divisors,
    provable_positions,
    refuse_unless,
    shortest,
    stored_divisors,
    whole_base,
    yarn_divisors,
    yarn_factor,
)
from .float_model import FloatModel
from .gguf_file import DECODABLE, GgufFile
from .gguf_tokenizer import gguf_tokenizer
from .layouts import GGUF_LAYOUTS
from .rotary_settings import Rotary
from .tokenizer import usable_chat

_ROTARY_FACTORS = "rope_freqs.weight"
_SHORT_FACTORS = "rope_factors_short.weight"

# llama.cpp's constants for Gemma 3 where a file does not say.
_GEMMA3_LOCAL_BASE = 10_000.0
_GEMMA3_PERIOD = 6
_GEMMA3_27B_LAYERS = 62
_SMOLLM3_PERIOD = 4  # every fourth layer has no positions, whatever the file says
_GRANITE_KEYS = frozenset({"embedding_scale", "residual_scale", "logit_scale"})

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
_NEVER_READ = frozenset({"vocab_size", "tensor_data_layout"})
_IDLE_KEYS = frozenset({"rope.scaling.finetuned"})  # of a Granite it says whether there are positions at all


def import_gguf(
    path: Path | str, *, residual_scale: int | None = None, progress: Progress | None = None
) -> FloatModel:
    """Read a GGUF file completely. Raises what `opened_gguf` raises."""
    with opened_gguf(path, residual_scale=residual_scale, progress=progress) as model:
        return in_memory(model)


@contextmanager
def opened_gguf(
    path: Path | str, *, residual_scale: int | None = None, progress: Progress | None = None
) -> Iterator[FloatModel]:
    """A GGUF file whose layers are read one at a time.

    Raises CheckpointError: GgufError (malformed), MissingTensorError, MissingMetadataError, or UnsupportedModelError
    naming every architecture, option, tensor and encoding that has no place; and TokenizerError.
    """
    with GgufFile(path) as file:
        _refuse_parts(file)
        config = _supported(file)
        tokenizer, notes = usable_chat(gguf_tokenizer(file))
        layout = GGUF_LAYOUTS[config.family]
        _match_vocabulary(file, layout.embedding, tokenizer.specification.tokens)
        model = read_float_model(
            file,
            layout,
            config,
            tokenizer,
            name=str(file.metadata.get("general.name", file.path.stem)),
            tied=layout.head not in file.names,
            residual_scale=residual_scale,
            progress=progress,
        )
        yield replace(model, notes=notes)


def _refuse_parts(file: GgufFile) -> None:
    """A file of a split set, an adapter or a projector is no model, even where it looks like one."""
    parts = file.metadata.get("split.count", 1)
    if parts not in (0, 1):
        number = file.metadata.get("split.no", 0)
        raise GgufError(
            f"{file.path} is part {number + 1} of {parts} of a split model; join the parts with "
            f"`llama-gguf-split --merge` and import the result"
        )
    promised = file.metadata.get("split.tensors.count", len(file.tensors))
    if promised != len(file.tensors):
        raise GgufError(
            f"{file.path} promises {promised} tensors but holds {len(file.tensors)}; download it again"
        )
    kind = file.metadata.get("general.type", "model")
    unknown = [
        Finding("option", f"{key} = {_short(value)}", "a file without it")
        for key, value in file.metadata.items()
        if key.startswith(("split.", "adapter.", "clip."))
        and key not in ("split.no", "split.count", "split.tensors.count")
    ]
    if kind != "model":
        unknown.append(Finding("option", f"general.type = {kind!r}", "the file of a whole model"))
    if unknown:
        raise UnsupportedModelError(unknown)


def _match_vocabulary(file: GgufFile, embedding: str, tokens: tuple[str, ...]) -> None:
    """A token beyond the embedding has no row, and a row beyond the tokens no text."""
    if embedding not in file.names:
        return  # named as missing by whoever reads it
    rows = file.shape(embedding)[0]
    if rows < len(tokens):
        raise GgufError(
            f"the tokenizer has {len(tokens)} tokens but the embedding only {rows} rows: token {rows} "
            f"({tokens[rows]!r}) has none; convert the model again with its own tokenizer"
        )
    if rows > len(tokens):
        raise GgufError(
            f"the embedding has {rows} rows but the tokenizer only {len(tokens)} tokens; "
            f"convert the model again with its own tokenizer"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _supported(file: GgufFile) -> ModelConfig:
    """The configuration; everything that stands in the way is collected before it is refused."""
    findings = grouped(
        Finding("encoding", f"{tensor.encoding} of {tensor.name}", f"one of {', '.join(DECODABLE)}")
        for tensor in file.tensors.values()
        if tensor.encoding not in DECODABLE
    )
    try:
        config = gguf_config(file)
        findings += unplaced_tensors(file, GGUF_LAYOUTS[config.family], config)
    except UnsupportedModelError as error:
        findings += error.findings
    if findings:
        raise UnsupportedModelError(findings)
    return config


def gguf_config(file: GgufFile) -> ModelConfig:
    """The configuration that a file's metadata describes."""
    family = file.required("general.architecture", str)
    refuse_unless(
        family in GGUF_LAYOUTS,
        "architecture",
        repr(family),
        WHY_NOT.get(family, f"a layer program; there are {', '.join(sorted(GGUF_LAYOUTS))}"),
    )
    keys = _Keys(file, family)
    keys.refuse_unknown()
    facts = _gpt2(keys) if family == "gpt2" else _rotary_family(keys)
    if family == "gemma3":
        facts |= _gemma3(keys, facts)
    if family == "llama":
        facts |= _biases(file, facts["layers"])
    if family == "smollm3":
        turning = [(layer + 1) % _SMOLLM3_PERIOD != 0 for layer in range(facts["layers"])]
        facts |= {"rotary_kinds": tuple(ROTATING if turns else STILL for turns in turning)}
    if family == "granite":
        facts |= _granite(keys, facts["head_size"])
    return build_config(facts)


def _biases(file: GgufFile, layers: int) -> dict[str, bool]:
    """llama.cpp adds the biases that a file has; a family has all of a sub-layer, in every layer, or none."""
    groups = {
        "attention_bias": ("attn_q", "attn_k", "attn_v", "attn_output"),
        "mlp_bias": ("ffn_gate", "ffn_up", "ffn_down"),
    }
    return {
        flag: True
        for flag, names in groups.items()
        if all(f"blk.{layer}.{name}.bias" in file.names for name in names for layer in range(layers))
    }


class _Keys:
    """Metadata under the architecture's own name."""

    def __init__(self, file: GgufFile, family: str) -> None:
        self.file, self.family = file, family

    def refuse_unknown(self) -> None:
        known = _READ_KEYS | (_GRANITE_KEYS if self.family == "granite" else _IDLE_KEYS)
        own = {
            k.removeprefix(f"{self.family}.") for k in self.file.metadata if k.startswith(f"{self.family}.")
        }
        needed = f"a model without it, or what it asks for in the {self.family} layer programs"
        unknown = [
            Finding(
                "option",
                f"{self.family}.{key} = {_short(self.value(key, None))}",
                WHY_NOT["qwen3moe"] if key.startswith("expert_") else needed,
            )
            for key in sorted(own - known - _NEVER_READ)
            if self.value(key, None) not in _NEUTRAL.get(key, ())
        ]
        if unknown:
            raise UnsupportedModelError(unknown)

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._value(key, int, default)
        if value < 1:
            raise GgufError(f"GGUF metadata {self.family}.{key} is {value}; it must be positive")
        return int(value)

    def real(self, key: str, default: float | None = None) -> float:
        return float(self._value(key, (float, int), default))

    def value(self, key: str, default: Any) -> Any:
        return self.file.metadata.get(f"{self.family}.{key}", default)

    def _value(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        if default is not None and f"{self.family}.{key}" not in self.file.metadata:
            return default
        return self.file.required(f"{self.family}.{key}", kind)


def _sizes(keys: _Keys, epsilon: str) -> dict[str, Any]:
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


def _rotary_family(keys: _Keys) -> dict[str, Any]:
    """Llama, Qwen and Gemma: RMS norms, grouped heads, rotary positions."""
    facts = _sizes(keys, "attention.layer_norm_rms_epsilon")
    hidden, heads = facts["hidden"], facts["heads"]
    kv_heads = keys.whole("attention.head_count_kv", heads)
    refuse_unless(
        heads % kv_heads == 0,
        "option",
        f"{heads} query heads for {kv_heads} key heads",
        "query heads that are a multiple of the key heads",
    )
    head_size = keys.whole("attention.key_length", max(1, hidden // heads))
    value_size = keys.whole("attention.value_length", head_size)
    rotary_size = keys.whole("rope.dimension_count", head_size)
    refuse_unless(
        head_size == value_size and (head_size == rotary_size or keys.family == "phi3"),
        "option",
        f"key, value and rotary sizes of {head_size}, {value_size}, {rotary_size}",
        "equal sizes",
    )
    context = keys.whole("context_length")
    rotary = _rotary(keys, rotary_size, context)
    positions = provable_positions(min(context, rotary.longest or context))
    window = keys.value("attention.sliding_window", 0)
    if keys.family != "gemma3" and isinstance(window, int) and 0 < window < positions:
        # readers of GGUF differ in whether they mask what is further back: up to here all mean the same
        positions = provable_positions(window)
        window = 0
    refuse_unless(
        keys.family == "gemma3" or window == 0 or window >= positions,
        "option",
        f"a window of {window} in a {keys.family} model",
        "the reach and layer kinds that Gemma 3's layer program has",
    )
    if keys.family == "gemma3":
        refuse_unless(rotary.factor == 1, "option", "a rotation that multiplies", "one that turns only")
    else:
        if keys.family != "granite":
            _refuse_other_scale(keys, head_size)
        facts |= {"rope_factor": rotary.factor}
    if keys.family == "phi3":
        facts |= {"rotated_channels": rotary_size}
    return facts | {
        "kv_heads": kv_heads,
        "head_size": head_size,
        "rope_base": whole_base(keys.real("rope.freq_base", 10_000.0)),
        "rope_divisors": rotary.divisors,
        "max_positions": positions,
    }


def _rotary(keys: _Keys, rotated: int, context: int) -> Rotary:
    """Base, divisors and factor. llama.cpp multiplies with attn_factor whatever the scaling, in YaRN with its own too."""
    base, divisors = keys.real("rope.freq_base", 10_000.0), _divisors(keys, rotated, context)
    factor = keys.real("rope.scaling.attn_factor", 1.0)
    if keys.value("rope.scaling.type", "none") == "yarn":
        factor *= yarn_factor(keys.real("rope.scaling.factor", 1.0))
    refuse_unless(factor > 0, "option", f"rope.scaling.attn_factor = {factor:g}", "a positive number")
    longest = None
    if _SHORT_FACTORS in keys.file.names:  # longer sequences have other keys altogether
        longest = keys.whole("rope.scaling.original_context_length", context)
    return Rotary(base, divisors, rotated, float32(factor), longest)


def _divisors(keys: _Keys, head_size: int, context: int) -> tuple[float, ...]:
    scaling = keys.value("rope.scaling.type", "none")
    factor = keys.real("rope.scaling.factor", keys.real("rope.scale_linear", 1.0))
    if _SHORT_FACTORS in keys.file.names:
        refuse_unless(
            scaling in ("none", "longrope") and factor == 1 and _ROTARY_FACTORS not in keys.file.names,
            "option",
            f"rotary scaling {scaling!r} on top of {_SHORT_FACTORS}",
            "one of the two",
        )
        return stored_divisors(keys.file.read(_SHORT_FACTORS, (head_size // 2,)))
    if _ROTARY_FACTORS in keys.file.names:
        refuse_unless(
            scaling in ("none", "linear") and factor == 1,
            "option",
            f"rotary scaling {scaling!r} on top of {_ROTARY_FACTORS}",
            "one of the two",
        )
        return stored_divisors(keys.file.read(_ROTARY_FACTORS, (head_size // 2,)))
    if scaling == "yarn":
        base = keys.real("rope.freq_base", 10_000.0)
        refuse_unless(
            base > 1 and factor > 0,
            "option",
            f"YaRN with base {base:g} and factor {factor:g}",
            "a base above 1 and a positive factor",
        )
        original = keys.whole("rope.scaling.original_context_length", context)
        return yarn_divisors(base, head_size, factor=factor, fast=32, slow=1, original=original)
    refuse_unless(
        scaling == "linear" or (scaling == "none" and factor == 1),
        "option",
        f"rotary scaling {scaling!r}",
        "linear or YaRN scaling, or a factor per pair",
    )
    return linear_divisors(factor, head_size)


def _refuse_other_scale(keys: _Keys, size: float) -> None:
    scale = keys.real("attention.scale", 0.0)
    refuse_unless(
        scale == 0 or decimal_of_float32(scale) == decimal_of_float32(size**-0.5),
        "option",
        f"attention.scale = {scale:g}",
        f"the scale of {size:g} channels",
    )


def _granite(keys: _Keys, head_size: int) -> dict[str, Any]:
    """The multipliers; for llama.cpp 0 stands for none, and for the scale of a head's size."""
    return {
        "embedding_multiplier": shortest(keys.real("embedding_scale", 0.0)) or 1.0,
        "residual_multiplier": shortest(keys.real("residual_scale", 0.0)) or 1.0,
        "attention_scale": shortest(keys.real("attention.scale", 0.0)) or float(head_size) ** -0.5,
        "logits_divisor": shortest(keys.real("logit_scale", 0.0)) or 1.0,
    }


def _gemma3(keys: _Keys, facts: dict[str, Any]) -> dict[str, Any]:
    """Which layers see only a window, with which rotary base, and the score scale."""
    layers = facts["layers"]
    pattern = keys.value("attention.sliding_window_pattern", _GEMMA3_PERIOD)
    if isinstance(pattern, list):  # one flag per layer: local?
        kinds = [LOCAL if local else GLOBAL for local in pattern]
    else:
        kinds = [GLOBAL if (layer + 1) % pattern == 0 else LOCAL for layer in range(layers)]
    refuse_unless(
        len(kinds) == layers, "option", f"{len(kinds)} window flags for {layers} layers", "one per layer"
    )
    # 27B alone scales scores by hidden / heads instead of the head's size.
    size = facts["hidden"] / facts["heads"] if layers == _GEMMA3_27B_LAYERS else facts["head_size"]
    _refuse_other_scale(keys, size)
    return {
        "local_rope_base": whole_base(keys.real("rope.freq_base_swa", _GEMMA3_LOCAL_BASE)),
        "sliding_window": keys.whole("attention.sliding_window"),
        "layer_kinds": tuple(kinds),
        "attention_scale": float(size) ** -0.5,
    }


def _gpt2(keys: _Keys) -> dict[str, Any]:
    facts = _sizes(keys, "attention.layer_norm_epsilon")
    heads = facts["heads"]
    refuse_unless(
        keys.whole("attention.head_count_kv", heads) == heads and facts["hidden"] % heads == 0,
        "option",
        f"{heads} heads with grouped keys, of a hidden size of {facts['hidden']}",
        "as many key heads, and a hidden size that they divide",
    )
    return facts | {
        "max_positions": provable_positions(keys.whole("context_length")),
    }
