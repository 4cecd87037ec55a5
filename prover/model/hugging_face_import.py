"""A Hugging Face model directory as a float model: config.json, *.safetensors, tokenizer.json.

config.json lists dozens of settings, most of them for training. Those that change what a forward pass computes are
checked one by one; a value that no layer program expresses is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..architectures.config import ModelConfig
from ..foreign_json import MODEL_FILE, ForeignJsonError, read_json_file
from .checkpoint import Progress, read_float_model, unplaced_tensors
from .errors import CheckpointError, Finding, MissingMetadataError, TokenizerError, UnsupportedModelError
from .facts import (
    GLOBAL,
    LOCAL,
    build_config,
    linear_divisors,
    llama3_divisors,
    provable_positions,
    refuse_unless,
    whole_base,
)
from .float_model import FloatModel
from .layouts import HUGGING_FACE_LAYOUTS
from .safetensors_file import READABLE, SafetensorsCheckpoint
from .token_models import described_encoder, described_tokens
from .tokenizer import Tokenizer, TokenizerSpecification

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"

MODEL_TYPES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3_text": "gemma3",
    "gpt2": "gpt2",
}
TIED_BY_DEFAULT = frozenset({"gemma3", "gpt2"})
_GELU_TANH = frozenset({"gelu_new", "gelu_pytorch_tanh"})

# Settings that change what is computed, with the values under which the layer programs are right.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "attention_bias": (False,),
    "attn_logit_softcapping": (None,),
    "final_logit_softcapping": (None,),
    "mlp_bias": (False,),
    "num_experts": (None, 0),
    "partial_rotary_factor": (None, 1.0),
    "quantization_config": (None,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "use_bidirectional_attention": (None, False),
}


def import_hugging_face(
    directory: Path | str, *, residual_scale: int | None = None, progress: Progress | None = None
) -> FloatModel:
    """Read a model directory completely.

    Raises CheckpointError (MissingTensorError, MissingMetadataError, or UnsupportedModelError naming every
    architecture, option, tensor and encoding that has no place) and TokenizerError.
    """
    directory = Path(directory)
    facts = _read_json(directory / CONFIG)
    with SafetensorsCheckpoint(directory) as file:
        config = _supported(facts, file)
        return read_float_model(
            file,
            HUGGING_FACE_LAYOUTS[config.family],
            config,
            Tokenizer(hugging_face_tokenizer(directory, facts, config.vocabulary)),
            name=str(facts.get("_name_or_path") or directory.resolve().name),
            tied=bool(facts.get("tie_word_embeddings", config.family in TIED_BY_DEFAULT)),
            residual_scale=residual_scale,
            progress=progress,
        )


def _supported(facts: Mapping[str, Any], file: SafetensorsCheckpoint) -> ModelConfig:
    """The configuration; everything that stands in the way is collected before it is refused."""
    findings: list[Finding] = []
    try:
        config = hugging_face_config(facts)
        layout = HUGGING_FACE_LAYOUTS[config.family]
        findings += unplaced_tensors(file, layout, config)
        idle = re.compile("|".join(layout.derived) or r"(?!)")
        findings += [
            Finding("encoding", f"{file.encoding(name)} of {name}", f"one of {', '.join(READABLE)}")
            for name in sorted(file.names)
            if file.encoding(name) not in READABLE and not idle.fullmatch(name.removeprefix(layout.prefix))
        ]
    except UnsupportedModelError as error:
        findings += error.findings
    if findings:
        raise UnsupportedModelError(findings)
    return config


def hugging_face_config(facts: Mapping[str, Any]) -> ModelConfig:
    """The configuration that a config.json describes."""
    model_type: Any = facts.get("model_type")
    refuse_unless(
        model_type in MODEL_TYPES,
        "architecture",
        repr(model_type),
        f"a layer program; there are {', '.join(sorted(MODEL_TYPES))}",
    )
    set_otherwise = [
        Finding("option", f"{key} = {facts[key]!r}", "a model without it, or an operator for it")
        for key, neutral in _NEUTRAL.items()
        if key in facts and facts[key] not in neutral
    ]
    if set_otherwise:
        raise UnsupportedModelError(set_otherwise)
    family = MODEL_TYPES[model_type]
    settings = _Settings(facts)
    return build_config(_gpt2(settings) if family == "gpt2" else _rotary_family(settings, family))


class _Settings:
    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def whole(self, *names: str, default: int | None = None) -> int:
        """The first of the names that is set to a number. Raises MissingMetadataError."""
        for name in names:
            value = self.facts.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                    raise CheckpointError(f"{name} of config.json is {value!r}; it must be a positive number")
                return value
        if default is None:
            raise MissingMetadataError(names[0])
        return default

    def real(self, name: str, default: float | None = None) -> float:
        value = self.facts.get(name, default)
        if value is None:
            raise MissingMetadataError(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CheckpointError(f"{name} of config.json is {value!r}; it must be a number")
        return float(value)


def _rotary_family(settings: _Settings, family: str) -> dict[str, Any]:
    """Llama, Qwen and Gemma: RMS norms, grouped heads, rotary positions."""
    activation = settings.facts.get("hidden_activation" if family == "gemma3" else "hidden_act")
    known = _GELU_TANH if family == "gemma3" else frozenset({"silu"})
    refuse_unless(
        activation in known,
        "option",
        f"activation {activation!r}",
        f"a table; there are {', '.join(sorted(known))}",
    )
    hidden, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    head_size = settings.whole("head_dim", default=max(1, hidden // heads))
    layers = settings.whole("num_hidden_layers")
    rotary, local = _rotary_settings(settings.facts)
    base = (
        settings.real("rope_theta", 10_000.0) if "rope_theta" not in rotary else float(rotary["rope_theta"])
    )
    facts = {
        "family": family,
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": settings.whole("num_key_value_heads", default=heads),
        "head_size": head_size,
        "feed_forward": settings.whole("intermediate_size"),
        "vocabulary": settings.whole("vocab_size"),
        "norm_epsilon": settings.real("rms_norm_eps"),
        "max_positions": provable_positions(settings.whole("max_position_embeddings"), head_size),
        "rope_base": whole_base(base),
        "rope_divisors": _divisors(rotary, base, head_size),
    }
    kinds = _layer_kinds(settings, layers)
    if family == "gemma3":
        local_base = local.get("rope_theta", settings.real("rope_local_base_freq", 10_000.0))
        refuse_unless(
            local.get("rope_type", "default") == "default",
            "option",
            "rotary scaling of local layers",
            "scaling of global layers alone",
        )
        return facts | {
            "local_rope_base": whole_base(local_base),
            "sliding_window": settings.whole("sliding_window"),
            "layer_kinds": kinds,
            "attention_scale": settings.real("query_pre_attn_scalar", head_size) ** -0.5,
        }
    refuse_unless(
        LOCAL not in kinds,
        "option",
        f"sliding-window attention in a {family} model",
        "the reach and layer kinds that Gemma 3's layer program has",
    )
    return facts


def _layer_kinds(settings: _Settings, layers: int) -> tuple[int, ...]:
    """Local or global, per layer."""
    names = {"sliding_attention": LOCAL, "full_attention": GLOBAL}
    stated = settings.facts.get("layer_types")
    if stated is not None:
        unknown = [kind for kind in stated if kind not in names]
        refuse_unless(not unknown, "option", f"layer types {sorted(set(unknown))}", " or ".join(names))
        refuse_unless(
            len(stated) == layers, "option", f"{len(stated)} layer types for {layers} layers", "one per layer"
        )
        return tuple(names[kind] for kind in stated)
    if settings.facts.get("model_type") == "gemma3_text":
        period = settings.whole("sliding_window_pattern", "_sliding_window_pattern", default=6)
        return tuple(GLOBAL if (layer + 1) % period == 0 else LOCAL for layer in range(layers))
    refuse_unless(
        not settings.facts.get("use_sliding_window"),
        "option",
        "use_sliding_window",
        "a model that attends everywhere",
    )
    return (GLOBAL,) * layers


def _rotary_settings(facts: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Rotary settings of ordinary layers and of local ones, in the newer form or the older."""
    stated = facts.get("rope_parameters") or facts.get("rope_scaling") or {}
    if "full_attention" in stated:
        return stated["full_attention"], stated.get("sliding_attention", {})
    return stated, {}


def _divisors(rotary: Mapping[str, Any], base: float, head_size: int) -> tuple[float, ...]:
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    if kind == "default":
        return ()
    try:
        if kind == "linear":
            return linear_divisors(float(rotary["factor"]), head_size)
        if kind == "llama3":
            return llama3_divisors(
                base,
                head_size,
                factor=float(rotary["factor"]),
                low=float(rotary["low_freq_factor"]),
                high=float(rotary["high_freq_factor"]),
                original=int(rotary["original_max_position_embeddings"]),
            )
    except KeyError as error:
        raise MissingMetadataError(f"rope_scaling.{error.args[0]}") from error
    raise UnsupportedModelError([Finding("option", f"rotary scaling {kind!r}", "linear or llama3 scaling")])


def _gpt2(settings: _Settings) -> dict[str, Any]:
    activation = settings.facts.get("activation_function", "gelu_new")
    refuse_unless(
        activation in _GELU_TANH, "option", f"activation {activation!r}", "a table; there is GELU's tanh form"
    )
    hidden, heads = settings.whole("n_embd", "hidden_size"), settings.whole("n_head", "num_attention_heads")
    refuse_unless(hidden % heads == 0, "option", f"{hidden} channels for {heads} heads", "sizes that divide")
    head_size = hidden // heads
    return {
        "family": "gpt2",
        "layers": settings.whole("n_layer", "num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "feed_forward": settings.whole("n_inner", default=4 * hidden),
        "vocabulary": settings.whole("vocab_size"),
        "norm_epsilon": settings.real("layer_norm_epsilon", 1e-5),
        "max_positions": provable_positions(
            settings.whole("n_positions", "max_position_embeddings"), head_size
        ),
    }


def hugging_face_tokenizer(
    directory: Path, facts: Mapping[str, Any], vocabulary: int
) -> TokenizerSpecification:
    """The tokenizer of a model directory. Raises TokenizerError."""
    try:
        description = (directory / TOKENIZER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(
            f"{directory / TOKENIZER} cannot be read ({error}); save the model's fast tokenizer beside it"
        ) from error
    settings = _read_json(directory / "tokenizer_config.json", default={})
    generation = _read_json(directory / "generation_config.json", default={})
    tokens, types = described_tokens(description, vocabulary)
    first = _first_token(description)
    ends = [*_ids(facts.get("eos_token_id")), *_ids(generation.get("eos_token_id"))]
    named = _named(settings.get("eos_token"))
    ends += [tokens.index(named)] if named in tokens else []
    stated = _named(settings.get("bos_token"))
    bos = first if first is not None else tokens.index(stated) if stated in tokens else None
    return TokenizerSpecification(
        tokens=tokens,
        token_types=types,
        merges=(),
        bos_id=bos,
        eos_id=ends[0] if ends else None,
        add_bos=first is not None,
        chat_template=_chat_template(directory, settings),
        kind="tokenizer.json",
        description=description,
        more_end_ids=tuple(sorted(set(ends[1:]) - {ends[0]})) if ends else (),
    )


def _first_token(description: str) -> int | None:
    """The one token that the pipeline puts before every text, or None. Raises TokenizerError for anything else."""
    added = described_encoder(description).encode("", add_special_tokens=True).ids
    with_text = described_encoder(description).encode("a", add_special_tokens=True).ids
    bare = described_encoder(description).encode("a", add_special_tokens=False).ids
    if len(added) > 1 or with_text != [*added, *bare]:
        raise TokenizerError(
            f"tokenizer.json adds tokens {added} around a text; only one in front is supported"
        )
    return added[0] if added else None


def _chat_template(directory: Path, settings: Mapping[str, Any]) -> str | None:
    separate = directory / "chat_template.jinja"
    if separate.is_file():
        return separate.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template


def _ids(value: Any) -> list[int]:
    return [] if value is None else list(value) if isinstance(value, list) else [value]


def _named(token: Any) -> str | None:
    """A special token is a text, or an object that holds one."""
    return token.get("content") if isinstance(token, dict) else token


def _read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not path.is_file():
        return default
    try:
        value = read_json_file(path, limits=MODEL_FILE)
    except (OSError, ForeignJsonError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); download the model again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object; download the model again")
    return value
