"""The changes that the hunt tries: every value alone, neighbours exchanged, carries in quads, inputs of a table with the same output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations

import numpy as np

from ..field.arrays import MODULUS
from ..quads import POWERS, QUAD
from ..relations import Constant, Contraction, Lookup, Ref, references
from ..tables import RANGE_BITS
from .noticing import Changes, Hunt, Part, centred


def alias_widths(hunt: Hunt) -> list[int]:
    """Every k such that some lookup is into [0, 2^k): values that differ by 2^k alias modulo it."""
    widths = set()
    for relation in hunt.relations:
        if isinstance(relation, Lookup) and not list(references(relation.tag)):
            tag = int(hunt.evaluate(relation.tag, {}))
            widths |= {tag} if 0 < tag <= RANGE_BITS else set()
    return sorted(widths)


def single_changes(hunt: Hunt, name: str, places: np.ndarray | None = None) -> Iterator[tuple[str, Changes]]:
    """Each entry of a tensor alone: +-1, zero, negated, r - 1, its complement, +-2^k and +-1/2^k for aliases modulo a
    range, +-1/3. Changes that are the identity in the field are left out. `places` limits the entries."""
    values = hunt.value(name)
    places = np.arange(len(values)) if places is None else places
    old = values[places]
    for what, new in _other_values(old, alias_widths(hunt)):
        differs = np.flatnonzero((new - old) % MODULUS != 0)
        if len(differs):
            groups = np.arange(len(differs))
            yield what, Changes(len(differs), {name: Part(places[differs], new[differs], groups)})


def _other_values(old: np.ndarray, widths: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    yield "plus 1", old + 1
    yield "minus 1", old - 1
    yield "zero", old * 0
    yield "negated", -old
    yield "r - 1", old * 0 + (MODULUS - 1)
    yield "r - 1 - value", MODULUS - 1 - old
    for width in widths:
        power, inverse = 1 << width, pow(1 << width, -1, MODULUS)
        yield f"plus 2^{width}", old + power
        yield f"minus 2^{width}", old - power
        yield f"plus 1/2^{width}", old + inverse
        yield f"minus 1/2^{width}", old - inverse
    third = pow(3, -1, MODULUS)
    yield "plus 1/3", old + third
    yield "minus 1/3", old - third


def swapped_neighbours(hunt: Hunt, name: str) -> Iterator[tuple[str, Changes]]:
    """Each entry exchanged with its neighbour along each axis; pairs of equal values are left out."""
    values, axes = hunt.value(name), hunt.axes_of(name)
    shape = hunt.shape(axes)
    positions = np.arange(len(values)).reshape(shape)
    for axis, size in enumerate(shape):
        for start in (0, 1):
            first = np.take(positions, range(start, size - 1, 2), axis=axis).reshape(-1)
            second = np.take(positions, range(start + 1, size, 2), axis=axis).reshape(-1)
            differs = np.flatnonzero((values[first] - values[second]) % MODULUS != 0)
            if not len(differs):
                continue
            one, two, groups = first[differs], second[differs], np.arange(len(differs))
            part = Part(np.r_[one, two], np.r_[values[two], values[one]], np.r_[groups, groups])
            yield f"swapped along {axes[axis]}", Changes(len(differs), {name: part})


def carries_in_quads(hunt: Hunt, name: str) -> Iterator[tuple[str, Changes]]:
    """One more, or one less, in an entry, and what makes up for it in another one of its quad: a relation about quads sees neither.

    From below that is a multiple of 2^64, from above a fraction: where a range leaves out one place of a quad, the other one may stay in its own.
    """
    values = hunt.value(name)
    relations = (r for r in hunt.relations if isinstance(r, Contraction) and r.quads)
    if name not in {ref.tensor for relation in relations for ref in references(relation.expression)}:
        return
    for place, other in permutations(range(QUAD), 2):
        worth = POWERS[place] * pow(POWERS[other], -1, MODULUS)
        first = np.arange(0, len(values), QUAD)
        groups = np.arange(len(first))
        for what, sign in (("one more", 1), ("one less", -1)):
            new = np.r_[values[first + place] + sign, values[first + other] - centred(sign * worth)]
            part = Part(np.r_[first + place, first + other], new, np.r_[groups, groups])
            yield f"{what} at {place} made up for at {other}", Changes(len(first), {name: part})


def table_aliases(hunt: Hunt, name: str) -> Iterator[tuple[str, Changes]]:
    """Each input of a function table moved to the next input with the same output."""
    for relation in hunt.relations:
        if not isinstance(relation, Lookup) or relation.first != Ref(name) or relation.second == Constant(0):
            continue
        refs = list(dict.fromkeys((*references(relation.tag), *references(relation.second))))
        size = len(hunt.entries(relation.first, relation.domain))
        places = np.flatnonzero(hunt.reads(relation, np.arange(size)))
        columns = {ref: hunt.value(ref.tensor)[hunt.entries(ref, relation.domain)[places]] for ref in refs}
        tags, outputs = (hunt.column(e, columns, len(places)) for e in (relation.tag, relation.second))
        inputs: dict[tuple[int, int], list[int]] = {key: [] for key in zip(tags, outputs, strict=True)}
        for tag, first, second in hunt.rows:
            if (tag, second) in inputs:
                inputs[tag, second].append(first)
        follows = {
            (tag, one, second): other
            for (tag, second), firsts in inputs.items()
            for one, other in pairwise([*sorted(firsts), min(firsts)])
        }
        old = hunt.value(name)[hunt.entries(relation.first, relation.domain)[places]] % MODULUS
        rows = zip(tags, old, outputs, strict=True)
        new = np.array([centred(follows[row]) for row in rows], dtype=object)
        differs = np.flatnonzero((new - old) % MODULUS != 0)
        if len(differs):
            entries = hunt.entries(relation.first, relation.domain)[places[differs]]
            part = Part(entries, new[differs], np.arange(len(differs)))
            yield (
                f"another input with the same output in {relation.name}",
                Changes(len(differs), {name: part}),
            )


def assorted_changes(hunt: Hunt, name: str, generator: np.random.Generator) -> Changes:
    """Every kind of single change once, each at a random place of its own (as far as there are places)."""
    values = hunt.value(name)
    places = generator.permutation(len(values))
    kinds = [new for _, new in _other_values(values[places], alias_widths(hunt))]
    chosen = [
        (place, new[index])
        for index, (place, new) in enumerate(zip(places, kinds, strict=False))
        if (new[index] - values[place]) % MODULUS
    ]
    entries = np.array([place for place, _ in chosen], dtype=np.int64)
    forged = np.array([value for _, value in chosen], dtype=object)
    return Changes(len(chosen), {name: Part(entries, forged, np.arange(len(chosen)))})
