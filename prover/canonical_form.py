"""The canonical form of a verifying key: bytes that say all that the verifier does, and nothing about how it is written.

Its Keccak is the key's digest, which every transcript starts with and every model id depends on. So it must not change with
the names of classes or fields, nor with how Python prints them, and it must change with whatever changes the statement.

**Encoding.** A form is an integer, a text, or a list of forms. Its bytes are its bencoding, which is unambiguous:

    integer   "i" decimal "e"          no leading zeros, "-" in front if negative, never "-0"
    text      length ":" bytes         UTF-8; length in bytes, decimal
    list      "l" forms "e"

**Forms.** Lists that start with a tag; [..] is a list of any length, truth values are 0 or 1, numbers of index bits are
[fixed, context].

    segment      ["along", axis, flip]  ["public bits", name, bits]  ["parameter bits", name, bits]  ["fixed bits", value, bits]
    expression   ["constant", value]  ["parameter", name]  ["power of two", parameter, offset]  ["public", name]
                 ["challenge", name]  ["tensor", name, [[axis, [segment ..]] ..]]  ["sum", [expression ..]]
                 ["product", [expression ..]]
    relation     ["pointwise", name, [axis ..], expression]
                 ["contraction", name, [axis ..], expression, [[coefficient, [axis ..], [expression ..]] ..], quads]
                 ["lookup", name, [axis ..], tag, first, second]
    table        ["table", name, axis, bits, tag, first, second]
    closed form  ["range tag"]  ["range value"]  ["counter", offset, first bit, [bit count] or []]  ["non-zero"]
                 ["causal mask"]  ["beyond window", reach]  ["below", bound]  ["unit", place]  ["weighted", [weight ..]]
                 ["counted rows"]  ["real ids", vocabulary]  ["smaller ids"]  ["chosen ids"]
    declared     ["declared", name, [axis ..], kind, [closed form] or [], placed]
    zone         ["zone", phase, moving, [[tensor, first unit, bits of units] ..]]
    block        ["block", tensor, [axis's number ..], [[first, bits] ..] of these axes, place, chunks]
    evaluation   ["at", tensor, [part ..]], a part being ["slice", vector, start, width, flip] or a segment
    step key     ["step verifying key", domain of the transcript, program, mu, round degree, lookups per inverse,
                  [[axis, bits] ..], [declared ..], [relation ..], [table ..], [input ..], [[public integer, bound] ..],
                  [[stream, input] .. read], [[stream, input] .. written], [stream .. reset],
                  [parameter ..], [[axis, real size] ..] by name, [[x, y] of a chunk of tables ..], [zone ..],
                  [block of a weight ..], [block of a table ..], [evaluation that is sent ..]]
                 and behind that, of a private plan only,
                 ["private", degree of the last round, bits of M, [place ..] of the first mask chunk, of the second]
    embedding    ["embedding verifying key", domain of the transcript, rows, channel bits, mu]

Whatever has no form raises TypeError: a new kind of expression, relation or closed form gets its line here first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .block_layout import Block
from .curve.g1 import Point
from .evaluations import Evaluation, Slice
from .masks import complemented_places, mask_layout, places
from .plan import PUBLIC, Plan, Privacy
from .program import Kind, Program, Tensor
from .relations import (
    Along,
    Bits,
    Challenge,
    Constant,
    Contraction,
    Expression,
    FixedBits,
    Lookup,
    LookupTable,
    Parameter,
    ParameterBits,
    Pointwise,
    PowerOfTwo,
    Product,
    Public,
    PublicBits,
    Ref,
    Relation,
    Sum,
)
from .tables import (
    Below,
    BeyondWindow,
    CausalMask,
    ClosedForm,
    Counter,
    Inside,
    RangeTag,
    RangeValue,
    Unit,
    Weighted,
)
from .token_forms import ChosenIds, CountedRows, RealIds, SmallerIds
from .zones import Zone

Form = Any
"""int | str | Sequence[Form]"""

_KINDS = {
    Kind.WITNESS: "witness",
    Kind.BOUNDARY: "boundary",
    Kind.ROW: "row",
    Kind.WEIGHT: "weight",
    Kind.CONSTANT: "constant",
    Kind.CLOSED_FORM: "closed form",
}


def encode(form: Form) -> bytes:
    """The bytes of a form. Raises TypeError for anything that is neither integer, text nor list."""
    match form:
        case bool():
            return encode(int(form))
        case int():
            return b"i%de" % form
        case str():
            text = form.encode()
            return b"%d:%s" % (len(text), text)
        case list() | tuple():
            return b"l" + b"".join(encode(item) for item in form) + b"e"
    raise _formless(form)


def step_form(domain: str, plan: Plan, chunk_bits: int, constants: Sequence[Point]) -> Form:
    """The form of a step's verifying key."""
    program: Program = plan.program
    return [
        "step verifying key",
        domain,
        program.name,
        chunk_bits,
        plan.round_degree,
        plan.lookups_per_inverse,
        [[axis, bits_form(width)] for axis, width in plan.axes.items()],
        [tensor_form(tensor) for tensor in plan.tensors.values()],
        [relation_form(relation) for relation in program.relations],
        [table_form(table) for table in program.tables],
        [tensor.name for tensor in program.inputs],
        [[name, bound] for name, bound in program.public_scalars.items()],
        [[stream, name] for stream, name in program.reads.items()],
        [[stream, name] for stream, name in program.writes.items()],
        list(program.resets),
        [
            [name, program.parameter_limits[name]] if name in program.parameter_limits else name
            for name in program.parameters
        ],
        [[axis, size] for axis, size in sorted(program.real_sizes.items())],
        [list(point) for point in constants],
        [zone_form(zone) for zone in plan.zones],
        [block_form(block) for block in plan.key_layout(chunk_bits).blocks],
        [block_form(block) for block in plan.table_layout(chunk_bits).blocks],
        [evaluation_form(evaluation) for evaluation in plan.sent],
        *_masks_form(plan, chunk_bits),
    ]


def _masks_form(plan: Plan, chunk_bits: int) -> list[Form]:
    """Nothing for a public plan, whose digest is what it was before there were masks."""
    layout = mask_layout(plan) if plan.privacy != PUBLIC else None
    if layout is None:
        return []
    chunks = [list(complemented_places(chunk_bits)), list(places(chunk_bits))]
    return [[plan.privacy, layout.last_degree, layout.bits, *chunks]]


def embedding_form(
    domain: str, rows: int, channel_bits: int, chunk_bits: int, privacy: Privacy = PUBLIC
) -> Form:
    """The form of the embedding's verifying key."""
    form: Form = ["embedding verifying key", domain, rows, channel_bits, chunk_bits]
    return form if privacy == PUBLIC else [*form, privacy]


def bits_form(bits: Bits) -> Form:
    """A number of index bits."""
    return [bits.fixed, bits.context]


def segment_form(segment: object) -> Form:
    """How an axis is indexed."""
    match segment:
        case Along():
            return ["along", segment.axis, segment.flip]
        case PublicBits():
            return ["public bits", segment.name, bits_form(segment.width)]
        case ParameterBits():
            return ["parameter bits", segment.name, bits_form(segment.width)]
        case FixedBits():
            return ["fixed bits", segment.value, bits_form(segment.width)]
    raise _formless(segment)


def expression_form(expression: Expression) -> Form:
    """An expression, as it is written: no terms are reordered."""
    match expression:
        case Constant():
            return ["constant", expression.value]
        case Parameter():
            return ["parameter", expression.name]
        case PowerOfTwo():
            return ["power of two", expression.parameter, expression.offset]
        case Public():
            return ["public", expression.name]
        case Challenge():
            return ["challenge", expression.name]
        case Ref():
            index = [[axis, [segment_form(s) for s in segments]] for axis, segments in expression.index]
            return ["tensor", expression.tensor, index]
        case Sum():
            return ["sum", [expression_form(term) for term in expression.terms]]
        case Product():
            return ["product", [expression_form(factor) for factor in expression.factors]]
    raise _formless(expression)


def relation_form(relation: Relation) -> Form:
    """A relation with its name, domain and expressions."""
    match relation:
        case Pointwise():
            return [
                "pointwise",
                relation.name,
                list(relation.domain),
                expression_form(relation.expression),
            ]
        case Contraction():
            terms = [
                [
                    expression_form(term.coefficient),
                    list(term.summed),
                    [expression_form(factor) for factor in term.factors],
                ]
                for term in relation.terms
            ]
            return [
                "contraction",
                relation.name,
                list(relation.output),
                expression_form(relation.expression),
                terms,
                relation.quads,
            ]
        case Lookup():
            row = [expression_form(part) for part in (relation.tag, relation.first, relation.second)]
            where = [] if relation.where is None else [expression_form(relation.where)]
            return ["lookup", relation.name, list(relation.domain), *row, *where]
    raise _formless(relation)


def table_form(table: LookupTable) -> Form:
    """A table of the lookup universe."""
    row = [expression_form(part) for part in (table.tag, table.first, table.second)]
    return ["table", table.name, table.axis, bits_form(table.width), *row]


def closed_form(form: ClosedForm) -> Form:
    """What a verifier evaluates by itself."""
    match form:
        case RangeTag():
            return ["range tag"]
        case RangeValue():
            return ["range value"]
        case Counter():
            return ["counter", form.offset]
        case CausalMask():
            return ["causal mask"]
        case BeyondWindow():
            return ["beyond window", form.reach]
        case Below():
            return ["below", form.bound]
        case Inside():
            return ["inside", list(form.bounds)]
        case Unit():
            return ["unit", form.place]
        case Weighted():
            return ["weighted", list(form.weights)]
        case CountedRows():
            return ["counted rows"]
        case RealIds():
            return ["real ids", form.vocabulary]
        case SmallerIds():
            return ["smaller ids"]
        case ChosenIds():
            return ["chosen ids"]
    raise _formless(form)


def tensor_form(tensor: Tensor) -> Form:
    """A declaration. The integers of a constant are in its commitment."""
    closed = [] if tensor.closed_form is None else [closed_form(tensor.closed_form)]
    inside: list[Form] = [] if tensor.inside is None else [tensor.inside]
    return ["declared", tensor.name, list(tensor.axes), _KINDS[tensor.kind], closed, tensor.placed, *inside]


def zone_form(zone: Zone) -> Form:
    """Which witness tensors lie where."""
    gaps: list[Form] = [] if zone.gaps is None else [zone.gaps.run_bits, zone.gaps.filled]
    return ["zone", zone.phase, zone.moving, [list(place) for place in zone.places], *gaps]


def block_form(block: Block) -> Form:
    """Where a box of a weight or a table lies."""
    return [
        "block",
        block.tensor,
        list(block.axes),
        [[piece.first, piece.bits] for piece in block.pieces],
        block.place,
        block.chunks,
    ]


def evaluation_form(evaluation: Evaluation) -> Form:
    """A tensor at a symbolic point."""
    parts = [
        ["slice", part.vector, bits_form(part.start), bits_form(part.width), part.flip]
        if isinstance(part, Slice)
        else segment_form(part)
        for part in evaluation.parts
    ]
    return ["at", evaluation.tensor, parts]


def _formless(thing: object) -> TypeError:
    return TypeError(f"{type(thing).__name__} has no canonical form: give it one in canonical_form.py")


__all__ = ["embedding_form", "encode", "step_form"]
