"""`gainsay demo`: everything at once, on a local chain."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from rich.table import Table

    from .demo import DemoReport
    from .scenarios.result import ScenarioResult

_STATE = Path(".gainsay")
_BOUNDLESS = 1000
_ANSWER = 32


def demo(
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Play only this one; may be given several times.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="smollm2-135m or gemma3-270m (fetched and imported if missing), or a built-in one such as tiny.",
        ),
    ] = "smollm2-135m",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON instead of a table.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the logs of node and challenger.")
    ] = False,
) -> None:
    """Answer, cheat, dispute and settle on a local chain with the real model.

    Starts a chain, a provider and a challenger, plays honest and cheating scenarios, prints a table and writes
    .gainsay/demo/report.json. Leaves with 1 when a scenario ends otherwise than it must.
    """
    from rich.console import Console

    from prover.progress import reporting

    from .demo import quiet_logs, run_demo
    from .scenarios import find_scenarios
    from .scenarios.errors import ScenarioFailed

    chosen = find_scenarios(scenario)
    quiet_logs(verbose)
    signal.signal(signal.SIGTERM, _leave)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    started = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim] ", end="")
        console.print(line, markup=False)

    from .scenarios.prepared_model import prepare_model

    with reporting() as report:
        prepared = prepare_model(model, report)
    result = run_demo(model, chosen, tell, lambda *_: None, prepared=prepared)
    result.seconds = time.monotonic() - started
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print_table(result)
    if result.failures:
        raise ScenarioFailed("; ".join(result.failures))


def _leave(*_: Any) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that the chain is stopped."""
    raise SystemExit(143)


def _print_table(report: DemoReport) -> None:
    """With as many columns as the terminal has room for; all of them where it is none."""
    from rich.console import Console

    console, boundless = Console(), Console(width=_BOUNDLESS)
    for omitted in ((), ("answer",), ("answer", "rounds", "dispute gas")):
        table = _table(report, omitted)
        width = boundless.measure(table).maximum
        if not console.is_terminal:
            console = Console(width=width)
        if width <= console.width:
            break
    console.print(table)


def _table(report: DemoReport, omitted: Container[str]) -> Table:
    """One row per scenario."""
    from rich import box
    from rich.table import Table

    fidelity = report.fidelity
    title = (
        f"{report.model} {report.model_id[:10]}…: perplexity {fidelity.perplexity_float:.3f} as float, "
        f"{fidelity.perplexity_integer:.3f} as integers; same next token {100 * fidelity.argmax_agreement:.1f} %"
    )
    caption = f"{report.seconds:.0f} s in all; written to {_STATE / 'demo' / 'report.json'}"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1))
    failed = {failure.split(" ", 1)[0] for failure in report.failures}
    columns: dict[str, Callable[[ScenarioResult], str]] = {
        "scenario": lambda r: r.name,
        "answer": lambda r: _printable(r.answer),
        "outcome": lambda r: f"[{'red' if r.name in failed else 'green'}]{r.outcome.replace('_', ' ')}[/]",
        "contested": _place,
        "rounds": lambda r: str(r.rounds or ""),
        "prove s": lambda r: "" if r.prove_s is None else f"{r.prove_s:.2f}",
        "proof": _proof,
        "verify gas": lambda r: "" if r.verify_gas is None else f"{r.verify_gas:,}",
        "dispute gas": lambda r: f"{r.dispute_gas:,}" if r.dispute_gas else "",
        "provider ETH": lambda r: _ether(r, "provider"),
        "challenger ETH": lambda r: _ether(r, "challenger"),
    }
    for name in columns:
        if name in omitted:
            continue
        left = name in ("scenario", "answer", "outcome", "contested")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    shown = [str(column.header) for column in table.columns]
    for result in report.scenarios:
        table.add_row(*(columns[name](result) for name in shown))
    return table


def _place(result: ScenarioResult) -> str:
    place = result.contested
    if place is None:
        return ""
    if place["step"] == "head":
        return f"head, position {place['position']}"
    where = str(place.get("name", place["step"]))
    return f"{where}, window {place['window']}" if "window" in place else where


def _proof(result: ScenarioResult) -> str:
    if result.proof_bytes is not None:
        return f"{result.proof_bytes:,} B"
    return f"{len(result.refused_proofs)} refused" if result.refused_proofs else ""


def _ether(result: ScenarioResult, role: str) -> str:
    wei = result.bond_changes_wei.get(role, 0)
    return f"{wei / 10**18:+.4g}" if wei else ""


def _printable(text: str) -> str:
    from rich.markup import escape

    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return escape(text if len(text) <= _ANSWER else text[: _ANSWER - 1] + "…")
