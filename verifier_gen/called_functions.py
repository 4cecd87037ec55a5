"""A verifier holds the functions that it calls: templates have those of every program."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from .function import INDENT

_HEAD = re.compile(rf"^{INDENT}function (\w+)\(")
_COMMENT = f"{INDENT}//"


def without_uncalled_functions(source: str) -> str:
    """`source` without the functions of its assembly block that its statements do not reach, and without their comments.

    A function begins in a line of its own at the block's depth and ends with the first line at that depth that closes a brace.
    """
    lines = source.split("\n")
    ranges = _functions(lines)
    inside = {place for start, end in ranges.values() for place in range(start, end)}
    wanted = _called(ranges, (line for place, line in enumerate(lines) if place not in inside))
    left = list(wanted)
    while left:
        start, end = ranges[left.pop()]
        called = _called(ranges, lines[start:end]) - wanted
        left += called
        wanted |= called
    dropped = {
        place
        for name, (start, end) in ranges.items()
        if name not in wanted
        for place in range(start, end + (end < len(lines) and not lines[end]))
    }
    return "\n".join(line for place, line in enumerate(lines) if place not in dropped)


def _called(functions: Collection[str], lines: Iterable[str]) -> set[str]:
    code = "\n".join(line.partition("//")[0] for line in lines)
    return set(re.findall(r"\b(\w+)\(", code)).intersection(functions)


def _functions(lines: list[str]) -> dict[str, tuple[int, int]]:
    """Name -> first line, that of its comment, and the line behind its last."""
    found: dict[str, tuple[int, int]] = {}
    for place, line in enumerate(lines):
        if (head := _HEAD.match(line)) is None:
            continue
        start = place
        while lines[start - 1].startswith(_COMMENT) and not lines[start - 1].startswith(f"{_COMMENT} ---"):
            start -= 1
        end = place
        while not (lines[end].startswith(f"{INDENT}}}") or (end == place and lines[end].endswith("}"))):
            end += 1
        found[head[1]] = start, end + 1
    return found
