"""docs/mutation.md, made from the outcomes and the explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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

Made by `python -m tests.mutation --report` (`make mutation` runs every mutant). Do not edit.

One place at a time is changed: a constant, a comparison, a sign, an absorption into the transcript, a check, a stored
value, an element of what is absorbed or of an operator's relations. Then the tests that should notice run, in a copy
of the project. *Caught*: a test fails, or does not end. *Pinned*: only a test that compares with what was there before
fails, such as a kept proof; the change is noticed, but nothing says that it is wrong. *Invalid*: it does not compile.
*Survived*: all tests pass; then a test is missing, or no test can exist, and the reason is below. Mutants are drawn at
random where not all of them were run.
"""


def page(results: Mapping[str, Any], explanations: Mapping[Key, Explanation], root: Path) -> str:
    """The whole page."""
    parts = [_INTRODUCTION, _summary(results, explanations)]
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
        "caught",
        "pinned",
        "survived",
        "equivalent",
        "invalid",
        "share noticed",
    )
    rows = [heads, ("---",) * len(heads)]
    for name, target in TARGETS.items():
        if name not in results:
            continue
        outcomes = list(results[name]["outcomes"].values())
        count = Counter(facts["outcome"] for facts in outcomes)
        same = sum(
            facts["outcome"] == "survived" and _verdict(facts, explanations) == "equivalent"
            for facts in outcomes
        )
        noticed = count["caught"] + count["timeout"] + count["pinned"]
        valid = len(outcomes) - count["invalid"] - same
        share = f"{100 * noticed / valid:.1f} %" if valid else "–"
        numbers = (results[name]["made"], len(outcomes), count["caught"] + count["timeout"], count["pinned"])
        numbers += (count["survived"], same, count["invalid"])
        rows.append((target.title, *map(str, numbers), share))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\nThe share is of those that compile and are not equivalent.\n"


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
