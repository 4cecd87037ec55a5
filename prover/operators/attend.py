"""Causal softmax attention with grouped queries, exactly and without dividing T^2 numbers.

MEANING    score[t,u] = q[t] . k[u];  m[t] = max over visible u (u <= t);  z = m - score
           e = EXP[z >> shift], zero beyond 2^16 and where u is masked (exponential.py; e = 65535 at z = 0)
           S[t] = sum_u e;  context = floor((2 sum_u e v + S) / (2 S))
BOUNDS     |score| <= OFFSET / 4 where OFFSET = 2^offset_bits: by the widths of q and k, or by the norms in front of
           them. Every index z >> shift has digits (checked when the operator is made). |v|, |context| < 2^(bits-1).
           These bounds make true statements provable; no false one needs them.
RELATIONS  distance   Contraction (z >> shift by its digits) 2^shift + z_rem - m - OFFSET * mask = - sum_c q k, with all
                      digits in range: z >= 0 everywhere
           e          as in exponential.py, hidden by the mask, which the verifier evaluates: a masked pair has weight zero
                      whatever its score is, so nobody's gains can lift a key of the future over the offset
           m          a selector b with sum_u b[t,u] = 1 and b * (z + mask) = 0 pointwise: some pair has z = 0 and is visible,
                      since neither z nor mask is negative, and z >= 0 at every other one: m is the maximum
           S          Contraction S = sum_u e
           context    Contraction 2 S context + remainder - S = 2 sum_u e v;  remainder >= 0 and
                      2 S - 1 - remainder >= 0 by limbs; context in range. S >= 65535, so the quotient is unique.
REFUSED    never: z fits its digits by the widths of q and k, S by the number of rows, and a mean of values in range is
           in range. Keys and values themselves are refused by the step that writes them.
REACH      a layer may see the last `reach` positions only. Those further back are masked like the future: the mask is
           [u > t] + (2 - kind) [u + reach <= t] with the step-key integer `kind`, 1 for such a layer, 2 for one that
           sees everything. Both masks are closed forms and never overlap, so their sum hides like one; u = t is always
           visible.
TWO PARTS  a key may have a second part, of an axis of its own: score[t,u] = q[t] . k[u] + q2[t] . k2[u]. Latent attention has: what
           is compared without positions, which is what is averaged too, and what turns with the position.
PADDING    padded heads have q = k = v = 0. Everything of theirs over pairs of positions is zero by a relation each, and their lookups
           read nothing, so that chunks of them alone need no commitment: with real = [a real head], a closed form, b sums to real,
           the mask weighs OFFSET real in the distance, and 2 S + 1 - real is what context is divided by: 1, of 0. Context rows
           behind the statement's window are zero, since nobody wrote them, and masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Arrays, Places, Rows
from ..program import WINDOW_ROWS, Kind, OperatorBase, Program, RunContext, Span, Tensor, WitnessContext
from ..relations import (
    Constant,
    Contraction,
    Expression,
    Lookup,
    LookupTable,
    Parameter,
    ParameterBits,
    Pointwise,
    ProductTerm,
    Ref,
    Relation,
    Segment,
)
from ..tables import (
    RANGE_BITS,
    BeyondWindow,
    CausalMask,
    Inside,
)
from .exponential import LARGEST_DISTANCE, LARGEST_HIDDEN_DISTANCE, Exponential, zero_outside
from .rounding import RangeCheck, SignedRange
from .run_arrays import FEW_ROWS, arrays_of

SCORES = ("kv_group", "query", "row", "context")
STATISTICS = ("kv_group", "query", "row")
HEADS = ("kv_group", "query", "row", "head_channel")

REAL_HEADS = "real_heads"
SUM_BITS = 32  # 2 S < 2^32 for every context up to 2^15 rows
MOST_POSITIONS = 1 << 15
"""2 S <= 2 * 65535 * rows < 2^SUM_BITS for as many rows; a model with more is refused when its programs are made."""


@dataclass(frozen=True)
class Attend(OperatorBase):
    """output[g, h, t] = softmax-weighted mean of v[g] for query t of head (g, h).

    groups: how the axis `any_group` of keys and values is indexed by the groups at hand; None where keys and values have these
    groups only. queries: where queries are a stream of all heads, how its axis `any_query` is indexed by those at hand; its groups are
    indexed like those of the keys. group_count, query_count: how many groups and queries in each are at hand; those behind them are
    padding. second: query, key and axis of the second part of a score.
    """

    query: str
    key: str
    value: str
    output: str
    shift: int  # score scale minus the scale of z (12)
    offset_bits: int
    bits: int
    reach: int | None = None
    selector: str | None = None
    groups: tuple[Segment, ...] | None = None
    group_count: int = 1
    queries: tuple[Segment, ...] | None = None
    query_count: int = 1
    second: tuple[str, str, str] | None = None

    def __post_init__(self) -> None:
        # |m - score| <= OFFSET / 2, so z is at most that where it is visible, and OFFSET / 2 to 3/2 OFFSET where it is not
        if not 1 <= self.shift <= RANGE_BITS:
            raise ValueError(f"scores are shifted by {self.shift}; one lookup checks 1 to {RANGE_BITS} bits")
        visible, hidden = (parts << (self.offset_bits - 1) >> self.shift for parts in (1, 3))
        if visible > LARGEST_DISTANCE or hidden > LARGEST_HIDDEN_DISTANCE:
            raise ValueError(
                f"score distances of {self.offset_bits + 1} bits do not fit the digits at shift {self.shift}; "
                "queries and keys need fewer bits or a larger scale"
            )
        if (self.reach is None) != (self.selector is None):
            raise ValueError("attention over a limited reach needs the step-key integer that selects it")
        _ = self._reach_mask

    @property
    def _reach_mask(self) -> BeyondWindow | None:
        return None if self.reach is None else BeyondWindow(self.reach)

    def parameters(self) -> Sequence[str]:
        segments = (*(self.groups or ()), *(self.queries or ()))
        selected = [segment.name for segment in segments if isinstance(segment, ParameterBits)]
        return (*(() if self.selector is None else (self.selector,)), *selected)

    @property
    def _query(self) -> Ref:
        if self.queries is None:
            return Ref(self.query)
        assert self.groups is not None  # a stream of all heads is read with keys of all groups
        return Ref(self.query, (("any_group", self.groups), ("any_query", self.queries)))

    def _of_groups(self, name: str) -> Ref:
        return Ref(name) if self.groups is None else Ref(name, (("any_group", self.groups),))

    def _own(self, rows: Rows, parameters: Mapping[str, int], arrays: Arrays) -> Rows:
        """The groups at hand of all, (groups, positions, head_size); those that the model does not have are zero."""
        return (
            rows if self.groups is None else _run(rows, 0, self.groups, self.group_count, parameters, arrays)
        )

    def _own_queries(self, rows: Rows, parameters: Mapping[str, int], arrays: Arrays) -> Rows:
        """The queries at hand of all, (rows, groups, queries, head_size)."""
        if self.queries is None:
            return rows
        assert self.groups is not None
        rows = _run(rows, 1, self.groups, self.group_count, parameters, arrays)
        return _run(rows, 2, self.queries, self.query_count, parameters, arrays)

    @property
    def _second_refs(self) -> tuple[Ref, Ref]:
        assert self.second is not None
        return Ref(self.second[0]), self._of_groups(self.second[1])

    @property
    def _padded(self) -> bool:
        """Whether the axes of heads have entries that are no heads."""
        return any(count & (count - 1) for count in self._counts)

    @property
    def _counts(self) -> tuple[int, int]:
        return self.group_count, self.query_count

    @property
    def _real(self) -> Expression:
        """One for a head, zero for padding."""
        return Ref(REAL_HEADS) if self._padded else Constant(1)

    def limits(self) -> Mapping[str, int]:
        return {self.output: 1 << (self.bits - 1)}

    def bounded(self) -> Sequence[str]:
        return (self.output,)  # a mean of values, which are checked themselves

    @property
    def _remainder_checks(self) -> tuple[RangeCheck, RangeCheck]:
        remainder, total = Ref(f"{self.output}_remainder"), Ref("weight_sum")
        return (
            RangeCheck(f"{self.output}_remainder", HEADS, remainder, SUM_BITS),
            RangeCheck(
                f"{self.output}_complement", HEADS, Constant(2) * total - self._real - remainder, SUM_BITS
            ),
        )

    @property
    def _range(self) -> SignedRange:
        return SignedRange(self.output, HEADS, self.bits)

    @property
    def _mask(self) -> Expression:
        mask: Expression = Ref("causal_mask")
        if self.selector is not None:
            mask = mask + (Constant(2) - Parameter(self.selector)) * Ref("reach_mask")
        return mask

    @property
    def _weights(self) -> Exponential:
        return Exponential(SCORES, self._mask, REAL_HEADS if self._padded else None)

    def tables(self) -> Sequence[LookupTable]:
        return self._weights.tables()

    def tensors(self) -> Sequence[Tensor]:
        beyond: tuple[Tensor, ...] = ()
        if self._reach_mask is not None:
            beyond = (Tensor("reach_mask", ("row", "context"), Kind.CLOSED_FORM, self._reach_mask),)
        inside = REAL_HEADS if self._padded else None
        if inside is not None:
            beyond += (Tensor(inside, ("kv_group", "query"), Kind.CLOSED_FORM, Inside(self._counts)),)
        return (
            *self._weights.tensors(),
            Tensor("causal_mask", ("row", "context"), Kind.CLOSED_FORM, CausalMask()),
            *beyond,
            *(
                Tensor(name, SCORES, Kind.WITNESS, inside=inside)
                for name in ("distance_remainder", "max_selector")
            ),
            Tensor("score_max", STATISTICS, Kind.WITNESS),
            Tensor("weight_sum", STATISTICS, Kind.WITNESS),
            Tensor(self.output, HEADS, Kind.WITNESS),
            Tensor(f"{self.output}_remainder", HEADS, Kind.WITNESS),
            *(tensor for check in self._remainder_checks for tensor in check.tensors()),
            *self._range.check.tensors(),
        )

    def run(self, context: RunContext) -> None:
        arrays, limit = arrays_of(context), 1 << (self.bits - 1)
        query = self._own_queries(context.tensors[self.query], context.parameters, arrays)
        if self.second is not None:
            query = arrays.join([query, context.tensors[self.second[0]]], -1)
        reach = self.reach if self._is_local(context.parameters) else None
        reach = reach or MOST_POSITIONS
        if context.spans:
            output = self._attend_spans(context, query, reach)
        else:
            start, known = int(context.positions[0]), self.keep(context)
            output = self._attend(query, known, start, reach, context.parameters, arrays)
        context.store(self.output, output, limit, fits=arrays.fits(output, limit))

    def keep(self, context: RunContext) -> dict[str, Rows]:
        """Keys and values of all positions so far, by tensor."""
        arrays, start = arrays_of(context), int(context.positions[0])
        return {
            name: _extend(context.cache, name, context.tensors[name], start, arrays) for name in self._kept
        }

    @property
    def _kept(self) -> tuple[str, ...]:
        """Names of what is attended to."""
        return (self.key, self.value, *(() if self.second is None else (self.second[1],)))

    def _attend(
        self,
        query: Rows,
        known: Mapping[str, Rows],
        start: int,
        reach: int,
        parameters: Mapping[str, int],
        arrays: Arrays,
    ) -> Rows:
        """Rows of one sequence from position `start` on; `known` holds (groups, start + rows or more, size) by name."""
        keys, values = (self._own(known[name], parameters, arrays) for name in (self.key, self.value))
        if self.second is not None:
            end = start + len(query)
            both = keys, self._own(known[self.second[1]], parameters, arrays)
            keys = arrays.join([part[:, :end] for part in both], -1)
        return arrays.attend(query, keys, values, start, reach, self.shift)

    def _attend_spans(self, context: RunContext, query: Rows, reach: int) -> Rows:
        """The same integers for every sequence of a pass: those with few rows in one go over the blocks, the others by turns."""
        arrays, blocks = arrays_of(context), dict[str, Rows]()
        if context.blocks is not None:
            blocks = {name: context.blocks.extend(name, context.tensors[name]) for name in self._kept}
        output = arrays.empty((*query.shape[:3], context.tensors[self.value].shape[2]))
        if context.blocks is not None and context.blocks.few is not None:
            self._attend_few(context, query, blocks, context.blocks.few, reach, output)
        for span in context.spans:
            if span.blocks.size and span.rows < FEW_ROWS:
                continue
            rows = slice(span.first, span.end)
            if span.start == 0:
                known = {name: context.tensors[name][rows].swapaxes(0, 1) for name in self._kept}
            else:
                known = {name: _gather(blocks[name], span, arrays) for name in self._kept}
            output[rows] = self._attend(query[rows], known, span.start, reach, context.parameters, arrays)
        return output

    def _attend_few(
        self,
        context: RunContext,
        query: Rows,
        blocks: Mapping[str, Rows],
        places: Places,
        reach: int,
        output: Rows,
    ) -> None:
        keys = blocks[self.key]
        more = keys[:, :, :, :0] if self.second is None else blocks[self.second[1]]
        segments = self.groups or ()
        run = next((context.parameters[s.name] - 1 for s in segments if isinstance(s, ParameterBits)), 0)
        arrays_of(context).attend_blocks(
            query,
            places,
            (keys, more, blocks[self.value]),
            run * self.group_count,
            reach,
            self.shift,
            output,
        )

    def _is_local(self, parameters: Mapping[str, int]) -> bool:
        return self.selector is not None and parameters[self.selector] == 1

    def witness(self, context: WitnessContext) -> None:
        tensors = context.tensors
        query = context.over(self._query, HEADS).astype(np.float64)
        key, value = (
            context.gather(self._of_groups(name)).astype(np.float64) for name in (self.key, self.value)
        )
        score = np.einsum("ghtc,ugc->ghtu", query, key, optimize=True).astype(np.int64)
        if self.second is not None:
            more_query, more_key = (context.gather(ref).astype(np.float64) for ref in self._second_refs)
            score += np.einsum("ghtc,ugc->ghtu", more_query, more_key, optimize=True).astype(np.int64)
        mask = tensors["causal_mask"]
        if self._is_local(context.parameters):
            mask = mask + tensors["reach_mask"]
        real = tensors[REAL_HEADS][..., None, None] if self._padded else np.ones((1, 1, 1, 1), dtype=np.int64)
        largest = self._largest(score, mask)
        distance = largest[..., None] - score + real * (mask << self.offset_bits)
        tensors["score_max"] = largest
        tensors["distance_remainder"] = distance & ((1 << self.shift) - 1)
        weight = self._weights.witness(tensors, distance >> self.shift, mask, real)
        selector = np.zeros_like(distance)
        np.put_along_axis(selector, distance.argmin(axis=-1)[..., None], real, axis=-1)
        tensors["max_selector"] = selector
        total = weight.sum(axis=-1)
        tensors["weight_sum"] = total
        mixed = np.einsum("ghtu,ugc->ghtc", weight.astype(np.float64), value, optimize=True).astype(np.int64)
        numerator, divisor = 2 * mixed + total[..., None], 2 * total[..., None] + 1 - real
        tensors[self.output] = numerator // divisor
        remainder = numerator - divisor * tensors[self.output]
        tensors[f"{self.output}_remainder"] = remainder
        complement = 2 * total[..., None] - real - remainder
        for check, values in zip(self._remainder_checks, (remainder, complement), strict=True):
            check.witness(context, values)
        self._range.witness(context)

    def _largest(self, score: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Of what a row sees."""
        return np.asarray(np.where(mask > 0, np.iinfo(np.int64).min, score).max(axis=-1))

    def relations(self, program: Program) -> Sequence[Relation]:
        weights, mask, unit = self._weights, self._mask, Constant(1 << self.shift)
        remainder = Ref("distance_remainder")
        in_sight = unit * weights.distance_in_sight + remainder
        distance = in_sight + unit * weights.more_where_hidden
        selector, weight, total = Ref("max_selector"), Ref("weight"), Ref("weight_sum")
        output = Ref(self.output)
        scores = [ProductTerm(Constant(-1), ("head_channel",), (self._query, self._of_groups(self.key)))]
        if self.second is not None:
            scores.append(ProductTerm(Constant(-1), (self.second[2],), self._second_refs))
        mixed = ProductTerm(Constant(2), ("context",), (weight, self._of_groups(self.value)))
        masked_max = Ref("score_max") + Constant(1 << self.offset_bits) * (
            mask * self._real if self._padded else mask
        )
        quotient = Constant(2) * total * output + Ref(f"{self.output}_remainder") - total
        if self._padded:
            quotient = quotient + (Constant(1) - self._real) * output
        inside = Ref(REAL_HEADS) if self._padded else None
        return (
            Contraction("distance", SCORES, distance - masked_max, tuple(scores)),
            Lookup("distance_remainder_range", SCORES, Constant(self.shift), remainder, where=inside),
            *weights.relations(),
            Contraction(
                "max_selected",
                STATISTICS,
                self._real,
                (ProductTerm(Constant(1), ("context",), (selector,)),),
            ),
            Pointwise("max_attained", SCORES, selector * (in_sight + mask)),
            Contraction(
                "weight_sum", STATISTICS, total, (ProductTerm(Constant(1), ("context",), (weight,)),)
            ),
            Contraction(self.output, HEADS, quotient, (mixed,)),
            *zero_outside(SCORES, inside, ("distance_remainder", "max_selector")),
            *(lookup for check in self._remainder_checks for lookup in check.relations()),
            *self._range.check.relations(),
        )


def _run(
    array: Rows,
    axis: int,
    segments: tuple[Segment, ...],
    count: int,
    parameters: Mapping[str, int],
    arrays: Arrays,
) -> Rows:
    """`count` entries of an axis, the run that a step-key integer counts from 1, or the first; zero beyond its end."""
    run = next((parameters[s.name] - 1 for s in segments if isinstance(s, ParameterBits)), 0)
    place = [slice(None)] * array.ndim
    place[axis] = slice(run * count, (run + 1) * count)
    found = array[tuple(place)]
    missing = count - found.shape[axis]
    return arrays.pad_end(found, axis, missing) if missing else found


def _extend(cache: dict[str, Rows], name: str, new: Rows, start: int, arrays: Arrays) -> Rows:
    """All positions so far, (kv_groups, start + rows or more, head_size) int32: a buffer that grows by doubling, whole, since a part
    of it would be copied for the kernels.

    `new` is (rows, kv_groups, head_size), of streams, whose widths are below 32 bits.
    """
    end, buffer = start + new.shape[0], cache.get(name)
    if buffer is None or buffer.shape[1] < end:
        capacity = end if buffer is None else max(end, 2 * buffer.shape[1])
        grown = arrays.kept((new.shape[1], capacity, new.shape[2]))
        if buffer is not None:
            grown[:, :start] = buffer[:, :start]
        cache[name] = buffer = grown
    buffer[:, start:end] = new.swapaxes(0, 1)
    return buffer


def _gather(blocks: Rows, span: Span, arrays: Arrays) -> Rows:
    """A sequence's rows out of their blocks up to those of the pass, (groups, positions, size)."""
    end = span.start + span.rows
    found = blocks[arrays.of(span.blocks[: -(-end // WINDOW_ROWS)])].swapaxes(0, 1)
    return found.reshape(found.shape[0], -1, found.shape[3])[:, :end]
