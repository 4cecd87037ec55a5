"""A Hugging Face model directory as a float model: config.json, *.safetensors, tokenizer.json.

config.json lists dozens of settings, most of them for training. Those that change what a forward pass computes are
checked one by one; a value that no layer program expresses is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..architectures.config import ModelConfig
from ..architectures.deepseek_v3 import DeepseekV3Config
from ..architectures.smollm3 import ROTATING, STILL
from ..program import WINDOW_ROWS
from .checkpoint import Layout, Progress, in_memory, read_float_model, unplaced_tensors
from .decoding_check import check_decoding
from .errors import CheckpointError, Finding, UnsupportedModelError, grouped
from .facts import (
    GLOBAL,
    LOCAL,
    WHY_NOT,
    build_config,
    is_number,
    provable_positions,
    refuse_unless,
    whole_base,
)
from .family_defaults import FAMILY_DEFAULTS
from .float_model import FloatModel
from .layouts import HUGGING_FACE_LAYOUTS, with_file_options
from .model_files import CONFIG, chosen_source, read_json_object
from .rotary_settings import RotarySettings
from .safetensors_file import READABLE, SafetensorsCheckpoint
from .token_models import described_tokens
from .tokenizer import Tokenizer, TokenizerSpecification, usable_chat
from .tokenizer_files import TokenizerFiles

MODEL_TYPES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "mixtral": "mixtral",
    "qwen3_moe": "qwen3_moe",
    "deepseek_v3": "deepseek_v3",
    "smollm3": "smollm3",
    "granite": "granite",
    "phi3": "phi3",
    "olmo2": "olmo2",
    "gemma3_text": "gemma3",
    "gpt2": "gpt2",
}
TIED_BY_DEFAULT = frozenset(
    family for name, family in MODEL_TYPES.items() if FAMILY_DEFAULTS[name]["tie_word_embeddings"]
)
_GELU_TANH = frozenset({"gelu_new", "gelu_pytorch_tanh"})

# Settings that change what is computed, with the values under which the layer programs are right.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "attention_bias": (False,),
    "attn_logit_softcapping": (None,),
    "decoder_sparse_step": (1,),
    "final_logit_softcapping": (None,),
    "mlp_bias": (False,),
    "mlp_only_layers": ([], None),
    "moe_layer_freq": (None, 1),
    "num_experts": (None, 0),
    "partial_rotary_factor": (None, 1.0),
    "quantization_config": (None,),
    "scoring_func": (None, "sigmoid"),
    "topk_method": (None, "noaux_tc"),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "use_bidirectional_attention": (None, False),
}
# Of those, what a family honours: its configuration says what the setting says.
HONOURED = {
    "llama": frozenset({"attention_bias", "mlp_bias"}),
    "qwen3": frozenset({"attention_bias"}),
    "qwen3_moe": frozenset({"attention_bias", "num_experts"}),
    "smollm3": frozenset({"attention_bias", "mlp_bias"}),
    "granite": frozenset({"attention_bias", "mlp_bias"}),
    "phi3": frozenset({"partial_rotary_factor"}),
    "olmo2": frozenset({"attention_bias"}),
}
# Settings of other families that a family does not have: whatever they say, nothing follows from them.
_FOREIGN = {
    "qwen2": frozenset({"attention_bias"}),
    "mistral": frozenset({"attention_bias", "mlp_bias"}),
    "mixtral": frozenset({"attention_bias", "mlp_bias"}),
    "phi3": frozenset({"attention_bias", "mlp_bias"}),
}
_BIASES = frozenset({"attention_bias", "mlp_bias"})
_PHI3_SCALINGS = dict.fromkeys(("longrope", "su", "yarn"), "longrope")  # names of its first versions
_SILU = frozenset({"silu", "swish"})


def import_hugging_face(
    directory: Path | str, *, residual_scale: int | None = None, progress: Progress | None = None
) -> FloatModel:
    """Read a model directory completely. Raises what `opened_hugging_face` raises."""
    with opened_hugging_face(directory, residual_scale=residual_scale, progress=progress) as model:
        return in_memory(model)


@contextmanager
def opened_hugging_face(
    directory: Path | str, *, residual_scale: int | None = None, progress: Progress | None = None
) -> Iterator[FloatModel]:
    """A model directory whose layers are read one at a time.

    Raises CheckpointError (MissingTensorError, MissingMetadataError, or UnsupportedModelError naming every
    architecture, option, tensor and encoding that has no place) and TokenizerError.
    """
    directory = Path(directory)
    facts = read_json_object(directory / CONFIG)
    with SafetensorsCheckpoint(directory) as file:
        config = _supported(facts, file)
        tokenizer, notes = usable_chat(hugging_face_tokenizer(directory, facts, config.vocabulary))
        check_decoding(tokenizer)
        chosen = chosen_source(directory)
        model = read_float_model(
            file,
            _layout(facts, config),
            config,
            tokenizer,
            name=str(facts.get("_name_or_path") or directory.resolve().name),
            tied=_Settings(facts).flag("tie_word_embeddings"),
            residual_scale=residual_scale,
            progress=progress,
        )
        yield replace(model, notes=(*(chosen[1] if chosen else ()), *file.notes, *notes))


def _supported(facts: Mapping[str, Any], file: SafetensorsCheckpoint) -> ModelConfig:
    """The configuration; everything that stands in the way is collected before it is refused."""
    findings: list[Finding] = []
    try:
        config = hugging_face_config(facts)
        layout = _layout(facts, config)
        findings += unplaced_tensors(file, layout, config)
        idle = re.compile("|".join(layout.derived) or r"(?!)")
        findings += grouped(
            Finding("encoding", f"{file.encoding(name)} of {name}", f"one of {', '.join(READABLE)}")
            for name in sorted(file.names)
            if file.encoding(name) not in READABLE and not idle.fullmatch(name.removeprefix(layout.prefix))
        )
    except UnsupportedModelError as error:
        findings += error.findings
    if findings:
        raise UnsupportedModelError(findings)
    return config


def _layout(facts: Mapping[str, Any], config: ModelConfig) -> Layout:
    """Where this file's tensors lie."""
    layout = HUGGING_FACE_LAYOUTS[config.family]
    if not isinstance(config, DeepseekV3Config):
        return layout
    return with_file_options(
        layout,
        queries_without_latent=config.query_rank == 0,
        half_split_rotary=not _Settings(facts).flag("rope_interleave"),
    )


def hugging_face_config(facts: Mapping[str, Any]) -> ModelConfig:
    """The configuration that a config.json describes."""
    model_type: Any = facts.get("model_type")
    refuse_unless(
        isinstance(model_type, str) and model_type in MODEL_TYPES,
        "architecture",
        repr(model_type),
        WHY_NOT.get(str(model_type), f"a layer program; there are {', '.join(sorted(MODEL_TYPES))}"),
    )
    read = _FOREIGN.get(str(model_type), frozenset()) | HONOURED.get(str(model_type), frozenset())
    set_otherwise = [
        Finding("option", f"{key} = {facts[key]!r}", "a model without it, or an operator for it")
        for key, neutral in _NEUTRAL.items()
        if key in facts and facts[key] not in neutral and key not in read
    ]
    if set_otherwise:
        raise UnsupportedModelError(set_otherwise)
    family = MODEL_TYPES[model_type]
    settings = _Settings(facts)
    if family == "deepseek_v3":
        return build_config(_deepseek_v3(settings))
    return build_config(_gpt2(settings) if family == "gpt2" else _rotary_family(settings, family))


class _Settings:
    """Settings of a config.json; one that is left out has the default of its `model_type`."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts, self.defaults = facts, FAMILY_DEFAULTS[facts["model_type"]]

    def value(self, name: str) -> Any:
        return self.facts.get(name, self.defaults.get(name))

    def whole(self, name: str, *aliases: str, implied: int | None = None) -> int:
        """A positive number. implied: what null means, where the family knows a meaning for it.

        Raises CheckpointError, also when the setting has an alias that says something else.
        """
        stated = {key: self.facts[key] for key in (name, *aliases) if key in self.facts}
        if len(set(map(repr, stated.values()))) > 1:
            raise CheckpointError(f"config.json says {stated}, which is the same setting; leave one out")
        value = next(iter(stated.values())) if stated else self.defaults[name]
        if value is None and implied is not None:
            return implied
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
            raise CheckpointError(f"{name} of config.json is {value!r:.60}; it must be a positive number")
        return value

    def real(self, name: str) -> float:
        value = self.value(name)
        if not is_number(value) or value <= 0:
            raise CheckpointError(f"{name} of config.json is {value!r}; it must be a positive number")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.value(name)
        if not isinstance(value, bool):
            raise CheckpointError(f"{name} of config.json is {value!r}; it must be true or false")
        return value


def _rotary_family(settings: _Settings, family: str) -> dict[str, Any]:
    """Llama, Qwen and Gemma: RMS norms, grouped heads, rotary positions."""
    activation = settings.value("hidden_activation" if family == "gemma3" else "hidden_act")
    known = _GELU_TANH if family == "gemma3" else _SILU
    refuse_unless(
        activation in sorted(known),  # a list: it may be any JSON value
        "option",
        f"activation {activation!r}",
        f"a table; there are {', '.join(sorted(known))}",
    )
    hidden, heads = settings.whole("hidden_size"), settings.whole("num_attention_heads")
    implied = max(1, hidden // heads) if settings.defaults["head_dim"] is None else None
    head_size = settings.whole("head_dim", implied=implied)
    layers = settings.whole("num_hidden_layers")
    stated_positions = settings.whole("max_position_embeddings")
    rotary = RotarySettings(
        settings.facts,
        settings.defaults,
        head_size,
        stated_positions,
        partial=family == "phi3",
        kinds=_PHI3_SCALINGS if family == "phi3" else None,
    )
    everywhere = rotary.of_global_layers() if family == "gemma3" else rotary.of_all_layers()
    positions = provable_positions(min(stated_positions, everywhere.longest or stated_positions), head_size)
    facts = {
        "family": family,
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "kv_heads": settings.whole("num_key_value_heads", implied=None if family == "gemma3" else heads),
        "head_size": head_size,
        "feed_forward": settings.whole(
            "moe_intermediate_size" if family == "qwen3_moe" else "intermediate_size"
        ),
        "vocabulary": settings.whole("vocab_size"),
        "norm_epsilon": settings.real("rms_norm_eps"),
        "max_positions": positions,
        "rope_base": whole_base(everywhere.base),
        "rope_divisors": everywhere.divisors,
    }
    if family == "gemma3":
        refuse_unless(everywhere.factor == 1, "option", "a rotation that multiplies", "one that turns only")
        near = rotary.of_local_layers()
        refuse_unless(
            not near.divisors,
            "option",
            "rotary scaling of local layers",
            "scaling of global layers alone",
        )
        return facts | {
            "local_rope_base": whole_base(near.base),
            "sliding_window": settings.whole("sliding_window"),
            "layer_kinds": _stated_layer_kinds(settings, layers),
            "attention_scale": settings.real("query_pre_attn_scalar") ** -0.5,
        }
    facts |= _windows(settings, layers, positions) | {"rope_factor": everywhere.factor}
    biases = HONOURED.get(settings.facts["model_type"], frozenset()) & _BIASES
    facts |= {name: True for name in sorted(biases) if settings.flag(name)}
    if "num_local_experts" in settings.defaults:
        facts |= _experts(settings)
    if family == "smollm3":
        turning = _turning_layers(settings, layers)
        facts |= {"rotary_kinds": tuple(ROTATING if turns else STILL for turns in turning)}
    if family == "granite":
        facts |= {
            "embedding_multiplier": settings.real("embedding_multiplier"),
            "residual_multiplier": settings.real("residual_multiplier"),
            "attention_scale": settings.real("attention_multiplier"),
            "logits_divisor": settings.real("logits_scaling"),
        }
    if family == "phi3":
        facts |= {"rotated_channels": everywhere.rotated}
    return facts


def _experts(settings: _Settings) -> dict[str, Any]:
    """How many experts there are, and how many a row is routed to."""
    refuse_unless(
        "norm_topk_prob" not in settings.defaults or settings.flag("norm_topk_prob"),
        "option",
        "norm_topk_prob = False",
        "weights of a row's experts that add up to one: the router's softmax is over those experts alone",
    )
    return {
        "experts": settings.whole("num_local_experts", "num_experts"),
        "experts_per_token": settings.whole("num_experts_per_tok"),
    }


def _deepseek_v3(settings: _Settings) -> dict[str, Any]:
    """Latent attention, and experts chosen by scores."""
    activation = settings.value("hidden_act")
    refuse_unless(
        activation in sorted(_SILU),
        "option",
        f"activation {activation!r}",
        f"a table; there are {', '.join(sorted(_SILU))}",
    )
    heads = settings.whole("num_attention_heads")
    groups_of_keys = settings.whole("num_key_value_heads", implied=heads)
    refuse_unless(
        groups_of_keys == heads,
        "option",
        f"num_key_value_heads = {groups_of_keys} for {heads} heads",
        "as many as heads: they share one latent",
    )
    refuse_unless(
        settings.flag("norm_topk_prob"),
        "option",
        "norm_topk_prob = False",
        "weights of a row's experts that add up to one before they are scaled",
    )
    stated_positions, rope_size = (
        settings.whole("max_position_embeddings"),
        settings.whole("qk_rope_head_dim"),
    )
    settings.flag("rope_interleave")
    rotary = RotarySettings(settings.facts, settings.defaults, rope_size, stated_positions)
    turned = rotary.of_all_layers()
    groups, used = settings.whole("n_group"), settings.whole("topk_group")
    refuse_unless(
        used <= groups, "option", f"topk_group = {used} of {groups} groups", "at most as many as there are"
    )
    limited = {"expert_groups": groups, "groups_per_token": used} if used < groups else {}
    factor = settings.real("routed_scaling_factor")
    refuse_unless(factor < 4, "option", f"routed_scaling_factor = {factor:g}", "a factor below 4")
    return {
        "family": "deepseek_v3",
        "layers": settings.whole("num_hidden_layers"),
        "hidden": settings.whole("hidden_size"),
        "heads": heads,
        **({} if settings.value("q_lora_rank") is None else {"query_rank": settings.whole("q_lora_rank")}),
        "latent_rank": settings.whole("kv_lora_rank"),
        "plain_size": settings.whole("qk_nope_head_dim"),
        "rope_size": rope_size,
        "value_size": settings.whole("v_head_dim"),
        "feed_forward": settings.whole("intermediate_size"),
        **_dense_layers(settings),
        "vocabulary": settings.whole("vocab_size"),
        "norm_epsilon": settings.real("rms_norm_eps"),
        "max_positions": provable_positions(
            min(stated_positions, turned.longest or stated_positions), rope_size
        ),
        "rope_base": whole_base(turned.base),
        "rope_divisors": turned.divisors,
        "rope_factor": turned.factor,
        "score_factor": rotary.score_factor(),
        "experts": settings.whole("n_routed_experts", "num_local_experts"),
        "experts_per_token": settings.whole("num_experts_per_tok"),
        "expert_size": settings.whole("moe_intermediate_size"),
        "shared_experts": settings.whole("n_shared_experts"),
        "routing_factor": factor,
        **limited,
    }


def _dense_layers(settings: _Settings) -> dict[str, int]:
    """How many layers in front have no experts: any number, none included."""
    stated = settings.value("first_k_dense_replace")
    return {} if stated == 0 else {"dense_layers": settings.whole("first_k_dense_replace")}


def _turning_layers(settings: _Settings, layers: int) -> list[bool]:
    """Which layers have positions: a flag for each, at least, or all but every n-th."""
    stated = settings.value("no_rope_layers")
    if stated is None:
        period = settings.whole("no_rope_layer_interval")
        return [(layer + 1) % period != 0 for layer in range(layers)]
    if not isinstance(stated, list) or len(stated) < layers or not all(flag in (0, 1) for flag in stated):
        raise CheckpointError(
            f"no_rope_layers of config.json is {stated!r:.60}; it must be a list of 1 (with positions) or 0 (without), one "
            f"for each of {layers} layers"
        )
    return [flag == 1 for flag in stated[:layers]]


def _windows(settings: _Settings, layers: int, positions: int) -> dict[str, Any]:
    """Which layers see only a window, and the longest sequence.

    A window that no sequence reaches the end of is none. One that is no multiple of the rows of a statement is not
    expressed by the mask, so sequences end where it would begin to matter.
    """
    kinds = _stated_layer_kinds(settings, layers)
    if LOCAL not in kinds:
        return {"max_positions": positions}
    refuse_unless(
        "sliding_window" in settings.defaults,
        "option",
        f"sliding-window attention in a {settings.facts['model_type']} model",
        "a family whose layers can have one",
    )
    window = settings.whole("sliding_window")
    if window < positions and window % WINDOW_ROWS == 0:
        return {"max_positions": positions, "sliding_window": window, "layer_kinds": kinds}
    refuse_unless(
        min(window, positions) >= WINDOW_ROWS,
        "option",
        f"a window of {window} positions",
        f"a multiple of {WINDOW_ROWS}",
    )
    return {"max_positions": min(window, positions) // WINDOW_ROWS * WINDOW_ROWS}


def _stated_layer_kinds(settings: _Settings, layers: int) -> tuple[int, ...]:
    names = {"sliding_attention": LOCAL, "full_attention": GLOBAL}
    stated = settings.value("layer_types")
    everywhere = "sliding_window" in settings.defaults and not {
        "use_sliding_window",
        "sliding_window_pattern",
    } & set(settings.defaults)
    if everywhere:  # all layers alike, and layer_types is nothing that the model reads
        kind = GLOBAL if settings.value("sliding_window") is None else LOCAL
        refuse_unless(
            stated is None or stated == [name for name in names if names[name] == kind] * layers,
            "option",
            f"layer_types = {stated!r:.60} beside sliding_window = {settings.value('sliding_window')!r:.20}",
            "layers that are all of the kind that the window says",
        )
        return (kind,) * layers
    if stated is not None:
        if not isinstance(stated, list):
            raise CheckpointError(f"layer_types of config.json is {stated!r}; it must be a list")
        unknown = sorted({repr(kind) for kind in stated if kind not in list(names)})
        refuse_unless(not unknown, "option", f"layer types {', '.join(unknown)}", " or ".join(names))
        refuse_unless(
            len(stated) == layers, "option", f"{len(stated)} layer types for {layers} layers", "one per layer"
        )
        refuse_unless(
            "use_sliding_window" not in settings.defaults
            or "sliding_attention" not in stated
            or settings.flag("use_sliding_window"),
            "option",
            "layer_types with sliding_attention where use_sliding_window is false",
            "a window that is used, or layers that are all full_attention",
        )
        return tuple(names[kind] for kind in stated)
    if "sliding_window_pattern" in settings.defaults:
        period = settings.whole("sliding_window_pattern")
        private = settings.facts.get("_sliding_window_pattern", period)
        if private != period and "sliding_window_pattern" not in settings.facts:
            raise CheckpointError(
                f"config.json says _sliding_window_pattern = {private!r} but no sliding_window_pattern, so that "
                f"loaders take {period}; state layer_types"
            )
        return tuple(GLOBAL if (layer + 1) % period == 0 else LOCAL for layer in range(layers))
    windowed = (
        settings.flag("use_sliding_window")
        if "use_sliding_window" in settings.defaults
        else (settings.value("use_sliding_window"))
    )
    if not windowed or settings.value("sliding_window") is None:
        return (GLOBAL,) * layers
    if "no_rope_layers" in settings.defaults:
        return tuple(GLOBAL if turns else LOCAL for turns in _turning_layers(settings, layers))
    refuse_unless(
        "max_window_layers" in settings.defaults,
        "option",
        "use_sliding_window",
        "a model that attends everywhere",
    )
    first = settings.value("max_window_layers")
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise CheckpointError(f"max_window_layers of config.json is {first!r}; it must be a number of layers")
    return tuple(LOCAL if layer >= first else GLOBAL for layer in range(layers))


def _gpt2(settings: _Settings) -> dict[str, Any]:
    activation = settings.value("activation_function")
    refuse_unless(
        activation in sorted(_GELU_TANH),
        "option",
        f"activation {activation!r}",
        "a table; there is GELU's tanh form",
    )
    hidden, heads = settings.whole("n_embd", "hidden_size"), settings.whole("n_head", "num_attention_heads")
    refuse_unless(hidden % heads == 0, "option", f"{hidden} channels for {heads} heads", "sizes that divide")
    return {
        "family": "gpt2",
        "layers": settings.whole("n_layer", "num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "feed_forward": settings.whole("n_inner", implied=4 * hidden),
        "vocabulary": settings.whole("vocab_size"),
        "norm_epsilon": settings.real("layer_norm_epsilon"),
        "max_positions": provable_positions(settings.whole("n_positions", "max_position_embeddings")),
    }


def hugging_face_tokenizer(
    directory: Path, facts: Mapping[str, Any], vocabulary: int
) -> TokenizerSpecification:
    """The tokenizer of a model directory. Raises TokenizerError and CheckpointError."""
    files = TokenizerFiles(directory)
    tokens, types = described_tokens(files.description, vocabulary)
    first, bos, eos = files.first_token(), files.token("bos_token"), files.token("eos_token")
    ends = _end_ids(directory, facts, vocabulary)
    ends += [tokens.index(eos)] if eos in tokens else []
    specification = TokenizerSpecification(
        tokens=tokens,
        token_types=types,
        merges=(),
        bos_id=first if first is not None else tokens.index(bos) if bos in tokens else None,
        eos_id=ends[0] if ends else None,
        add_bos=first is not None,
        chat_template=files.chat_template(),
        kind="tokenizer.json",
        description=files.description,
        more_end_ids=tuple(sorted(set(ends[1:]) - {ends[0]})) if ends else (),
    )
    own = Tokenizer(specification).template_tokens
    return (
        specification
        if own == files.named
        else replace(specification, template_tokens=tuple(files.named.items()))
    )


def _end_ids(directory: Path, facts: Mapping[str, Any], vocabulary: int) -> list[int]:
    """End tokens of both configurations; the family's own where neither file names one, as far as it has the token."""
    generation = read_json_object(directory / "generation_config.json", default={})
    ends = _ids(facts, CONFIG) + _ids(generation, "generation_config.json")
    if "eos_token_id" not in facts and not ends:
        default = FAMILY_DEFAULTS.get(str(facts.get("model_type")), {}).get("eos_token_id")
        ends = [default] if default is not None and default < vocabulary else []
    return ends


def _ids(facts: Mapping[str, Any], file: str) -> list[int]:
    value = facts.get("eos_token_id")
    listed = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in listed):
        raise CheckpointError(f"eos_token_id of {file} is {value!r}; it must be a token id or a list of them")
    return list(listed)
