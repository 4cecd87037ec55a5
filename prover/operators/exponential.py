"""The tables that every softmax reads: exponentials of a 16-bit digit, and whether the digit above it is zero.

MEANING    (33 + saturated, z, e) with e = EXP[z] where saturated = 0 and e = 0 where it is 1;  (40, v, [v > 0])
RELATIONS  none: tables only, shared by attend.py, routing_weights.py and routed_rows.py.
REFUSED    nothing by itself: a value without a row is refused by the operator that looks it up.
"""

from __future__ import annotations

from ..program import Kind, Tensor
from ..relations import Bits, Constant, LookupTable, Ref
from ..tables import (
    EXPONENTIAL_DIGIT_BITS,
    EXPONENTIAL_TAG,
    SATURATION_BITS,
    SATURATION_TAG,
    Counter,
    NonZero,
    exponential_table,
)

EXPONENTIAL_TABLE = LookupTable(
    "exponential",
    "exponential_row",
    Bits(EXPONENTIAL_DIGIT_BITS + 1),
    Constant(EXPONENTIAL_TAG) + Ref("exponential_saturated"),
    Ref("exponential_first"),
    Ref("exponential_second"),
)
SATURATION_TABLE = LookupTable(
    "saturation",
    "saturation_row",
    Bits(SATURATION_BITS),
    Constant(SATURATION_TAG),
    Ref("saturation_first"),
    Ref("saturation_second"),
)
EXPONENTIAL_TENSORS = (
    Tensor("exponential_saturated", ("exponential_row",), Kind.CLOSED_FORM, Counter(bit_count=1)),
    Tensor("exponential_first", ("exponential_row",), Kind.CLOSED_FORM, Counter(first_bit=1)),
    Tensor("exponential_second", ("exponential_row",), Kind.CONSTANT, values=exponential_table),
)
SATURATION_TENSORS = (
    Tensor("saturation_first", ("saturation_row",), Kind.CLOSED_FORM, Counter()),
    Tensor("saturation_second", ("saturation_row",), Kind.CLOSED_FORM, NonZero()),
)
