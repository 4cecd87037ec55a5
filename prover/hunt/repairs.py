"""The forger: goes on from a change until every relation holds again, or one has no value left that could give way.

Whatever a relation notices, the forger solves for one more value: in the field (a remainder that is a fraction, a
limb that carries 1/2^16), in the integers (a carry into the next limb), or honestly (the output that a table has for
the forged input). The relation with the fewest values left comes first, as in any constraint solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..field.arrays import MODULUS
from ..quads import POWERS, QUAD
from ..relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    ProductTerm,
    Ref,
    Relation,
    references,
)
from ..tables import RANGE_BITS
from .noticing import Changes, Hunt, Part, centred

DEPTH = 12
"""Tensors that a forgery may change at most."""
_TRIES = 16
"""Factors of a term that are tried for one that counts (a padded weight does not)."""
_FIXED = (False, False)


@dataclass(frozen=True)
class Slot:
    """A place of a relation that a value can give way in: a reference of its expression, or a factor of a term."""

    ref: Ref
    expression: Expression | None = None
    term: ProductTerm | None = None


@dataclass(frozen=True)
class DeadEnd:
    """A forgery that no repair saves: the relation that no other value can satisfy, and what was changed by then."""

    relation: str
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Survivor:
    """Forged witnesses that satisfy every relation."""

    changes: Changes


class Forger:
    """Repairs forged witnesses. `free`: tensors that it may choose; the generator picks among equal factors."""

    def __init__(self, hunt: Hunt, free: frozenset[str], generator: np.random.Generator) -> None:
        self._hunt, self._free, self._generator = hunt, free, generator

    def repairs(self, changes: Changes) -> Iterator[DeadEnd | Survivor]:
        """Every way to make the relations that notice the changes hold again, one more tensor at a time. A tensor gives
        way once, or twice if it is summed over (limbs, selectors): then another entry of it may take up the rest."""
        return self._repairs(changes, tuple(changes.parts))

    def _repairs(self, changes: Changes, trail: tuple[str, ...]) -> Iterator[DeadEnd | Survivor]:
        failing = self._hunt.noticed(changes)
        unseen = np.flatnonzero(~np.any([*failing.values(), np.zeros(changes.count, dtype=bool)], axis=0))
        if len(unseen):
            yield Survivor(changes.of(unseen))
        left = {name: (name not in trail, trail.count(name) < 2) for name in self._free}
        violated = [r for r in self._hunt.relations if r.name in failing and failing[r.name].any()]
        rest = np.ones(changes.count, dtype=bool)
        for relation in sorted(violated, key=lambda r: len(_slots(r, left))):
            chosen = np.flatnonzero(rest & failing[relation.name])
            rest &= ~failing[relation.name]
            if not len(chosen):
                continue
            subset, hopeful = changes.of(chosen), 0
            for slot in _slots(relation, left) if len(trail) < DEPTH else ():
                for repaired in self._repaired(subset, relation, slot):
                    hopeful += repaired.count
                    yield from self._repairs(repaired, (*trail, slot.ref.tensor))
            if hopeful < len(chosen):
                yield DeadEnd(relation.name, trail)

    def _repaired(self, changes: Changes, relation: Relation, slot: Slot) -> Iterator[Changes]:
        """The changes with one more tensor solved so that the relation holds again; groups for which that is
        impossible are left out. The sides of a contraction keep their difference, of quads the whole one, at any digit; the
        column of a lookup keeps its value, or else takes one that the table has."""
        targets = list(self._hunt.rises(changes, relation))
        if isinstance(relation, Lookup):
            targets += self._misses(changes, relation)
        elif isinstance(relation, Contraction) and relation.quads and slot.term is None:
            targets += [(None, *self._at_one_digit(*rises)) for _, *rises in targets]
        for expression, groups, places, rise in targets:
            if expression is not None and expression != slot.expression:
                continue
            solve = self._in_expression if slot.term is None else self._in_term
            entries, needed = solve(changes, relation, slot, groups, places, -rise)
            yield from self._extended(changes, slot.ref.tensor, groups, entries, needed)

    def _at_one_digit(
        self, groups: np.ndarray, places: np.ndarray, rises: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By how much each quad rises, as the rise of one of its digits that is drawn."""
        quads = places // QUAD
        totals: dict[tuple[int, int], int] = {}
        for group, quad, digit, rise in zip(
            groups.tolist(), quads.tolist(), (places % QUAD).tolist(), rises, strict=True
        ):
            totals[group, quad] = totals.get((group, quad), 0) + int(rise) * POWERS[digit]
        digits = self._generator.integers(0, QUAD, len(totals))
        parts = [
            (group, quad * QUAD + digit, total * pow(POWERS[digit], -1, MODULUS) % MODULUS)
            for ((group, quad), total), digit in zip(totals.items(), digits.tolist(), strict=True)
        ]
        found = np.array(parts, dtype=object).reshape(-1, 3)
        return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2]

    def _misses(
        self, changes: Changes, relation: Lookup
    ) -> Iterator[tuple[Expression, np.ndarray, np.ndarray, np.ndarray]]:
        """By how much a lookup misses the rows of its table, in the form of `rises`: the value of a range misses it by
        the multiple of 2^k that a carry would take, the output of a function by its distance from the true one."""
        parts = (relation.tag, relation.first, relation.second)
        refs = list(dict.fromkeys(ref for part in parts for ref in references(part)))
        for places, groups, _, after in self._hunt.readings(changes, refs, relation.domain):
            tags, firsts, seconds = (self._hunt.column(part, after, len(places)) for part in parts)
            carries, distances = np.zeros((2, len(places)), dtype=object)
            for index, (tag, first, second) in enumerate(zip(tags, firsts, seconds, strict=True)):
                if (tag, first) in self._hunt.outputs:
                    distances[index] = second - self._hunt.outputs[tag, first]
                elif relation.second == Constant(0) and 0 < tag <= RANGE_BITS:
                    carries[index] = centred(first) >> tag << tag
            for expression, rises in ((relation.first, carries), (relation.second, distances)):
                missing = (rises % MODULUS != 0) & self._hunt.reads(relation, places)
                if missing.any():
                    yield expression, groups[missing], places[missing], rises[missing]

    def _in_expression(
        self,
        changes: Changes,
        relation: Relation,
        slot: Slot,
        groups: np.ndarray,
        places: np.ndarray,
        wanted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(entries, change of each) that raise the slot's expression by `wanted`; None where it is not linear."""
        assert slot.expression is not None
        domain = relation.output if isinstance(relation, Contraction) else relation.domain
        refs = dict.fromkeys(references(slot.expression))
        columns = {ref: self._hunt.after(changes, ref, domain, places, groups) for ref in refs}
        level = [
            self._hunt.column(slot.expression, {**columns, slot.ref: columns[slot.ref] + step}, len(places))
            for step in (0, 1, 2)
        ]
        slope = (level[1] - level[0]) % MODULUS
        slope[(level[2] - 2 * level[1] + level[0]) % MODULUS != 0] = 0
        return self._hunt.entries(slot.ref, domain)[places], _quotients(wanted, slope)

    def _in_term(
        self,
        changes: Changes,
        relation: Relation,
        slot: Slot,
        groups: np.ndarray,
        places: np.ndarray,
        wanted: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for one entry of a factor, the first from a random place on that counts."""
        assert slot.term is not None and isinstance(relation, Contraction)
        domain = (*relation.output, *slot.term.summed)
        inner = int(np.prod(self._hunt.shape(slot.term.summed), dtype=np.int64))
        others = [factor for factor in slot.term.factors if factor != slot.ref]
        start = self._generator.integers(0, inner, len(places))
        needed = np.full(len(places), None, dtype=object)
        entries = np.zeros(len(places), dtype=np.int64)
        for turn in range(min(inner, _TRIES)):
            index = places * inner + (start + turn) % inner
            slope = np.full(len(places), -self._hunt.scalar(slot.term.coefficient), dtype=object)
            for other in others:
                slope = slope * self._hunt.after(changes, other, domain, index, groups)
            quotients = _quotients(wanted, slope)
            fresh = np.array([n is None and q is not None for n, q in zip(needed, quotients, strict=True)])
            fresh &= ~self._hunt.changed(changes, slot.ref, domain, index, groups)
            needed[fresh] = quotients[fresh]
            entries[fresh] = self._hunt.entries(slot.ref, domain)[index[fresh]]
        return entries, needed

    def _extended(
        self, changes: Changes, name: str, groups: np.ndarray, entries: np.ndarray, needed: np.ndarray
    ) -> Iterator[Changes]:
        """The changes with one more part, in several batches where groups want the same entry. A group is left out
        when a place has no solution, or when two of its places want different values of one entry."""
        wanted: dict[int, dict[int, int | None]] = {}
        for group, entry, change in zip(groups.tolist(), entries.tolist(), needed, strict=True):
            of_group = wanted.setdefault(group, {})
            of_group[entry] = change if of_group.get(entry, change) == change else None
        before: dict[int, set[int]] = {group: set() for group in wanted}
        if name in changes.parts:
            part = changes.parts[name]
            for group, entry in zip(part.groups.tolist(), part.entries.tolist(), strict=True):
                before.setdefault(group, set()).add(entry)
        waiting = [group for group, of_group in wanted.items() if None not in of_group.values()]
        waiting = [group for group in waiting if not before[group] & wanted[group].keys()]
        while waiting:
            taken: set[int] = set()
            batch, later = [], []
            for group in waiting:
                claimed = before[group] | wanted[group].keys()
                if claimed & taken:
                    later.append(group)
                    continue
                batch.append(group)
                taken |= claimed
            yield self._joined(changes, name, {group: wanted[group] for group in batch})
            waiting = later

    def _joined(self, changes: Changes, name: str, wanted: Mapping[int, Mapping[int, int | None]]) -> Changes:
        old = self._hunt.value(name)
        rows = [
            (e, int(old[e]) + (c or 0), group) for group, pairs in wanted.items() for e, c in pairs.items()
        ]
        entries, values, groups = zip(*rows, strict=True)
        part = Part(
            np.array(entries, dtype=np.int64),
            np.array([centred(value) for value in values], dtype=object),
            np.array(groups, dtype=np.int64),
        )
        return changes.joined(name, part).of(np.array(sorted(wanted), dtype=np.int64))


def _slots(relation: Relation, free: Mapping[str, tuple[bool, bool]]) -> list[Slot]:
    """Where a relation reads tensors that may still give way: (in an expression, as a factor) by name."""
    expressions: tuple[Expression, ...]
    if isinstance(relation, Lookup):
        expressions = (relation.tag, relation.first, relation.second)
    else:
        expressions = (relation.expression,)
    found = [
        Slot(ref, expression)
        for expression in expressions
        for ref in dict.fromkeys(references(expression))
        if free.get(ref.tensor, _FIXED)[0]
    ]
    if isinstance(relation, Contraction):
        for term in relation.terms:
            found += [Slot(f, None, term) for f in term.factors if free.get(f.tensor, _FIXED)[1]]
    return found


def _quotients(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Field quotients; None where the denominator is zero."""
    inverses = {d: pow(d, -1, MODULUS) for d in set(denominators.tolist()) if d % MODULUS}
    result = np.full(len(denominators), None, dtype=object)
    for index, (n, d) in enumerate(zip(numerators, denominators, strict=True)):
        if d % MODULUS:
            result[index] = centred(int(n) * inverses[d])
    return result
