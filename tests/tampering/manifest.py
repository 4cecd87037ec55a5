"""The tamper manifest: every field of every proof and of every public input, by reflection, and every change of it.

What a verifier is given is walked along its type annotations. Whatever the walk does not know is an error, so a new
field, or a field of a new type, cannot stay out of the manifest; and the leaves found must be exactly the words of the
encoding. A `Change` is the whole of what the verifiers get, with one thing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from prover.curve.g1 import GENERATOR, INFINITY, Point, add, negate
from prover.field.reference import BASE_MODULUS, SCALAR_MODULUS
from prover.statement import StepKey

LARGEST = (1 << 256) - 1
FLIPPED_BITS = (0, 127, 200, 253)


class UnlistedField(TypeError):
    """A field of a type that the manifest does not know how to change."""


SMALL_INTEGERS = {(StepKey, "parameters")}
"""Fields whose bare ints are no scalars of the field."""


class Nature(Enum):
    """What the bytes of a leaf mean, which decides how they can be wrong."""

    POINT = "G1 point"
    SCALAR = "scalar"
    INTEGER = "small integer"
    LIST = "list"


@dataclass(frozen=True)
class Leaf:
    """One value: where it is, what it means, and the whole with another value in its place."""

    path: str
    nature: Nature
    value: Any
    put: Callable[[Any], Any]
    spare: Any = None  # one more element of a list

    @property
    def field(self) -> str:
        """The path without positions: all round polynomials are one field."""
        return "".join(part.split("]")[-1] for part in self.path.split("["))


@dataclass(frozen=True)
class Change:
    """What was done to which field, and the result."""

    field: str
    kind: str
    where: str
    result: Any


def leaves(value: Any, nature: Nature = Nature.SCALAR) -> list[Leaf]:
    """Every leaf of a dataclass, along its annotations. `nature`: what a bare int in it means."""
    if not is_dataclass(value):
        raise UnlistedField(f"{type(value).__name__} is no dataclass")
    return list(_walk(value, type(value), "", lambda new: new, nature))


def _walk(
    value: Any, annotation: Any, path: str, put: Callable[[Any], Any], nature: Nature
) -> Iterator[Leaf]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation == Point:
        yield Leaf(path, Nature.POINT, value, put)
    elif annotation is int:
        yield Leaf(path, nature, value, put)
    elif origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        spare = {Point: GENERATOR, int: 1}.get(arguments[0], ())
        yield Leaf(path, Nature.LIST, value, put, spare)
        for index, item in enumerate(value):
            yield from _walk(item, arguments[0], f"{path}[{index}]", _at(put, value, index), nature)
    elif origin is not None and issubclass(origin, Mapping) and arguments == (str, int):
        for name in value:
            yield Leaf(f"{path}.{name}", Nature.INTEGER, value[name], _entry(put, value, name))
    elif isinstance(annotation, type) and is_dataclass(annotation):
        hints = get_type_hints(type(value))  # of a subclass too, which may have more fields
        for field in fields(value):
            inner = f"{path}.{field.name}".lstrip(".")
            own = Nature.INTEGER if (annotation, field.name) in SMALL_INTEGERS else nature
            yield from _walk(
                getattr(value, field.name), hints[field.name], inner, _attribute(put, value, field.name), own
            )
    else:
        raise UnlistedField(f"{path}: {annotation} is not in the tamper manifest")


def _at(put: Callable[[Any], Any], value: tuple[Any, ...], index: int) -> Callable[[Any], Any]:
    return lambda new: put((*value[:index], new, *value[index + 1 :]))


def _entry(put: Callable[[Any], Any], value: Mapping[str, int], name: str) -> Callable[[Any], Any]:
    return lambda new: put({**value, name: new})


def _attribute(put: Callable[[Any], Any], value: Any, name: str) -> Callable[[Any], Any]:
    return lambda new: put(replace(value, **{name: new}))


# --- the ways in which a value can be another one -------------------------------------------------------------


def changes(value: Any, only: Callable[[Leaf], bool] = lambda leaf: True) -> Iterator[Change]:
    """Every change of every leaf that `only` keeps."""
    listed = leaves(value)
    for index, leaf in enumerate(listed):
        if not only(leaf):
            continue
        if leaf.nature is Nature.LIST:
            for kind, new in _other_lists(leaf.value, leaf.spare):
                yield Change(leaf.field, kind, leaf.path, leaf.put(new))
            continue
        for kind, new in OTHERS[leaf.nature](leaf.value):
            if new != leaf.value:
                yield Change(leaf.field, kind, leaf.path, leaf.put(new))
        neighbour = _neighbour(listed, index)
        if neighbour is not None and neighbour.value != leaf.value:
            yield Change(leaf.field, "neighbour's value", leaf.path, leaf.put(neighbour.value))
            swapped = leaf.put(neighbour.value)
            there = leaves(swapped)[listed.index(neighbour)]
            yield Change(leaf.field, "swapped with neighbour", leaf.path, there.put(leaf.value))


def _neighbour(listed: Sequence[Leaf], index: int) -> Leaf | None:
    """The next leaf of the same nature, or the one before."""
    following = [*listed[index + 1 :], *listed[:index][::-1]]
    return next((leaf for leaf in following if leaf.nature is listed[index].nature), None)


def _other_points(point: Point) -> Iterator[tuple[str, Point]]:
    x, y = point
    for bit in FLIPPED_BITS:
        yield f"bit {bit} of x", (x ^ 1 << bit, y)
        yield f"bit {bit} of y", (x, y ^ 1 << bit)
    for what, step in (("+ 1", 1), ("- 1", -1), ("+ r", SCALAR_MODULUS), ("+ q", BASE_MODULUS)):
        if 0 <= x + step <= LARGEST:
            yield f"x {what}", (x + step, y)
        if 0 <= y + step <= LARGEST:
            yield f"y {what}", (x, y + step)
    yield "x to zero", (0, y)
    yield "y to zero", (x, 0)
    yield "infinity", INFINITY
    yield "infinity as (q, q)", (BASE_MODULUS, BASE_MODULUS)
    yield "infinity as (0, q)", (0, BASE_MODULUS)
    yield "off the curve", (1, 1)
    yield "x and y exchanged", (y, x)
    yield "negated", negate(point)
    yield "+ G", add(point, GENERATOR)
    yield "the generator", GENERATOR
    yield "largest words", (LARGEST, LARGEST)


def _other_scalars(value: int) -> Iterator[tuple[str, int]]:
    for bit in FLIPPED_BITS:
        yield f"bit {bit}", value ^ 1 << bit
    yield "+ 1", (value + 1) % SCALAR_MODULUS
    yield "- 1", (value - 1) % SCALAR_MODULUS
    yield "to zero", 0
    yield "negated", -value % SCALAR_MODULUS
    for times in range(1, 6):
        if value + times * SCALAR_MODULUS <= LARGEST:
            yield f"+ {times} r", value + times * SCALAR_MODULUS
    yield "+ q", value + BASE_MODULUS if value + BASE_MODULUS <= LARGEST else LARGEST
    yield "r", SCALAR_MODULUS
    yield "largest word", LARGEST


def _other_integers(value: int) -> Iterator[tuple[str, int]]:
    for bit in (0, 1, 3, 32, 64, 255):
        yield f"bit {bit}", value ^ 1 << bit
    yield "+ 1", value + 1
    yield "- 1", (value - 1) % (1 << 256)
    yield "to zero", 0
    yield "+ r", value + SCALAR_MODULUS
    yield "+ 2^32", value + (1 << 32)
    yield "largest word", LARGEST


def _other_lists(value: tuple[Any, ...], spare: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    if spare != ():
        yield "one more", (*value, spare)
        yield "one in front", (spare, *value)
    if value:
        yield "without its first", value[1:]
        yield "without its last", value[:-1]
        yield "first one twice", (value[0], *value)
        yield "last one twice", (*value, value[-1])
        yield "empty", ()
        turned = (*value[1:], value[0])
        if turned != value:
            yield "turned by one", turned
        if value[::-1] != value:
            yield "reversed", value[::-1]


OTHERS: dict[Nature, Callable[[Any], Iterator[tuple[str, Any]]]] = {
    Nature.POINT: _other_points,
    Nature.SCALAR: _other_scalars,
    Nature.INTEGER: _other_integers,
}


def other_lengths(encoded: bytes) -> Iterator[tuple[str, bytes]]:
    """A byte string cut short, made longer, or shifted."""
    for count in (1, 31, 32, 64, len(encoded)):
        yield f"without its last {count} bytes", encoded[: len(encoded) - count]
        yield f"without its first {count} bytes", encoded[count:]
    for count in (1, 31, 32, 64):
        yield f"{count} zero bytes more", encoded + bytes(count)
        yield f"{count} of its bytes more", encoded + encoded[:count]
        yield f"{count} zero bytes in front", bytes(count) + encoded
    yield "twice", encoded + encoded


def once_each(listed: Sequence[Change]) -> list[Change]:
    """Every kind of change of every field once, each at another element of the field."""
    by_kind: dict[tuple[str, str], list[Change]] = {}
    for change in listed:
        by_kind.setdefault((change.field, change.kind), []).append(change)
    return [group[index % len(group)] for index, group in enumerate(by_kind.values())]
