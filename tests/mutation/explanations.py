"""Why a mutant may survive: explanations.toml, keyed by what a mutant is rather than by where it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .mutants import Mutant

FILE = Path(__file__).with_name("explanations.toml")


@dataclass(frozen=True)
class Explanation:
    """why: one reason for all its mutants; verdict: equivalent, stricter, or not covered."""

    title: str
    verdict: str
    why: str


VERDICTS = {
    "equivalent": "no input can tell the difference",
    "redundant": "another check rejects the same inputs",
    "harmless": "behaves differently, and nothing that is promised depends on it",
    "open": "a gap that is not closed yet",
}


def load(path: Path = FILE) -> dict[tuple[str, str, str, str, int], Explanation]:
    """(path, function, line, change, occurrence) -> explanation. Raises ValueError on what is not one."""
    found: dict[tuple[str, str, str, str, int], Explanation] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("explanation", []):
        explanation = Explanation(entry["title"], entry["verdict"], " ".join(entry["why"].split()))
        if explanation.verdict not in VERDICTS:
            raise ValueError(
                f"{explanation.title}: verdict {explanation.verdict}; known: {', '.join(VERDICTS)}"
            )
        for fields in entry["mutants"]:
            path_, function, line, change, *occurrence = fields
            key = (path_, function, line, change, occurrence[0] if occurrence else 0)
            if key in found:
                raise ValueError(f"{explanation.title}: explained before: {key}")
            found[key] = explanation
    return found


def key_of(mutant: Mutant) -> tuple[str, str, str, str, int]:
    """What an explanation is found by."""
    return (mutant.path, mutant.function, mutant.line, mutant.change, mutant.occurrence)


def stale(
    explanations: Mapping[tuple[str, str, str, str, int], Explanation], mutants: Iterable[Mutant]
) -> list[tuple[str, str, str, str, int]]:
    """Explained mutants that no rule makes any more."""
    known = {key_of(mutant) for mutant in mutants}
    return sorted(key for key in explanations if key not in known)
