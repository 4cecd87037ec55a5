"""`python -m tests.faults --count 1000`: faults into started programs, and after every round an audit of the books.

Seeded and resumable: what was drawn follows from `--seed` and the number of the round alone, and rounds that were audited are
kept in a file, so the same command goes on where it was stopped. Leaves with 1 when anything was lost, done twice or missed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.databases import PostgresServer

from .audit import Findings
from .injections import KINDS
from .world import world

#: Faults between two audits, and audits between two chains: a chain costs half a minute, an audit reads it from its first block.
ROUND, ROUNDS_PER_WORLD = 50, 4
_STATE = Path(".gainsay") / "faults"


def plan(seed: int, number: int, kinds: Sequence[str], count: int) -> list[str]:
    """The kinds of a round's faults: the same for the same seed and number."""
    rng = random.Random(f"kinds {seed} {number}")
    return rng.choices(list(kinds), [KINDS[kind] for kind in kinds], k=count)


def rounds_of(count: int) -> list[int]:
    """Faults in each round."""
    full, rest = divmod(count, ROUND)
    return [ROUND] * full + [rest] * bool(rest)


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended on the way out
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise SystemExit(f"unknown kind {unknown[0]!r}; known: {', '.join(KINDS)}")
    file = options.state or _STATE / f"{options.seed}-{'-'.join(kinds).replace(' ', '')}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    sizes = rounds_of(options.count)
    started = time.monotonic()
    postgres: PostgresServer | None = None
    folder = Path(tempfile.mkdtemp(prefix="gainsay-faults-"))
    try:
        while len(done) < len(sizes):
            number = len(done)
            uses_postgres = (number // ROUNDS_PER_WORLD + options.seed) % 2 == 0
            if uses_postgres and postgres is None:
                postgres = PostgresServer()
            life = folder / f"world-{number}"
            life.mkdir()
            _tell(
                f"world from round {number + 1} on: {'PostgreSQL' if uses_postgres else 'SQLite'}, in {life}"
            )
            server = postgres if uses_postgres else None
            with world(
                life,
                f"{options.seed} {number}",
                postgres=server,
                commitments=_STATE.absolute() / "commitments",
            ) as place:
                while (
                    len(done) < len(sizes) and len(done) < (number // ROUNDS_PER_WORLD + 1) * ROUNDS_PER_WORLD
                ):
                    before = place.totals.copy()
                    of_round = plan(options.seed, len(done), kinds, sizes[len(done)])
                    rng = random.Random(f"round {options.seed} {len(done)}")
                    try:
                        findings = place.round(of_round, rng, _tell if options.verbose else None)
                    except Exception as error:  # a round that cannot be brought to its end is a finding, too
                        place_of = traceback.extract_tb(error.__traceback__)[-1]
                        where = f"{Path(place_of.filename).name}:{place_of.lineno}"
                        findings = Findings(books=[f"{type(error).__name__} in {where}: {error}"])
                    record = {
                        "round": len(done) + 1, "faults": dict(Counter(of_round)), "findings": findings.sentences,
                        "lost_bonds": len(findings.lost_bonds), "doubled": len(findings.doubled),
                        "lost_receipts": len(findings.lost_receipts), "missed_lies": len(findings.missed_lies),
                    } | _since(before, place.totals.copy())  # fmt: skip
                    with file.open("a") as lines:
                        lines.write(json.dumps(record) + "\n")
                    done.append(record)
                    total, spent = sum(sum(r["faults"].values()) for r in done), time.monotonic() - started
                    _tell(
                        f"round {len(done)} of {len(sizes)}: {total} faults, {spent:.0f} s, findings: {findings.sentences or 'none'}"
                    )
                    if findings.sentences:
                        _tell(f"kept for looking: {life}")
                        if options.stop:
                            return _report(done, kinds, options.json)
                        break  # what was found once would be found by every later audit of this chain
        return _report(done, kinds, options.json)
    finally:
        if postgres is not None:
            postgres.close()
        if not any(record["findings"] for record in done):
            shutil.rmtree(folder, ignore_errors=True)


def table(done: Sequence[dict[str, Any]], kinds: Sequence[str]) -> str:
    """Faults by kind, what was going on meanwhile, and what was found."""
    faults: Counter[str] = Counter()
    for record in done:
        faults.update(record["faults"])
    lines = ["| fault | injected |", "| --- | --- |", *(f"| {kind} | {faults[kind]} |" for kind in kinds)]
    lines.append(f"| **all** | **{sum(faults.values())}** |")
    lines += ["", "| meanwhile | |", "| --- | --- |"]
    for name, words in (
        ("receipts", "receipts held by clients, all looked up on chain"),
        ("batches", "batches of the honest provider"), ("games", "games, all over at the audit"), ("lies", "lies posted"),
        ("accusations", "honest answers accused"), ("refuted", "accusations refuted: they claimed what was posted"),
        ("demands", "honest answers asked for on chain"),
        ("restarts", "programs that ended by themselves and were started again"),
        ("wasted", "transactions of honest accounts that were mined and reverted"),
    ):  # fmt: skip
        counted = sum(record.get(name, 0) for record in done)  # kept rounds may be older than a name
        lines.append(f"| {words} | {counted} |")
    lines += ["", "| found in the audits | |", "| --- | --- |"]
    for name, words in (
        ("lost_bonds", "lost bonds of honest parties"), ("doubled", "actions done twice"),
        ("lost_receipts", "receipts not posted in time"), ("missed_lies", "lies that became final"),
    ):  # fmt: skip
        lines.append(f"| {words} | {sum(record[name] for record in done)} |")
    others = sum(len(r["findings"]) - r["lost_bonds"] - r["doubled"] - r["lost_receipts"] - r["missed_lies"] for r in done)  # fmt: skip
    lines.append(f"| books and contracts that disagree, rounds that did not settle | {others} |")
    return "\n".join(lines)


def _report(done: Sequence[dict[str, Any]], kinds: Sequence[str], as_json: bool) -> int:
    found = [sentence for record in done for sentence in record["findings"]]
    if as_json:
        print(json.dumps({"rounds": done, "findings": found}, indent=1))
    else:
        print(table(done, kinds))
        for sentence in found:
            print(f"FOUND: {sentence}")
    return 1 if found else 0


def _since(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    found = {name: after[name] - before[name] for name in after if isinstance(after[name], int)}
    return found | {"what": dict(Counter(after["what"]) - Counter(before["what"]))}


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="faults in all (1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", help=f"some of {', '.join(KINDS)}; separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--state", type=Path, help=f"what was done so far ({_STATE}/SEED-KINDS.jsonl)")
    parser.add_argument("--stop", action="store_true", help="stop at the first finding")
    parser.add_argument("--verbose", action="store_true", help="a line per fault")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
