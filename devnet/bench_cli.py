"""`gainsay bench`: the figures that the README states, measured here and now.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Measure proving, the model and serving on this machine.")

Model = Annotated[str, typer.Option(help="Name of an imported model; 'tiny' is built in.")]
Models = Annotated[Path, typer.Option(help="Where imported models are.")]
Commitments = Annotated[Path, typer.Option(help="Where commitments are cached.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_MODELS = Path(".gainsay") / "models"
_COMMITMENTS = Path(".gainsay") / "commitments"


@app.command()
def proof(
    model: Model = "smollm2-135m",
    position: Annotated[
        list[int] | None, typer.Option(help="Token position to prove at; may be repeated (attention grows).")
    ] = None,
    step: Annotated[
        list[str] | None, typer.Option(help="Only this step (mlp, attention, embedding, head); repeatable.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Proofs per step after a warm-up; medians are shown.")] = 3,
    gas: Annotated[bool, typer.Option(help="Also verify on a local Anvil and read the gas.")] = True,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    as_json: AsJson = False,
) -> None:
    """Prove each kind of step: seconds, peak memory, size, verification here and on chain."""
    from contextlib import nullcontext

    from prover.curve.srs import SRS
    from prover.model.library import load_model

    from .benchmarks.gas import gas_meter
    from .benchmarks.proof import StepTask, measure_step, steps

    positions = position or [31]
    chosen = [(kind, place) for kind, place in steps(positions) if not step or kind in step]
    if not chosen:
        raise typer.BadParameter("no such step; the steps are mlp, attention, embedding and head")
    srs, loaded = SRS.devnet(18), load_model(model, models=models)
    rows: list[dict[str, Any]] = []
    with gas_meter(loaded.config, srs) if gas else nullcontext() as meter:
        for kind, place in chosen:
            result = measure_step(StepTask(model, models, commitments, kind, place, runs))
            phases = result.figures.pop("phases")
            on_chain = {
                "verify_gas": meter.verify(kind, result.key, result.inputs, result.proof) if meter else None,
                "verifier_bytes": meter.code_bytes(kind) if meter else None,
            }
            rows.append({**result.figures, **on_chain, "phases": phases})
            if not as_json:
                typer.echo(_line(rows[-1], "phases"))
                if phases:
                    typer.echo(
                        "  " + "  ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
                    )
    _finish(rows, as_json)


@app.command()
def model(
    name: Annotated[
        str, typer.Argument(help="Name of an imported model; 'tiny' is built in.")
    ] = "smollm2-135m",
    tokens: Annotated[int, typer.Option(min=2, help="Tokens to decode.")] = 32,
    commit: Annotated[bool, typer.Option(help="Also commit all weights afresh (minutes).")] = False,
    models: Models = _MODELS,
    as_json: AsJson = False,
) -> None:
    """Decode with exact integers and with float32 torch; with --commit also the commitment's time."""
    from .benchmarks.model import measure_model

    facts = measure_model(name, models, tokens, commit)
    if not as_json:
        typer.echo(_line(facts))
    _finish(facts, as_json)


@app.command()
def serve(
    name: Annotated[
        str, typer.Argument(help="Name of an imported model; 'tiny' is built in.")
    ] = "smollm2-135m",
    answers: Annotated[int, typer.Option(min=1, help="Answers to generate and sign.")] = 3,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens per answer.")] = 32,
    models: Models = _MODELS,
    as_json: AsJson = False,
) -> None:
    """What a signed receipt costs beside generating the answer that it is for."""
    from .benchmarks.serve import measure_serving

    facts = measure_serving(name, models, answers, tokens)
    if not as_json:
        typer.echo(_line(facts))
    _finish(facts, as_json)


@app.command()
def tuning(
    name: Annotated[str, typer.Argument(help="Name of an imported model.")] = "smollm2-135m",
    runs: Annotated[int, typer.Option(min=1, help="Proofs per choice after a warm-up.")] = 3,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    as_json: AsJson = False,
) -> None:
    """The MLP step under other chunk sizes and other batches of lookups: why both are what they are."""
    from .benchmarks.tuning import measure_tuning

    rows = measure_tuning(name, models, commitments, runs, lambda text: typer.echo(text, err=True))
    if not as_json:
        for row in rows:
            typer.echo(_line(row))
    _finish(rows, as_json)


def _line(facts: dict[str, Any], *omitted: str) -> str:
    return "  ".join(f"{key}={value}" for key, value in facts.items() if key not in omitted)


def _finish(results: list[dict[str, Any]] | dict[str, Any], as_json: bool) -> None:
    """Results on standard output, the machine that they were measured on beside them on standard error."""
    from .benchmarks.machine import describe_machine

    if as_json:
        typer.echo(json.dumps(results, indent=2))
    typer.echo(_line(describe_machine()), err=as_json)
