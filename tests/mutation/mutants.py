"""A mutant: one small change of one file, named so that the name survives edits elsewhere in the file."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Mutant:
    """`source[start:end]` becomes `replacement`.

    kind: which rule made it; line: the stripped line that the change starts on; change: what becomes what;
    occurrence: 0, 1, ... among equal changes of equal lines of one function.
    """

    path: str
    function: str
    kind: str
    line: str
    change: str
    start: int
    end: int
    replacement: str
    line_number: int
    occurrence: int = 0

    @property
    def identity(self) -> str:
        """Twelve hex digits from everything but the place, so that they stay when other lines move."""
        parts = (self.path, self.function, self.line, self.change, str(self.occurrence))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    def apply(self, source: str) -> str:
        """The mutated source: as many lines as before, so that nothing else seems to move."""
        removed = source[self.start : self.end]
        missing = removed.count("\n") - self.replacement.count("\n")
        return source[: self.start] + self.replacement + "\n" * missing + source[self.end :]

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "identity": self.identity}


def numbered(mutants: Iterable[Mutant]) -> list[Mutant]:
    """The mutants in order of appearance, equal ones told apart by their occurrence."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    result = []
    for mutant in sorted(mutants, key=lambda m: (m.start, m.end, m.change)):
        key = (mutant.path, mutant.function, mutant.line, mutant.change)
        result.append(replace(mutant, occurrence=seen[key]))
        seen[key] += 1
    return result


class Source:
    """A text with lines, for rules that need to say where they are."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def offset(self, line: int, byte_column: int) -> int:
        """Character offset of a 1-based line and a column in UTF-8 bytes, as `ast` counts them."""
        text = self.lines[line - 1]
        return self.starts[line - 1] + len(text.encode()[:byte_column].decode())

    def line_of(self, offset: int) -> int:
        """The 1-based line of an offset."""
        return bisect_right(self.starts, offset)

    def mutant(self, function: str, kind: str, start: int, end: int, replacement: str, change: str) -> Mutant:
        """A mutant of this text."""
        number = self.line_of(start)
        line = self.lines[number - 1].strip()
        return Mutant(self.path, function, kind, line, change, start, end, replacement, number)
