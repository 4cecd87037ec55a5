"""docs/mutation.md, made from the outcomes and the explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

from .explanations import VERDICTS, Explanation, key_of, stale
from .mutants import Mutant
from .scratch import ROOT
from .targets import TARGETS

PAGE = ROOT / "docs" / "mutation.md"
Key = tuple[str, str, str, str, int]

_INTRODUCTION = """\
# Mutation of our own code

Made by `python -m tests.mutation --report`. Do not edit.

One place at a time is changed: a constant, a comparison, a sign, an absorption into the transcript, a check, a stored
value, an element of what is absorbed or of an operator's relations. Then the tests that should notice run, in a copy
of the project. *Caught*: a test fails, or does not end. *Pinned*: only a test that compares with what was there before
fails, such as a kept proof; the change is noticed, but nothing says that it is wrong. *Invalid*: it does not compile.
*Survived*: all tests pass; then a test is missing, or no test can exist, and the reason is below.
"""
_HOW_TO = """\
## Run it

```
make mutation                                                     every mutant and this page: about five hours on one core
python -m tests.mutation --sample 150 --seed 1 --resume           at least 150 of each target, kept in build/mutation.json
python -m tests.mutation --target dispute-game --only proveHead   what touches one function
python -m tests.mutation --target relations --sample 150 --seed 1 --resume --report
```

A draw of the same seed from the same code is the same, in the same order: a larger sample contains a smaller one, and
`--resume` runs what is new and what survived without an explanation (a test may have been added). Outcomes of code that
has changed are dropped. Whoever wants another sample takes another seed; whoever wants certainty runs all of them.
"""
_WHOLE = "Every mutant of every target was run."
_SAMPLE = """\
**This is a sample.** Where fewer were run than there are, those were drawn at random with the seed given, and the share
of all mutants is known only within the interval given (95 %, Wilson). Survivors among those that were not run are not
known. *Test added*: caught only by a test that was written, or listed for the target, while the sample ran; most of
these survived at first. They count as caught in the share, but as not noticed in the interval, which is about the mutants that
nobody has looked at."""


def page(results: Mapping[str, Any], explanations: Mapping[Key, Explanation], root: Path) -> str:
    """The whole page."""
    parts = [_INTRODUCTION, _summary(results, explanations), _HOW_TO]
    for name, target in TARGETS.items():
        if name in results:
            parts.append(_section(target.title, list(results[name]["outcomes"].values()), explanations))
    old = stale(explanations, (m for target in TARGETS.values() for m in target.mutants(root)))
    if old:
        parts.append(
            "## Stale explanations\n\n"
            + "\n".join(f"- `{path}` {function}: {change}" for path, function, _, change, _ in old)
            + "\n"
        )
    return "\n".join(parts)


def _key(facts: Mapping[str, Any]) -> Key:
    return key_of(Mutant(**{name: facts[name] for name in Mutant.__dataclass_fields__}))


def _summary(results: Mapping[str, Any], explanations: Mapping[Key, Explanation]) -> str:
    heads = (
        "target",
        "mutants",
        "run",
        "caught by tests",
        "by pins only",
        "survived",
        "explained",
        "of these equivalent",
        "invalid",
        "test added",
        "share noticed",
        "95 % of all, before",
        "draw",
        "s each",
    )
    rows: list[tuple[str, ...]] = [heads, ("---", *("---:",) * 11, "---", "---:")]
    for name, target in TARGETS.items():
        if name in results:
            rows.append((target.title, *_row(results[name], explanations)))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    whole = all(stored["made"] == len(stored["outcomes"]) for stored in results.values())
    note = (
        "The share is of those that compile and are not equivalent; *noticed* is caught or pinned. Survivors that are\n"
        "not equivalent have a verdict below: another check rejects the same inputs, or nothing promised depends on it."
    )
    return f"{_WHOLE if whole else _SAMPLE}\n\n{table}\n\n{note}\n"


def _row(stored: Mapping[str, Any], explanations: Mapping[Key, Explanation]) -> tuple[str, ...]:
    outcomes = list(stored["outcomes"].values())
    count = Counter(facts["outcome"] for facts in outcomes)
    verdicts = [_verdict(facts, explanations) for facts in outcomes if facts["outcome"] == "survived"]
    equivalent = verdicts.count("equivalent")
    noticed = count["caught"] + count["timeout"] + count["pinned"]
    valid = len(outcomes) - count["invalid"] - equivalent
    share = f"{100 * noticed / valid:.1f} %" if valid else "–"
    late = sum(
        facts["outcome"] in ("caught", "timeout") and facts.get("survived_before", False)
        for facts in outcomes
    )
    whole = stored["made"] == len(outcomes)
    low, high = wilson(noticed - late, valid)
    interval = "exact" if whole else f"{100 * low:.1f} – {100 * high:.1f} %"
    numbers = (
        stored["made"],
        len(outcomes),
        count["caught"] + count["timeout"],
        count["pinned"],
        count["survived"],
        sum(map(bool, verdicts)),
        equivalent,
        count["invalid"],
        late,
    )
    each = f"{sum(facts['seconds'] for facts in outcomes) / len(outcomes):.1f}" if outcomes else "–"
    return (*map(str, numbers), share, interval, "all" if whole else stored.get("draw", "at random"), each)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The interval that holds the share of a population with 95 % confidence, when a sample of it is drawn."""
    if not trials:
        return 0.0, 1.0
    z = 1.96
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def _verdict(facts: Mapping[str, Any], explanations: Mapping[Key, Explanation]) -> str:
    found = explanations.get(_key(facts))
    return found.verdict if found else ""


def _section(title: str, outcomes: list[dict[str, Any]], explanations: Mapping[Key, Explanation]) -> str:
    lines = [f"## {title}\n", _by_kind(outcomes)]
    for outcome, heading in (("survived", "Survivors"), ("pinned", "Noticed by a pin only")):
        chosen = [facts for facts in outcomes if facts["outcome"] == outcome]
        if chosen:
            lines.append(f"### {heading}\n")
            lines += _explained(chosen, explanations)
    return "\n".join(lines)


def _by_kind(outcomes: list[dict[str, Any]]) -> str:
    heads = ("kind", "run", "caught", "timed out", "pinned", "survived", "invalid")
    rows = [heads, ("---",) * len(heads)]
    for kind in sorted({facts["kind"] for facts in outcomes}):
        count = Counter(facts["outcome"] for facts in outcomes if facts["kind"] == kind)
        columns = (count[name] for name in ("caught", "timeout", "pinned", "survived", "invalid"))
        rows.append((kind, str(count.total()), *map(str, columns)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _explained(chosen: list[dict[str, Any]], explanations: Mapping[Key, Explanation]) -> list[str]:
    """One paragraph per explanation with its mutants; what has none comes last."""
    groups: dict[Explanation | None, list[dict[str, Any]]] = {}
    for facts in chosen:
        groups.setdefault(explanations.get(_key(facts)), []).append(facts)
    lines = []
    for explanation, members in sorted(groups.items(), key=lambda item: (item[0] is None, str(item[0]))):
        if explanation is None:
            lines.append(f"**Not explained** ({len(members)}).\n")
        else:
            meaning = VERDICTS[explanation.verdict]
            lines.append(
                f"**{explanation.title}** ({len(members)}, {explanation.verdict}: {meaning}). {explanation.why}\n"
            )
        lines += [
            f"- `{m['path']}`, `{m['function']}`: {_code(m['change'])} in {_code(m['line'])}" for m in members
        ]
        lines.append("")
    return lines


def _code(text: str) -> str:
    return f"`{text}`" if "`" not in text else f"`` {text} ``"
