"""Which relation catches which value: docs/constraints.md, made by changing every committed tensor.

    python -m prover.constraint_table            writes the page
    python -m prover.constraint_table --check    leaves with 1 when the page is not current

A small random layer of every statement kind is filled with its valid witness. Each witness tensor is then changed at
several places, padding included, in several ways (one more, one less, 2^16 more, a field element that is far from
every integer), and the check reader says which relations notice. A change that nothing notices is an error here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .architectures import ModelConfig
from .architectures.gemma3 import GLOBAL, LOCAL, Gemma3Config
from .architectures.gpt2 import Gpt2Config
from .architectures.llama import LlamaConfig
from .check import Checker
from .errors import GainsayError
from .field.arrays import MODULUS
from .operators.head_pair import RivalWins
from .program import WINDOW_BITS, Kind, Program, Tensor

PAGE = Path(__file__).parents[1] / "docs" / "constraints.md"
SHAPE = LlamaConfig(
    layers=1,
    hidden=24,
    heads=3,
    kv_heads=1,
    head_size=4,
    feed_forward=40,
    vocabulary=50,
    rope_base=10_000,
    norm_epsilon=1e-5,
    max_positions=256,
)
OTHER_FAMILIES: dict[str, ModelConfig] = {
    "GPT-2": Gpt2Config(
        layers=2, hidden=24, heads=3, feed_forward=40, vocabulary=50, norm_epsilon=1e-5, max_positions=96
    ),
    "Gemma 3": Gemma3Config(
        layers=2,
        hidden=24,
        heads=2,
        kv_heads=1,
        head_size=8,
        feed_forward=40,
        vocabulary=50,
        rope_base=1_000_000,
        local_rope_base=10_000,
        sliding_window=32,
        layer_kinds=(LOCAL, GLOBAL),
        attention_scale=8**-0.5,
        norm_epsilon=1e-6,
        max_positions=128,
    ),
}
"""Hidden sizes are no powers of two, so that every kind of padding occurs."""
STATEMENTS = {
    "attention": ({"window": 1}, "attention of a layer, window 1"),
    "mlp": ({}, "MLP of a layer"),
    "head": ({"row": 5, "strict": 1}, "one comparison of the head"),
}
PLACES = 5
SOURCES = {
    Kind.BOUNDARY: "window commitments (public input)",
    Kind.ROW: "row commitment (public input)",
    Kind.WEIGHT: "step key",
    Kind.CONSTANT: "commitment inside the verifier",
    Kind.CLOSED_FORM: "computed by the verifier",
}
_INTRODUCTION = """\
# Which relation catches which value

Made by `python -m prover.constraint_table`; a test checks that it is current. Do not edit.

Every tensor that a prover commits is changed at {places} places, padding included, and in four ways each: one more,
one less, 2^16 more, and a field element far from every integer. *Always* lists the relations that notice every one
of these changes, *sometimes* those that notice some of them (a range notices only what leaves it). No change
survives: that is checked whenever this page is made. Tensors that are no choice of the prover follow in a second
table, with the relations that tie the witness to them.
"""
_FAMILIES = """\
## What other families add

The tensors that Llama's statement of the same kind lacks, found in the same way. Qwen 2 has the biases of GPT-2, Qwen 3
the norms of Gemma 3's queries and keys. Gemma 3's layer is a local one, in which the global tables have coefficient zero.
"""
_LOOKUPS = """\
## Lookups

Lookups are proven by columns of their own, which the argument adds (`prover/plan.py`):

| committed column | what fixes it |
| --- | --- |
| `*_multiplicity` | the relation of its table's inverse: inverse · (γ + row) = multiplicity |
| `inverse_*`, `*_inverse` | its own pointwise relation, H · Π(γ + row) = Σ of the other factors; and the sum of all inverses is zero |
"""
_EMBEDDING = """\
## Embedding

No witness: the window's polynomial is the sum of the shifted row polynomials, checked at one random point
(`prover/embedding.py`). Every coefficient takes part, those beyond the window's length included.
"""


class UnconstrainedError(GainsayError):
    """A witness value can be changed without any relation noticing."""


@dataclass(frozen=True)
class Constraint:
    """A witness tensor, and the relations that notice all or some of its changes."""

    tensor: str
    always: tuple[str, ...]
    sometimes: tuple[str, ...]


def constraints(
    checker: Checker, program: Program, witness: dict[str, np.ndarray], known: Collection[str] = ()
) -> list[Constraint]:
    """One row per tensor that the prover chooses, `known` apart; raises UnconstrainedError when a change survives."""
    rows = []
    for tensor in program.tensors.values():
        if (tensor.kind is not Kind.WITNESS and tensor.name != "after") or tensor.name in known:
            continue
        seen: Counter[str] = Counter()
        changes = list(_changes(witness[tensor.name]))
        for place, mutated in changes:
            violations = checker.violations_with(tensor.name, mutated)
            if not violations:
                raise UnconstrainedError(
                    f"no relation of {program.name} notices a change of {tensor.name} at {place}; add one"
                )
            seen.update(violation.relation for violation in violations)
        always = tuple(name for name in seen if seen[name] == len(changes))
        rows.append(Constraint(tensor.name, always, tuple(name for name in seen if name not in always)))
    return rows


def _changes(original: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First, last and evenly spread places; four changes at each."""
    objects = np.asarray(original).astype(object)
    for place in dict.fromkeys(int(i) for i in np.linspace(0, objects.size - 1, PLACES)):
        value = int(objects.reshape(-1)[place])
        for changed in (value + 1, value - 1, value + (1 << 16), (value - pow(3, -1, MODULUS)) % MODULUS):
            mutated = objects.copy()
            mutated.reshape(-1)[place] = changed
            yield place, mutated


def readers(
    checker: Checker, program: Program, witness: dict[str, np.ndarray], known: Collection[str] = ()
) -> list[tuple[Tensor, tuple[str, ...]]]:
    """For every public tensor, `known` apart: the relations that fail when all its entries are one more."""
    rows = []
    for tensor in program.tensors.values():
        chosen = tensor.kind is Kind.WITNESS or tensor.name == "after"
        if chosen or tensor.name in known or _is_table(program, tensor):
            continue
        violations = checker.violations_with(tensor.name, np.asarray(witness[tensor.name]) + 1)
        rows.append((tensor, tuple(violation.relation for violation in violations)))
    return rows


def _is_table(program: Program, tensor: Tensor) -> bool:
    """Columns of lookup tables: the relations read them through the lookup universe."""
    return any(table.axis in tensor.axes for table in program.tables)


def sample(kind: str, shape: ModelConfig = SHAPE) -> tuple[Program, dict[str, np.ndarray], Checker]:
    """A statement about a random layer, its valid witness, and a checker of it."""
    program, publics = shape.programs[kind], STATEMENTS[kind][0]
    context_bits = WINDOW_BITS + publics.get("window", 0).bit_length()
    sizes = {**program.real_sizes, "channel": shape.hidden}
    generator = np.random.default_rng(7)
    tensors: dict[str, np.ndarray] = {}
    for tensor in (*program.weights, *program.inputs):
        if tensor.name == "after":
            continue
        padded = np.zeros(program.shape(tensor.axes, context_bits), dtype=np.int64)
        real = tuple(slice(0, sizes.get(axis)) for axis in tensor.axes)
        if tensor.kind is Kind.ROW:
            real = (slice(0, shape.head_inputs),)
        limit = 40_000 if tensor.kind is Kind.BOUNDARY else 20_000
        padded[real] = generator.integers(-limit, limit, padded[real].shape)
        tensors[tensor.name] = padded
    parameters = {name: 14 if name == "down_shift" else 16 for name in program.parameters}
    if kind != "head":
        parameters |= shape.layer_parameters(0, kind)  # type: ignore[arg-type]
    try:
        witness = program.witness(tensors, parameters, publics, context_bits)
    except RivalWins:
        tensors["chosen"], tensors["rival"] = tensors["rival"], tensors["chosen"]
        witness = program.witness(tensors, parameters, publics, context_bits)
    return program, witness, Checker(program, witness, parameters, publics, context_bits)


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION.format(places=PLACES)]
    for kind, (_, title) in STATEMENTS.items():
        parts += [f"## {title[0].upper()}{title[1:]}\n", *_section(kind, SHAPE)]
    parts.append(_FAMILIES)
    for family, shape in OTHER_FAMILIES.items():
        for kind, (_, title) in STATEMENTS.items():
            parts += [f"### {family}: {title}\n", *_section(kind, shape, SHAPE.programs[kind].tensors)]
    parts += [_LOOKUPS, _EMBEDDING]
    return "\n".join(parts)


def _section(kind: str, shape: ModelConfig, known: Collection[str] = ()) -> Iterator[str]:
    """The two tables of one statement."""
    program, witness, checker = sample(kind, shape)
    chosen = [
        (f"`{c.tensor}`", _names(c.always), _names(c.sometimes))
        for c in constraints(checker, program, witness, known)
    ]
    given = [
        (f"`{tensor.name}`", SOURCES[tensor.kind], _names(names))
        for tensor, names in readers(checker, program, witness, known)
    ]
    if chosen:
        yield _table(("the prover chooses", "always noticed by", "sometimes also by"), chosen)
    if given:
        yield _table(("the prover cannot choose", "fixed by", "read by"), given)
    if not chosen and not given:
        yield "Nothing.\n"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ("---",) * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PAGE} is not current; run python -m prover.constraint_table", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
