"""python -m tests.mutation: change our own code, one place at a time, and see which tests notice."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .explanations import key_of, load
from .mutants import Mutant
from .report import PAGE, page
from .run import BrokenSetup, checked_baseline, runner_of
from .scratch import ROOT, scratch_copy
from .targets import TARGETS

RESULTS = ROOT / "build" / "mutation.json"


class Choice(StrEnum):
    """What can be asked for."""

    python_verifier = "python-verifier"
    relations = "relations"
    tables = "tables"
    solidity_verifier = "solidity-verifier"
    dispute_game = "dispute-game"
    all = "all"

    @property
    def targets(self) -> list[str]:
        return list(TARGETS) if self is Choice.all else [self.value]


def main(
    target: Annotated[list[Choice], typer.Option(help="What to mutate; may be given more than once.")] = [  # noqa: B006
        Choice.all
    ],
    sample: Annotated[
        int, typer.Option(min=0, help="Mutants per target, drawn at random; 0 runs all of them.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the draw: the same seed draws the same mutants.")] = 1,
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Only mutants whose path, function or line contains this.")
    ] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="Print the mutants that would run, one per line, and run nothing.")
    ] = False,
    json_: Annotated[Path, typer.Option("--json", help="File of the outcomes.")] = RESULTS,
    resume: Annotated[
        bool,
        typer.Option(
            help="Keep the outcomes in the file, except of what no test noticed and nothing explains (tests may have "
            "been added), and of what only a test noticed that is no longer asked."
        ),
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also write docs/mutation.md from all outcomes in the file.")
    ] = False,
) -> None:
    """Change one constant, comparison, absorption or check at a time, and run the tests that should notice.

    \b
    The mutants run in a copy of the project in a temporary folder; the checkout is never written to, except for
    the file of outcomes and, with --report, the page made of them. A mutant is caught when a test fails, survives
    when all pass, and is invalid when it does not compile. Each survivor needs a test or an explanation in
    tests/mutation/explanations.toml.

    \b
      python -m tests.mutation --list --target dispute-game      what there is
      python -m tests.mutation --sample 50 --seed 7              fifty of each, the same fifty every time
      python -m tests.mutation --target relations --only attend  what touches attention
      python -m tests.mutation --resume --report                 all that is left, and the page

    Leaves with 1 when a mutant survives without an explanation.
    """
    names = [name for choice in target for name in choice.targets]
    chosen = {name: _chosen(TARGETS[name].mutants(ROOT), only, sample, seed) for name in dict.fromkeys(names)}
    if list_:
        for name, mutants in chosen.items():
            for m in mutants:
                print(f"{name}  {m.identity}  {m.path}:{m.line_number}  {m.function}  {m.kind}: {m.change}")
        return
    results: dict[str, Any] = json.loads(json_.read_text()) if json_.exists() and (resume or report) else {}
    draw = f"seed {seed}" if sample else "all"
    if only:
        draw += f", only {only!r}"
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copy is removed and the worker ends
    try:
        with scratch_copy() as copy:
            for name, mutants in chosen.items():
                _run_target(name, mutants, copy, results, json_, resume, draw, console)
    except BrokenSetup as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from error
    if report:
        PAGE.write_text(page(results, load(), ROOT), encoding="utf-8")
        console.print(f"wrote {PAGE.relative_to(ROOT)}")
    unexplained = _unexplained(chosen, results)
    for mutant in unexplained:
        print(
            f"survived: {mutant.path}:{mutant.line_number} in {mutant.function}: {mutant.change} | {mutant.line}"
        )
    raise typer.Exit(1 if unexplained else 0)


def _chosen(mutants: list[Mutant], only: str, sample: int, seed: int) -> list[Mutant]:
    """In the order of the draw, so that a run that is stopped is a sample too, and a larger one contains it."""
    wanted = [m for m in mutants if only in m.path or only in m.function or only in m.line]
    if not sample:
        return wanted
    random.Random(seed).shuffle(wanted)
    return wanted[:sample]


def _run_target(
    name: str,
    mutants: list[Mutant],
    copy: Path,
    results: dict[str, Any],
    file: Path,
    resume: bool,
    draw: str,
    console: Console,
) -> None:
    """Run what has no outcome yet; the file of outcomes is written after every mutant."""
    target = TARGETS[name]
    stored = results.setdefault(name, {"seconds": 0.0, "outcomes": {}})
    made = {mutant.identity for mutant in target.mutants(ROOT)}
    stored["made"] = len(made)
    stored["draw"] = draw
    outcomes = stored["outcomes"]
    for identity in set(outcomes) - made:  # of code that is no more
        del outcomes[identity]
    explained = load()
    left = [
        m
        for m in mutants
        if not resume
        or m.identity not in outcomes
        or (outcomes[m.identity]["outcome"] in ("survived", "pinned") and key_of(m) not in explained)
        or not target.asks(outcomes[m.identity]["by"])
    ]
    if not left:
        return
    columns = (
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with runner_of(target, copy) as runner, Progress(*columns, console=console) as progress:
        task = progress.add_task(target.title, total=len(left), note="first without mutation")
        baseline, limit_s = checked_baseline(runner)
        console.print(f"{target.title}: {baseline.seconds:.0f} s without mutation")
        survivors = 0
        for mutant in left:
            started = time.monotonic()
            outcome = runner.run(mutant, limit_s)
            stored["seconds"] = round(stored["seconds"] + time.monotonic() - started, 1)
            late = outcomes.get(mutant.identity, {})
            survived_before = late.get("survived_before", False) or late.get("outcome") == "survived"
            outcomes[mutant.identity] = {
                **mutant.facts(),
                **outcome.facts(),
                "survived_before": survived_before,
            }
            survivors += outcome.outcome == "survived"
            _keep(results, file)
            progress.update(task, advance=1, note=f"{survivors} survived")


def _keep(results: dict[str, Any], file: Path) -> None:
    """Whoever stops the run, or reads the file meanwhile, finds it whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".part")
    written.write_text(json.dumps(results) + "\n", encoding="utf-8")
    written.replace(file)


def _unexplained(chosen: dict[str, list[Mutant]], results: dict[str, Any]) -> list[Mutant]:
    explanations = load()
    return [
        mutant
        for name, mutants in chosen.items()
        for mutant in mutants
        if results[name]["outcomes"].get(mutant.identity, {}).get("outcome") == "survived"
        and key_of(mutant) not in explanations
    ]


if __name__ == "__main__":
    typer.run(main)
