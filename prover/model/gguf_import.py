"""A GGUF file as a float model: its metadata as a configuration, its tokenizer, its tensors.

Which keys are read, and which options change nothing, stands in gguf_keys.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..architectures.config import ModelConfig
from ..architectures.deepseek_v3 import DeepseekV3Config
from ..architectures.smollm3 import ROTATING, STILL
from .checkpoint import Layout, Progress, in_memory, read_float_model, unplaced_tensors
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
from .gguf_keys import ARCHITECTURES, GgufKeys, family_of, short, sizes
from .gguf_mixtures import deepseek_v3_facts, expert_facts, holds_heads_apart, notes_of
from .gguf_tokenizer import gguf_tokenizer
from .layouts import GGUF_LAYOUTS, of_gguf_latents
from .rotary_settings import Rotary
from .tokenizer import usable_chat

_ROTARY_FACTORS = "rope_freqs.weight"
_SHORT_FACTORS = "rope_factors_short.weight"

# llama.cpp's constants for Gemma 3 where a file does not say.
_GEMMA3_LOCAL_BASE = 10_000.0
_GEMMA3_PERIOD = 6
_GEMMA3_27B_LAYERS = 62
_SMOLLM3_PERIOD = 4  # every fourth layer has no positions, whatever the file says


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
        layout = _layout(file, config)
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
        yield replace(model, notes=(*notes_of(file, config.family), *notes))


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
        Finding("option", f"{key} = {short(value)}", "a file without it")
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


def _supported(file: GgufFile) -> ModelConfig:
    """The configuration; everything that stands in the way is collected before it is refused."""
    findings = grouped(
        Finding("encoding", f"{tensor.encoding} of {tensor.name}", f"one of {', '.join(DECODABLE)}")
        for tensor in file.tensors.values()
        if tensor.encoding not in DECODABLE
    )
    try:
        config = gguf_config(file)
        findings += unplaced_tensors(file, _layout(file, config), config)
    except UnsupportedModelError as error:
        findings += error.findings
    if findings:
        raise UnsupportedModelError(findings)
    return config


def _layout(file: GgufFile, config: ModelConfig) -> Layout:
    """Where this file's tensors lie."""
    layout = GGUF_LAYOUTS[config.family]
    if not isinstance(config, DeepseekV3Config):
        return layout
    return of_gguf_latents(layout, holds_heads_apart(file), query_latent=config.query_rank > 0)


def gguf_config(file: GgufFile) -> ModelConfig:
    """The configuration that a file's metadata describes."""
    architecture = file.required("general.architecture", str)
    refuse_unless(
        architecture in ARCHITECTURES,
        "architecture",
        repr(architecture),
        WHY_NOT.get(architecture, f"a layer program; there are {', '.join(sorted(ARCHITECTURES))}"),
    )
    family = family_of(file, architecture)
    keys = GgufKeys(file, architecture, family)
    keys.refuse_unknown()
    if family == "deepseek_v3":
        return build_config(deepseek_v3_facts(keys))
    facts = _gpt2(keys) if family == "gpt2" else _rotary_family(keys)
    if family in ("mixtral", "qwen3_moe"):
        facts |= expert_facts(keys, facts["feed_forward"])
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


def _rotary_family(keys: GgufKeys) -> dict[str, Any]:
    """Llama, Qwen and Gemma: RMS norms, grouped heads, rotary positions."""
    facts = sizes(keys, "attention.layer_norm_rms_epsilon")
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
    positions = provable_positions(min(context, rotary.longest or context), head_size)
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


def _rotary(keys: GgufKeys, rotated: int, context: int) -> Rotary:
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


def _divisors(keys: GgufKeys, head_size: int, context: int) -> tuple[float, ...]:
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


def _refuse_other_scale(keys: GgufKeys, size: float) -> None:
    scale = keys.real("attention.scale", 0.0)
    refuse_unless(
        scale == 0 or decimal_of_float32(scale) == decimal_of_float32(size**-0.5),
        "option",
        f"attention.scale = {scale:g}",
        f"the scale of {size:g} channels",
    )


def _granite(keys: GgufKeys, head_size: int) -> dict[str, Any]:
    """The multipliers; for llama.cpp 0 stands for none, and for the scale of a head's size."""
    return {
        "embedding_multiplier": shortest(keys.real("embedding_scale", 0.0)) or 1.0,
        "residual_multiplier": shortest(keys.real("residual_scale", 0.0)) or 1.0,
        "attention_scale": shortest(keys.real("attention.scale", 0.0)) or float(head_size) ** -0.5,
        "logits_divisor": shortest(keys.real("logit_scale", 0.0)) or 1.0,
    }


def _gemma3(keys: GgufKeys, facts: dict[str, Any]) -> dict[str, Any]:
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


def _gpt2(keys: GgufKeys) -> dict[str, Any]:
    facts = sizes(keys, "attention.layer_norm_epsilon")
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
