"""Which relation catches which value: docs/constraints.md, made by forging every committed value.

    python -m prover.constraint_table            writes the page
    python -m prover.constraint_table --check    leaves with 1 when the page is not current

A small random layer of every statement kind is filled with its valid witness. The hunt (`prover/hunt`) changes each
tensor at many places, padding included, in every way it knows, and lists the relations that notice; then a forger
adjusts other values until no relation has one left that could give way. A forgery that nothing notices is an error
here, but for the selector of a maximum that several keys attain.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .architectures import ModelConfig
from .architectures.audit_steps import HEAD_TILE, HEAD_WEIGHT, head_tiles, statement_programs
from .architectures.shapes import CUT, CUT_QUERIES, OTHER_FAMILIES, SHAPE, TILED, WHAT_OTHERS_ADD
from .errors import GainsayError
from .field.arrays import MODULUS
from .hunt.changes import (
    assorted_changes,
    carries_in_quads,
    single_changes,
    swapped_neighbours,
    table_aliases,
)
from .hunt.head_samples import true_tokens
from .hunt.logup import argument_relations, logup_columns
from .hunt.noticing import Changes, Hunt, Part
from .hunt.repairs import DeadEnd, Forger, Survivor
from .operators.head_pair import RivalWins
from .plan import Plan
from .program import WINDOW_BITS, WINDOW_ROWS, Kind, Program, Tensor
from .sampling import ZERO
from .streams import SUMS

PAGE = Path(__file__).parents[1] / "docs" / "constraints.md"
TITLES = {
    "positions": "learned positions, window 1",
    "keys_values": "keys and values of a layer, window 1",
    "attention": "attention of a layer, window 1",
    "mlp": "MLP of a layer",
    "keys_values_tile": "last tile of keys and values",
    "keys_values_close": "close of keys and values, window 1",
    "query_tile": "last tile of queries",
    "query_close": "close of queries, window 1",
    "query_latent": "latents of queries",
    "query_latent_tile": "last tile of latents of queries",
    "query_latent_close": "close of latents of queries",
    "attention_norm": "norm in front of the tiles of attention",
    "attention_tile": "last tile of attention, window 1",
    "attention_close": "close of attention",
    "mlp_norm": "norm in front of the tiles of an MLP",
    "mlp_tile": "last tile of an MLP",
    "mlp_close": "close of an MLP",
    "router": "router of a layer's experts",
    "expert_tile": "last tile of an expert",
    "head": "one comparison of the head",
    HEAD_TILE: "last tile of the head in audit form",
}
SHAPES: dict[str, ModelConfig] = {
    **dict.fromkeys(SHAPE.steps, SHAPE),
    **{kind: shape for shape in (CUT_QUERIES, CUT, TILED) for kind in shape.kinds if kind not in SHAPE.steps},
    HEAD_TILE: TILED,
}
"""The shape of which a kind of statement is a sample."""
PUBLICS = {"window": 1, "row": 5, "factor": 3, "offset": ZERO - 1}
LIMITS = {"before": 40_000, "window": 40_000, "normalised": 8_000, "sum": 1 << 40} | {
    **dict.fromkeys(("query_sum", "key_sum", "value_sum"), 1 << 29),
    **dict.fromkeys((f"{stream}_before" for stream in SUMS), 1 << 52),
}
"""Of what a sample reads, if not 20,000."""
PLACES = 64
"""Places at which each tensor is changed, at most: the first, the last and evenly spread ones."""
FORGERIES = 2
"""Rounds of the forger per tensor, each with every kind of change."""
CHALLENGES = {"beta": pow(3, 1000, MODULUS), "gamma": pow(5, 1000, MODULUS)}
SELECTORS = frozenset({"max_selector"})
"""Tensors with several valid values: any key that attains the maximum may be pointed at."""
DIGITS = frozenset({"distance_high", "distance_low"})
"""Of a distance that weighs nothing two pairs may fit, which nothing else depends on (operators/exponential.py)."""
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

Every tensor that a prover commits is changed at up to {places} places, padding included: one more, one less, zero,
negated, r - 1, r - 1 - value, 2^k and 1/2^k more and less for every width k of a range check, 1/3 more and less,
exchanged with its neighbours along every axis, and moved to another input of its table with the same output.
*Always* lists the relations that notice every one of these changes, *sometimes* those that notice some of them (a
range notices only what leaves it). Then a forger solves the relations that noticed for other values, in the field, by
carries and by tables, and so on with what notices next; *in the end* lists the relations at which no value was left
that could give way. Nothing survives, but for the selector of a maximum that several keys attain, which may point at
any of them, and the digits of a distance that weighs nothing, of which two pairs may fit: that is checked whenever
this page is made, and for every single entry by the tests of the operators.
Tensors that are no choice of the prover follow in a second table, with the relations that tie the witness to them.
"""
_LOOKUPS = """\
Lookups are proven by columns that the argument adds (`prover/plan.py`); their relations, with random beta and gamma:
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
    """A witness tensor, the relations that notice all or some of its changes, and those that no accomplice appeases."""

    tensor: str
    always: tuple[str, ...]
    sometimes: tuple[str, ...]
    in_the_end: tuple[str, ...]


def constraints(hunt: Hunt, chosen: Iterable[str], free: Iterable[str], title: str) -> list[Constraint]:
    """One row per tensor of `chosen`, the forger adjusting `free`; raises UnconstrainedError when a change survives."""
    order = [relation.name for relation in hunt.relations]
    generator = np.random.default_rng(7)
    forger = Forger(hunt, frozenset(free), generator)
    rows = []
    for name in chosen:
        seen, tried = dict.fromkeys(order, 0), 0
        for what, changes in _changes(hunt, name):
            noticed = hunt.noticed(changes)
            missed = ~np.any([*noticed.values(), np.zeros(changes.count, dtype=bool)], axis=0)
            if missed.any() and name not in SELECTORS:
                raise UnconstrainedError(
                    f"no relation of {title} notices a change of {name} ({what}); add one"
                )
            tried += changes.count - int(missed.sum())
            for relation, by in noticed.items():
                seen[relation] += int(by.sum())
        ends = {end for _ in range(FORGERIES) for end in _ends(forger, hunt, name, generator, title)}
        rows.append(
            Constraint(
                name,
                tuple(relation for relation in order if seen[relation] == tried),
                tuple(relation for relation in order if 0 < seen[relation] < tried),
                tuple(relation for relation in order if relation in ends),
            )
        )
    return rows


def _changes(hunt: Hunt, name: str) -> Iterator[tuple[str, Changes]]:
    places = np.unique(np.linspace(0, hunt.value(name).size - 1, PLACES).astype(np.int64))
    yield from single_changes(hunt, name, places)
    for what, changes in (
        *swapped_neighbours(hunt, name),
        *carries_in_quads(hunt, name),
        *table_aliases(hunt, name),
    ):
        yield what, changes.of(np.unique(np.linspace(0, changes.count - 1, PLACES).astype(np.int64)))


def _ends(forger: Forger, hunt: Hunt, name: str, generator: np.random.Generator, title: str) -> Iterator[str]:
    """Where the forger gives up."""
    for end in forger.repairs(assorted_changes(hunt, name, generator)):
        if isinstance(end, DeadEnd):
            yield end.relation
        elif isinstance(end, Survivor) and not end.changes.parts.keys() <= SELECTORS | DIGITS:
            changed = ", ".join(end.changes.parts)
            raise UnconstrainedError(f"no relation of {title} notices a joint change of {changed}; add one")


def chosen_by_the_prover(program: Program) -> list[str]:
    """What a prover commits in a statement, and the outputs that it claims."""
    return [t.name for t in program.tensors.values() if t.kind is Kind.WITNESS or t in program.written]


def readers(hunt: Hunt, program: Program) -> list[tuple[Tensor, tuple[str, ...]]]:
    """For every public tensor: the relations that fail when all its entries are one more."""
    rows = []
    for tensor in program.tensors.values():
        if tensor.kind is Kind.WITNESS or tensor in program.written or _is_table(program, tensor):
            continue
        entries, value = np.arange(hunt.value(tensor.name).size), hunt.value(tensor.name)
        part = Part(entries, value + 1, np.zeros(len(entries), dtype=np.int64))
        noticed = hunt.noticed(Changes(1, {tensor.name: part}))
        rows.append((tensor, tuple(name for name, seen in noticed.items() if seen.any())))
    return rows


def _is_table(program: Program, tensor: Tensor) -> bool:
    """Columns of lookup tables: the relations read them through the lookup universe."""
    return any(table.axis in tensor.axes for table in program.tables)


@dataclass(frozen=True)
class Sample:
    """A statement about a random layer with its valid witness."""

    program: Program
    witness: dict[str, np.ndarray]
    parameters: Mapping[str, int]
    publics: Mapping[str, int]
    context_bits: int

    def hunt(self) -> Hunt:
        """Over the relations that the program states."""
        relations, tables = self.program.relations, self.program.tables
        return Hunt(
            self.program, relations, tables, self.witness, self.parameters, self.publics, self.context_bits
        )

    def argument_hunt(self) -> Hunt:
        """Over what the argument proves in their place: lookups as sums of inverses."""
        plan = Plan(self.program)
        columns = logup_columns(
            plan, self.witness, self.parameters, self.publics, self.context_bits, CHALLENGES
        )
        return Hunt(
            plan,
            argument_relations(plan),
            (),
            {**self.witness, **columns},
            self.parameters,
            self.publics,
            self.context_bits,
            CHALLENGES,
        )


def sample(kind: str, shape: ModelConfig | None = None) -> Sample:
    """A statement of a kind about a random layer, the last of its tiles."""
    shape = shape or SHAPES[kind]
    program = statement_programs(shape)[kind]
    publics = {name: PUBLICS[name] for name in program.public_scalars if name in PUBLICS}
    context_bits = WINDOW_BITS + (publics["window"].bit_length() if program.has_context else 0)
    sizes = {**program.real_sizes, "channel": shape.hidden}
    tiles = head_tiles(shape)
    if kind == HEAD_TILE:
        sizes["token"] = shape.vocabulary - (tiles.count - 1) * tiles.size
    if program.has_context:
        sizes["context"] = WINDOW_ROWS * (publics["window"] + 1)
    generator = np.random.default_rng(7)
    tensors: dict[str, np.ndarray] = {}
    for tensor in (*program.weights, *program.inputs):
        if tensor in program.written:
            continue
        padded = np.zeros(program.shape(tensor.axes, context_bits), dtype=np.int64)
        real = tuple(slice(0, sizes.get(axis)) for axis in tensor.axes)
        if tensor.kind is Kind.ROW:
            real = (slice(0, shape.head_inputs),)
        if tensor.name == HEAD_WEIGHT:
            real = (slice(0, shape.head_inputs), *real[1:])
        limit = LIMITS.get(tensor.name, 20_000)
        padded[real] = generator.integers(-limit, limit, padded[real].shape)
        if tensor.name == "gates":
            padded = np.maximum(padded, 0)  # about half of the rows are routed to an expert
        tensors[tensor.name] = padded
    if kind == HEAD_TILE:
        publics = true_tokens(program, tensors, tiles.count - 1)
    parameters = {name: 14 if name == "down_shift" else 16 for name in program.parameters}
    if kind in shape.kinds:
        parameters |= shape.layer_parameters(0, kind)
        parameters |= shape.tile_parameters(kind, shape.steps[kind].tiles - 1)
    try:
        witness = program.witness(tensors, parameters, publics, context_bits)
    except RivalWins:
        tensors["chosen"], tensors["rival"] = tensors["rival"], tensors["chosen"]
        witness = program.witness(tensors, parameters, publics, context_bits)
    return Sample(program, witness, parameters, publics, context_bits)


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION.format(places=PLACES)]
    for kind in SHAPES:
        case, title = sample(kind), TITLES[kind]
        parts += [f"## {title[0].upper()}{title[1:]}\n", *_section(case, kind)]
        parts += [_LOOKUPS, _constraint_table(lookup_constraints(case))]
    parts.append(f"## What other families add\n\n{WHAT_OTHERS_ADD}")
    shown: list[Program] = []
    for family, shape in OTHER_FAMILIES.items():
        for kind, program in statement_programs(shape).items():
            if program in shown:  # of the same family in larger steps
                continue
            shown.append(program)
            known = statement_programs(SHAPES[kind])[kind].tensors if kind in SHAPES else ()
            parts += [f"### {family}: {TITLES[kind]}\n", *_section(sample(kind, shape), kind, known)]
    parts.append(_EMBEDDING)
    return "\n".join(parts)


def _section(case: Sample, kind: str, known: Collection[str] = ()) -> Iterator[str]:
    """The two tables of one statement, tensors in `known` left out. The forger may adjust all that is chosen."""
    hunt, chosen = case.hunt(), chosen_by_the_prover(case.program)
    listed = [name for name in chosen if name not in known]
    fixed: list[tuple[str, ...]] = [
        (f"`{tensor.name}`", SOURCES[tensor.kind], _names(names))
        for tensor, names in readers(hunt, case.program)
        if tensor.name not in known
    ]
    if listed:
        yield _constraint_table(constraints(hunt, listed, chosen, kind))
    if fixed:
        yield _table(("the prover cannot choose", "fixed by", "read by"), fixed)
    if not listed and not fixed:
        yield "Nothing.\n"


def lookup_constraints(case: Sample) -> list[Constraint]:
    """Multiplicities and inverses. Only inverses are committed after gamma is known, so only they may be adjusted."""
    plan, hunt = Plan(case.program), case.argument_hunt()
    added = [name for name in plan.tensors if name not in case.program.tensors]
    return constraints(hunt, added, plan.inverse_of, case.program.name)


def _constraint_table(rows: list[Constraint]) -> str:
    heads = ("the prover chooses", "always noticed by", "sometimes also by", "in the end")
    return _table(
        heads, [(f"`{c.tensor}`", _names(c.always), _names(c.sometimes), _names(c.in_the_end)) for c in rows]
    )


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
