"""`gainsay audit`: choose the steps and tiles of an answer that a provider must prove."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Have steps of a private answer proven.")


@app.callback()
def audit() -> None:
    """Choose the steps of a private answer that must be proven."""


@app.command("plan")
def plan_command(
    model: Annotated[str, typer.Argument(help="Name of a model with a Fisher profile.")] = "smollm2-135m",
    budget: Annotated[int, typer.Option(min=1, help="Items to name.")] = 8,
    heads: Annotated[
        int, typer.Option(min=0, help="How many of these are tiles of the head; the rest are steps.")
    ] = 2,
    first: Annotated[
        int, typer.Option("--first-window", min=0, help="The window of the last prompt token.")
    ] = 0,
    windows: Annotated[
        int, typer.Option(min=1, max=512, help="Windows with output tokens, from that one on.")
    ] = 1,
    strategy: Annotated[
        str, typer.Option(help="How the steps are drawn: uniform, fisher, or half of each (mixed).")
    ] = "mixed",
    seed: Annotated[
        str | None,
        typer.Option(help="32 bytes in hex, fixed after the answer was committed; fresh ones by default."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="The profile; the one beside the model by default.")
    ] = None,
    models: Annotated[
        Path, typer.Option("--models", envvar="GAINSAY_MODELS_DIR", help="Folder of GGUF files and models.")
    ] = Path(".gainsay") / "models",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Draw the items of an audit, and say what an audit of that size finds.

    The profile comes from `gainsay model fisher`. A substitution is one of whole layers, in every window; a false token is one in one
    window, which has no proof in at least one tile there.
    """
    from ..architectures.audit_steps import head_tiles
    from ..model.fisher import FILE, FisherProfile
    from ..model.library import load_model
    from .drawing import AuditPlanError, draw, draw_tiles, tiles_caught, weights
    from .plan import outlooks

    try:
        entropy = secrets.token_bytes(32) if seed is None else bytes.fromhex(seed.removeprefix("0x"))
    except ValueError:
        raise AuditPlanError(f"--seed {seed} is not hexadecimal; give 64 digits") from None
    loaded = load_model(model, models=models)
    schedule = loaded.config.schedule
    shares = FisherProfile.load(
        profile or models / model / FILE, digest=loaded.digest, steps=len(schedule)
    ).shares
    tiles = head_tiles(loaded.config).count
    pairs = tiles * windows
    named = min(heads, budget, pairs)
    drawn = draw_tiles(entropy, tiles, range(first, first + windows), named)
    if (count := budget - named) == 0:
        raise AuditPlanError(f"--heads {heads} leaves no steps of a budget of {budget}; name fewer tiles")
    steps = draw(entropy, weights(strategy, shares), count)
    found = outlooks(loaded.config, shares, count)
    caught = tiles_caught(pairs, 1, named)
    if as_json:
        facts = {
            "model": model, "budget": budget, "strategy": strategy, "seed": "0x" + entropy.hex(),
            "steps": [{"step": step, "name": str(schedule[step])} for step in steps],
            "heads": [{"tile": tile, "window": window} for tile, window in drawn],
            "head_pairs": pairs, "false_token_caught": caught,
            "outlooks": [asdict(outlook) for outlook in found],
        }  # fmt: skip
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(f"{count} of {len(schedule)} steps, drawn {strategy} from seed 0x{entropy.hex()}:")
    for step in steps:
        typer.echo(f"  step {step}: {schedule[step]}")
    typer.echo(f"\n{named} of the head's {pairs} pairs of a tile and a window with output, all alike:")
    for pair in drawn:
        typer.echo("  tile {}, window {}".format(*pair))
    typer.echo(
        f"A false token is caught with probability {caught:.1%}; with certainty by --heads {pairs}, all pairs"
    )
    typer.echo(
        "\nProbability that a substitution is caught: of any layers, on average / of the layers drawn least"
    )
    counts = [catch.layers for catch in found[0].catches]
    columns = "".join(f"{f'{n} layers' if n > 1 else '1 layer':>18}" for n in counts)
    typer.echo(f"{'strategy':<10}{'covered':>9}{columns}")
    for outlook in found:
        cells = "".join(f"{f'{c.mean:.1%} / {c.least:.1%}':>18}" for c in outlook.catches)
        typer.echo(f"{outlook.strategy:<10}{outlook.covered:>9.1%}{cells}")
