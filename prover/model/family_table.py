"""The tables of architectures and operators in docs/reference.md, read off the families' own programs.

    python -m prover.model.family_table      rewrites the marked section of docs/reference.md

Every family shows what its smallest built-in model is made of; nothing about a family is written here.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..architectures import FAMILIES, ModelConfig
from ..architectures.audit_steps import statement_programs
from ..operators.activation import Activation
from ..operators.attend import Attend
from ..operators.layer_norm import LayerNorm
from ..operators.multiply import Multiply
from ..operators.rms_norm import RmsNorm
from ..operators.rotary import Rotary
from ..operators.score_weights import ScoreWeights
from ..operators.top_k import TopK
from ..program import WINDOW_ROWS
from .family_defaults import FAMILY_DEFAULTS
from .gguf_keys import architectures_of
from .hugging_face_import import HONOURED, MODEL_TYPES, TIED_BY_DEFAULT
from .library import BUILT_IN, built_in_config

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
START, END = "<!-- architectures -->\n", "<!-- /architectures -->"
_NONE = "–"
_OPTIONAL_BIASES = {"attention_bias": "attention", "mlp_bias": "the unit"}


def tables() -> str:
    """Both tables: a column per family, then a row per operator."""
    models = models_of_families()
    samples = {family: built_in_config(names[0]) for family, names in models.items()}
    columns = {
        family: {**_names(config, models[family]), **_facts(config)} for family, config in samples.items()
    }
    titles = [_title(config) for config in samples.values()]
    rows = [["", *titles]]
    facts = dict.fromkeys(fact for column in columns.values() for fact in column)
    rows += [[fact, *(column.get(fact, _NONE) for column in columns.values())] for fact in facts]
    return f"{_markdown(rows)}\n{_markdown(_operators(samples))}"


def rewritten(page: str) -> str:
    """The page with its section replaced. Raises ValueError when the marks are not there once."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return before + START + tables() + END + after


def models_of_families() -> dict[str, list[str]]:
    """Built-in models per family, the smallest first. Raises ValueError for a family without any."""
    configs = {name: built_in_config(name) for name in BUILT_IN}
    found = {
        family: sorted(
            (name for name, config in configs.items() if config.family == family),
            key=lambda name: configs[name].layers * configs[name].hidden,
        )
        for family in FAMILIES
    }
    if missing := [family for family, names in found.items() if not names]:
        raise ValueError(f"family {missing[0]} has no built-in model to show")
    return found


# --- a column -------------------------------------------------------------------------------------------


def _names(config: ModelConfig, models: list[str]) -> dict[str, str]:
    family = config.family
    return {
        "`model_type` in config.json": _code(_model_types(family)),
        "`general.architecture` in a GGUF": _code(architectures_of(family)),
        "built-in models": _code(models),
    }


def _model_types(family: str) -> list[str]:
    return [name for name, known in MODEL_TYPES.items() if known == family]


def _facts(config: ModelConfig) -> dict[str, str]:
    attention = config.programs["attention"].operators
    mlp = next(o for program in config.programs.values() if any(map(_activates, o := program.operators)))
    attend = _only(attention, Attend)
    norms = [operator for operator in attention if isinstance(operator, (RmsNorm, LayerNorm))]
    front = [norm for norm in norms if norm.output == "normalised"]
    behind = [norm for norm in norms if norm.channel == "channel" and norm not in front]
    of_heads = [norm for norm in norms if norm.channel == "head_channel"]
    unit = _only(mlp, Activation).function + (
        ", gated" if any(isinstance(operator, Multiply) for operator in mlp) else ""
    )
    return {
        "norm in front of a sub-layer": _norm(front[0], config) if front else _NONE,
        "norm behind it": _norm(behind[0], config) if behind else _NONE,
        "norm of each query and key": _norm(of_heads[0], config) if of_heads else _NONE,
        "key heads": _keys(config),
        "reach": _reach(attend, config),
        "positions": _positions(config, attention),
        "activation": unit,
        "experts": _experts(config),
        "biases of matrices": _biases(config),
        "embedding": _NONE if config.embedding_factor == 1 else _factor(config),
        "head": f"tied or separate; by default {'tied' if config.family in TIED_BY_DEFAULT else 'separate'}",
        **{f"operators, {kind}": _counted(program.operators) for kind, program in config.programs.items()},
    }


def _keys(config: ModelConfig) -> str:
    if _has(config, "latent_rank"):
        return "made from one latent for all, with a norm; so are queries in some models"
    return "shared by groups of queries" if _has(config, "kv_heads") else "one per query head"


def _reach(attend: Attend, config: ModelConfig) -> str:
    local = f"in local layers a multiple of {WINDOW_ROWS} positions, in global ones all"
    if attend.reach is not None:
        return local
    windows = any("sliding_window" in FAMILY_DEFAULTS[name] for name in _model_types(config.family))
    return f"all positions; some models: {local}" if windows else "all positions"


def _title(config: ModelConfig) -> str:
    """The family's name, as the first sentence of its page has it."""
    found = re.match(r"The (.+?) family:", sys.modules[type(config).__module__].__doc__ or "")
    if found is None:
        raise ValueError(f"the page of {config.family} does not begin with 'The ... family:'")
    return found[1]


def _norm(norm: RmsNorm | LayerNorm, config: ModelConfig) -> str:
    if isinstance(norm, RmsNorm) and norm.gain is not None:
        return f"{type(norm).__name__} with a gain{', over all heads together' if norm.across else ''}"
    rules = config.matrix_rules.values()
    folded = "gain and bias" if any(rule.gain_bias for rule in rules) else "gain"
    return f"{type(norm).__name__}, {folded} folded"


def _positions(config: ModelConfig, attention: tuple[Any, ...]) -> str:
    rotary = [operator for operator in attention if isinstance(operator, Rotary)]
    if rotary:
        turning = [table for table in rotary[0].choices if table.turning]
        kinds = "rotary" if len(turning) == 1 else f"rotary, {len(turning)} bases by layer"
        if _has(config, "plain_size"):
            kinds += ", of channels of their own"
        if any(table.turning < table.head_size for table in turning):
            kinds += ", of the first channels of a head"
        if len(turning) < len(rotary[0].choices):
            kinds += ", none in some layers"
        return f"{kinds}, scaled by divisors" if _has(config, "rope_divisors") else kinds
    learned = sorted(config.first_layer_weights)
    return "learned" if learned else _NONE


def _biases(config: ModelConfig) -> str:
    biased = [name.removeprefix("w_") for name, rule in config.matrix_rules.items() if rule.bias]
    if len(biased) == len(config.matrix_rules):
        return "all"
    honoured = {setting for name in _model_types(config.family) for setting in HONOURED.get(name, ())}
    some = [what for setting, what in _OPTIONAL_BIASES.items() if setting in honoured]
    more = f"; some models: those of {' and '.join(some)}" if some else ""
    return (", ".join(biased) or _NONE) + more


def _experts(config: ModelConfig) -> str:
    operators = [o for program in config.programs.values() for o in program.operators]
    if not any(isinstance(o, TopK) for o in operators):
        return _NONE
    layers = "in all layers but the first" if _has(config, "dense_layers") else "in every layer"
    if any(isinstance(o, ScoreWeights) for o in operators):
        return f"some of many and some for every row, {layers}; the largest scores of a router, in some models of the best groups"
    return f"some of many, {layers}; the largest outputs of a router"


def _factor(config: ModelConfig) -> str:
    factor = config.embedding_factor
    return "times √d" if math.isclose(factor, math.sqrt(config.hidden)) else f"times {factor:g}"


# --- operators ------------------------------------------------------------------------------------------


def _operators(samples: Mapping[str, ModelConfig]) -> list[list[str]]:
    """Operator, the first sentence of its file, and who uses it, in order of first use."""
    users: dict[type, list[str]] = {}
    for config in samples.values():
        for kind in dict.fromkeys(type(operator) for operator in operators_of(config)):
            users.setdefault(kind, []).append(_title(config))
    rows = [["operator", "is", "used by"]]
    for kind, titles in users.items():
        page = sys.modules[kind.__module__]
        sentence = (page.__doc__ or "").split("\n\n")[0].strip().rstrip(".")
        file = kind.__module__.replace(".", "/") + ".py"
        used = "all" if len(titles) == len(samples) else ", ".join(titles)
        rows.append([f"[{kind.__name__}](../{file})", sentence, used])
    return rows


def operators_of(config: ModelConfig) -> Iterator[Any]:
    """Of all programs of a shape, those of audits included, and of one so large that its layers are cut into tiles, if the family has tiles."""
    for shape in (config, replace(config, step_weights=1)):
        for program in statement_programs(shape).values():
            yield from program.operators


# --- shared ---------------------------------------------------------------------------------------------


def _activates(operator: Any) -> bool:
    return isinstance(operator, Activation)


def _only(operators: tuple[Any, ...], kind: type) -> Any:
    (found,) = (operator for operator in operators if isinstance(operator, kind))
    return found


def _has(config: ModelConfig, name: str) -> bool:
    """Whether a shape of this family says it, rather than deriving it."""
    return name in {entry.name for entry in fields(config)}


def _counted(operators: tuple[Any, ...]) -> str:
    counts = Counter(type(operator).__name__ for operator in operators)
    return ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in counts.items())


def _code(names: Iterator[str] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or _NONE


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
