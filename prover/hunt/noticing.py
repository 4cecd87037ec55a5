"""Which relations notice which change of a witness, for thousands of changes at once.

*Group* k of a `Changes` is one forged witness: it differs from the valid one in the entries that carry the number k.
A relation notices a group when it fails somewhere:

    Pointwise    expression(x) != 0 for some x that reads a changed entry
    Contraction  the changes of both sides at some x do not cancel
    Lookup       the row at some x that reads a changed entry is in no table

Every other place holds because the witness was valid, so evaluating these places is exact, and no sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import compress
from typing import Protocol

import numpy as np

from ..check import scalar_value
from ..field.arrays import MODULUS
from ..program import Tensor, broadcast, gather, relation_expressions
from ..quads import POWERS, QUAD, to_quads
from ..relations import (
    Bits,
    Challenge,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Pointwise,
    Product,
    ProductTerm,
    Ref,
    Relation,
    Sum,
    references,
)

Columns = Mapping[Ref, np.ndarray]


class Shapes(Protocol):
    """What the hunt needs of a program or a plan."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...

    @property
    def axes(self) -> Mapping[str, Bits]: ...


@dataclass(frozen=True)
class Part:
    """Changed entries of one tensor, all (m,): flat positions int64, new values object, group numbers int64."""

    entries: np.ndarray
    values: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Changes:
    """`count` forged witnesses. No entry of a tensor belongs to two of them."""

    count: int
    parts: Mapping[str, Part]

    def joined(self, name: str, part: Part) -> Changes:
        """With one more part; entries that a group has changed before are not in it."""
        before = self.parts.get(name)
        if before is not None:
            part = Part(
                np.concatenate([before.entries, part.entries]),
                np.concatenate([before.values, part.values]),
                np.concatenate([before.groups, part.groups]),
            )
        return Changes(self.count, {**self.parts, name: part})

    def of(self, groups: np.ndarray) -> Changes:
        """The chosen groups (sorted numbers), numbered anew from 0."""
        parts = {}
        for name, part in self.parts.items():
            kept = np.isin(part.groups, groups)
            numbers = np.searchsorted(groups, part.groups[kept])
            parts[name] = Part(part.entries[kept], part.values[kept], numbers)
        return Changes(len(groups), parts)


class Hunt:
    """Evaluates relations of one valid witness at changed places.

    shapes: the program, or a plan when `relations` speak of its columns too; challenges: values of beta and gamma then.
    """

    def __init__(
        self,
        shapes: Shapes,
        relations: Sequence[Relation],
        tables: Sequence[LookupTable],
        tensors: Mapping[str, np.ndarray],
        parameters: Mapping[str, int],
        publics: Mapping[str, int],
        context_bits: int,
        challenges: Mapping[str, int] | None = None,
    ) -> None:
        self._shapes, self.relations = shapes, tuple(relations)
        self._parameters, self._publics, self._context_bits = parameters, publics, context_bits
        self._challenges = challenges or {}
        self._flat = {name: np.asarray(v).astype(object).reshape(-1) for name, v in tensors.items()}
        self._entries: dict[tuple[Ref, tuple[str, ...]], np.ndarray] = {}
        self._read_by = {
            r.name: {f.tensor for e in relation_expressions(r) for f in references(e)} for r in relations
        }
        self.rows = self._table_rows(tables)
        """(tag, first, second) of every table, canonical."""

    def only(self, relations: Sequence[Relation]) -> Hunt:
        """The same hunt over other relations of the same program."""
        other = copy(self)
        other.relations = tuple(relations)
        return other

    @cached_property
    def outputs(self) -> dict[tuple[int, int], int]:
        """second by (tag, first), over all tables."""
        return {(tag, first): second for tag, first, second in self.rows}

    # --- evaluating -------------------------------------------------------------------------------------

    def value(self, name: str) -> np.ndarray:
        """A tensor's valid values, flat objects."""
        return self._flat[name]

    def axes_of(self, name: str) -> tuple[str, ...]:
        """A tensor's axes."""
        return self._shapes.tensors[name].axes

    def shape(self, axes: Sequence[str]) -> tuple[int, ...]:
        """Padded sizes of axes."""
        return tuple(1 << self._shapes.axes[axis].resolve(self._context_bits) for axis in axes)

    def entries(self, ref: Ref, domain: tuple[str, ...]) -> np.ndarray:
        """Flat position that a reference reads at every index of the domain, (product of sizes,) int64."""
        key = (ref, domain)
        if key not in self._entries:
            shape = self.shape(self.axes_of(ref.tensor))
            positions = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
            integers = {**self._publics, **self._parameters}
            array, axes = gather(positions, self._shapes, ref, integers, self._context_bits)  # type: ignore[arg-type]
            over = np.broadcast_to(broadcast(array, axes, domain), self.shape(domain))
            self._entries[key] = np.ascontiguousarray(over).reshape(-1)
        return self._entries[key]

    def evaluate(self, expression: Expression, columns: Columns) -> np.ndarray | int:
        """An expression on columns of equal length."""
        match expression:
            case Sum(terms):
                return reduce(lambda a, b: a + b, (self.evaluate(t, columns) for t in terms))
            case Product(factors):
                return reduce(lambda a, b: a * b, (self.evaluate(f, columns) for f in factors))
            case Ref():
                return columns[expression]
            case Challenge(name):
                return self._challenges[name]
        return scalar_value(expression, self._parameters, self._publics)

    def column(self, expression: Expression, columns: Columns, size: int) -> np.ndarray:
        """An expression as `size` canonical field elements."""
        value = np.asarray(self.evaluate(expression, columns), dtype=object)
        return np.broadcast_to(value, size) % MODULUS

    def _table_rows(self, tables: Sequence[LookupTable]) -> set[tuple[int, int, int]]:
        rows: set[tuple[int, int, int]] = set()
        for table in tables:
            parts = (table.tag, table.first, table.second)
            refs = {ref for part in parts for ref in references(part)}
            columns = {ref: self._flat[ref.tensor] for ref in refs}
            (size,) = self.shape((table.axis,))
            rows |= set(zip(*(self.column(part, columns, size) for part in parts), strict=True))
        return rows

    # --- what changes read -------------------------------------------------------------------------------

    def readings(
        self, changes: Changes, refs: Sequence[Ref], domain: tuple[str, ...]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, Columns, Columns]]:
        """(places, groups, columns before, columns after): every pair of a place and a group that it reads, once."""
        touched = [ref for ref in refs if ref.tensor in changes.parts]
        dense = {name: self.dense(changes, name) for name in {ref.tensor for ref in touched}}
        groups_at = {ref: dense[ref.tensor][0][self.entries(ref, domain)] for ref in touched}
        for index, driver in enumerate(touched):
            active = groups_at[driver] >= 0
            for earlier in touched[:index]:
                active &= groups_at[earlier] != groups_at[driver]
            places = np.flatnonzero(active)
            if not len(places):
                continue
            groups = groups_at[driver][places]
            before = {ref: self._flat[ref.tensor][self.entries(ref, domain)[places]] for ref in refs}
            after = dict(before)
            for ref in touched:
                same = groups_at[ref][places] == groups
                new = dense[ref.tensor][1][self.entries(ref, domain)[places]]
                after[ref] = np.where(same, new, before[ref])
            yield places, groups, before, after

    def after(
        self, changes: Changes, ref: Ref, domain: tuple[str, ...], places: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """What a reference reads at the places, as group groups[i] has it at places[i]."""
        read = self.entries(ref, domain)[places]
        if ref.tensor not in changes.parts:
            return self._flat[ref.tensor][read]
        at, values = self.dense(changes, ref.tensor)
        return np.where(at[read] == groups, values[read], self._flat[ref.tensor][read])

    def changed(
        self, changes: Changes, ref: Ref, domain: tuple[str, ...], places: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """Whether group groups[i] has already changed what a reference reads at places[i]."""
        if ref.tensor not in changes.parts:
            return np.zeros(len(places), dtype=bool)
        return self.dense(changes, ref.tensor)[0][self.entries(ref, domain)[places]] == groups

    def dense(self, changes: Changes, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(group number or -1, forged or valid value) of every entry of a changed tensor."""
        part = changes.parts[name]
        groups = np.full(len(self._flat[name]), -1, dtype=np.int64)
        values = self._flat[name].copy()
        groups[part.entries], values[part.entries] = part.groups, part.values
        return groups, values

    def rises(
        self, changes: Changes, relation: Relation
    ) -> Iterator[tuple[Expression | None, np.ndarray, np.ndarray, np.ndarray]]:
        """(expression, groups, places, rise): by how much what a relation fixes changes, where it does.

        One item per expression that must keep its value: a pointwise expression, both sides of a contraction
        (expression None), the columns of a lookup.
        """
        match relation:
            case Pointwise():
                yield (None, *self._rise(changes, relation.expression, relation.domain))
            case Contraction():
                parts = [self._rise(changes, relation.expression, relation.output)]
                parts += [self._term_rise(changes, relation, term) for term in relation.terms]
                rises = _summed(parts)
                yield (None, *(_of_quads(*rises) if relation.quads else rises))
            case Lookup():
                for expression in (relation.tag, relation.first, relation.second):
                    groups, places, rise = self._rise(changes, expression, relation.domain)
                    reads = self.reads(relation, places)
                    yield expression, groups[reads], places[reads], rise[reads]

    def reads(self, relation: Lookup, places: np.ndarray) -> np.ndarray:
        """Whether a lookup reads anything at the places: where it stands says a closed form, which nobody changes."""
        if relation.where is None:
            return np.ones(len(places), dtype=bool)
        entries = self.entries(relation.where, relation.domain)[places]
        return np.asarray(self._flat[relation.where.tensor][entries] != 0, dtype=bool)

    def _rise(
        self, changes: Changes, expression: Expression, domain: tuple[str, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        refs = list(dict.fromkeys(references(expression)))
        parts = [
            (groups, places, self.evaluate(expression, after) - self.evaluate(expression, before))
            for places, groups, before, after in self.readings(changes, refs, domain)
        ]
        return _summed(parts)

    def _term_rise(
        self, changes: Changes, relation: Contraction, term: ProductTerm
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Minus the term, as in expression - sum of terms."""
        domain = (*relation.output, *term.summed)
        inner = int(np.prod(self.shape(term.summed), dtype=np.int64))
        refs = list(dict.fromkeys(term.factors))
        coefficient = self.scalar(term.coefficient)

        def product(columns: Columns) -> np.ndarray:
            return reduce(lambda a, b: a * b, (columns[factor] for factor in term.factors))

        parts = [
            (groups, places // inner, coefficient * (product(before) - product(after)))
            for places, groups, before, after in self.readings(changes, refs, domain)
        ]
        return _summed(parts)

    def scalar(self, expression: Expression) -> int:
        value = self.evaluate(expression, {})
        assert isinstance(value, int)
        return value

    # --- the valid witness --------------------------------------------------------------------------------

    def holds(self, relation: Relation) -> bool:
        """Whether a relation holds everywhere on the valid witness, which everything else here takes for granted."""
        if isinstance(relation, Lookup):
            parts = (relation.tag, relation.first, relation.second)
            columns = [self._everywhere(part, relation.domain) for part in parts]
            reads = self.reads(relation, np.arange(len(columns[0])))
            return all(row in self.rows for row in compress(zip(*columns, strict=True), reads))
        if isinstance(relation, Pointwise):
            return not self._everywhere(relation.expression, relation.domain).any()
        residue = self._everywhere(relation.expression, relation.output)
        for term in relation.terms:
            product = Product((term.coefficient, *term.factors))
            summed = self._everywhere(product, (*relation.output, *term.summed))
            residue = residue - summed.reshape(len(residue), -1).sum(axis=1)
        if relation.quads:
            residue = to_quads(residue)
        return not (residue % MODULUS).any()

    def _everywhere(self, expression: Expression, domain: tuple[str, ...]) -> np.ndarray:
        size = int(np.prod(self.shape(domain), dtype=np.int64))
        refs = dict.fromkeys(references(expression))
        columns = {ref: self._flat[ref.tensor][self.entries(ref, domain)] for ref in refs}
        return self.column(expression, columns, size)

    # --- noticing -----------------------------------------------------------------------------------------

    def noticed(self, changes: Changes) -> dict[str, np.ndarray]:
        """Per relation that reads a changed tensor: which groups it notices, (count,) bool."""
        result = {}
        for relation in self.relations:
            if self._read_by[relation.name] & changes.parts.keys():
                result[relation.name] = self._noticed_by(changes, relation)
        return result

    def unnoticed(self, changes: Changes) -> Changes:
        """The groups that no relation notices."""
        left = changes
        for relation in sorted(self.relations, key=lambda relation: isinstance(relation, Contraction)):
            if not left.count:
                break
            if self._read_by[relation.name] & left.parts.keys():
                left = left.of(np.flatnonzero(~self._noticed_by(left, relation)))
        return left

    def _noticed_by(self, changes: Changes, relation: Relation) -> np.ndarray:
        seen = np.zeros(changes.count, dtype=bool)
        if not isinstance(relation, Lookup):
            for _, groups, _, _ in self.rises(changes, relation):
                seen[groups] = True
            return seen
        parts = (relation.tag, relation.first, relation.second)
        refs = list(dict.fromkeys(ref for part in parts for ref in references(part)))
        for places, groups, _, after in self.readings(changes, refs, relation.domain):
            columns = [self.column(part, after, len(places)) for part in parts]
            outside = [row not in self.rows for row in zip(*columns, strict=True)]
            seen[groups[outside & self.reads(relation, places)]] = True
        return seen


def _summed(
    parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | int]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rises added up per (group, place); those that are zero in the field are left out."""
    parts = [part for part in parts if len(part[0])]
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros(0, dtype=object)
    groups = np.concatenate([g for g, _, _ in parts])
    places = np.concatenate([p for _, p, _ in parts])
    rises = np.concatenate([np.broadcast_to(np.asarray(r, dtype=object), len(g)) for g, _, r in parts])
    order = np.lexsort((places, groups))
    groups, places, rises = groups[order], places[order], rises[order]
    first = np.flatnonzero(np.r_[True, (np.diff(groups) != 0) | (np.diff(places) != 0)])
    totals = np.add.reduceat(rises, first) % MODULUS
    kept = totals != 0
    return groups[first][kept], places[first][kept], totals[kept]


def _of_quads(
    groups: np.ndarray, places: np.ndarray, rises: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those at places whose quad changes: a relation about quads does not see digits that make up for one another."""
    weighted = rises * np.array(POWERS, dtype=object)[places % QUAD]
    changed = {
        *zip(*(part.tolist() for part in _summed([(groups, places // QUAD, weighted)])[:2]), strict=True)
    }
    kept = [pair in changed for pair in zip(groups.tolist(), (places // QUAD).tolist(), strict=True)]
    return groups[kept], places[kept], rises[kept]


def centred(value: int) -> int:
    """The representative of smallest magnitude."""
    value %= MODULUS
    return value - MODULUS if value > MODULUS // 2 else value
