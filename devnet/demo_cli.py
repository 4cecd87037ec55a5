"""`gainsay demo`: everything at once, on a local chain."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from .demo import DemoReport
    from .scenarios.result import ScenarioResult

_STATE = Path(".gainsay")


def demo(
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", help="Play only this one; may be given several times.")
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", help="smollm2-135m (fetched and imported if missing) or tiny (built in)."),
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
        Console(width=None if Console().is_terminal else 160).print(_table(result))
    if result.failures:
        raise ScenarioFailed("; ".join(result.failures))


def _leave(*_: Any) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that the chain is stopped."""
    raise SystemExit(143)


def _table(report: DemoReport) -> Table:
    from rich import box
    from rich.table import Table

    fidelity = report.fidelity
    title = (
        f"{report.model} {report.model_id[:10]}…   perplexity float {fidelity.perplexity_float:.3f}, "
        f"integer {fidelity.perplexity_integer:.3f}; same next token {100 * fidelity.argmax_agreement:.1f} %"
    )
    table = Table(title=title, box=box.ROUNDED, caption=f"{report.seconds:.0f} s; .gainsay/demo/report.json")
    table.add_column("scenario", no_wrap=True)
    table.add_column("answer", max_width=30, overflow="ellipsis", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("contested", no_wrap=True)
    for name in ("rounds", "prove s", "proof B", "verify gas", "dispute gas"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("who gained or lost (ETH)")
    failed = {failure.split(" ", 1)[0] for failure in report.failures}
    for result in report.scenarios:
        colour = "red" if result.name in failed else "green"
        table.add_row(
            result.name,
            _printable(result.answer),
            f"[{colour}]{result.outcome}[/{colour}]{_refusals(result)}",
            _place(result),
            str(result.rounds or ""),
            "" if result.prove_s is None else f"{result.prove_s:.2f}",
            "" if result.proof_bytes is None else f"{result.proof_bytes:,}",
            "" if result.verify_gas is None else f"{result.verify_gas:,}",
            f"{result.dispute_gas:,}" if result.dispute_gas else "",
            ", ".join(f"{role} {wei / 1e18:+.4g}" for role, wei in result.bond_changes_wei.items() if wei),
        )
    return table


def _place(result: ScenarioResult) -> str:
    place = result.contested
    if place is None:
        return ""
    if place["step"] == "head":
        return f"head, position {place['position']}"
    where = f"layer {place['layer']}, " if "layer" in place else ""
    return f"{place['step']}, {where}window {place['window']}"


def _refusals(result: ScenarioResult) -> str:
    count = len(result.refused_proofs)
    return f"\n{count} proof{'s' if count > 1 else ''} refused" if count else ""


def _printable(text: str) -> str:
    from rich.markup import escape

    return escape("".join(letter if letter.isprintable() else "·" for letter in text.strip()))
