"""`gainsay devnet`: start, inspect and stop a local chain with the contracts deployed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="A local chain (Anvil) with the contracts deployed.")

Folder = Annotated[Path, typer.Option("--folder", help="Where the state is kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_STATE_FOLDER = Path(".gainsay")


@app.command()
def up(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the RPC endpoint.")] = 8545,
    preset: Annotated[
        str,
        typer.Option("--preset", help="The deployment's rules: devnet (minutes), l1 or l2 (hours and days)."),
    ] = "devnet",
    folder: Folder = _STATE_FOLDER,
    as_json: AsJson = False,
) -> None:
    """Start Anvil in the background and deploy the contracts; addresses go to .gainsay/devnet.json."""
    from contracts.protocol.parameters import PRESETS
    from prover.errors import UsageError

    from .lifecycle import state_file
    from .lifecycle import up as start

    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; the presets are {', '.join(PRESETS)}")
    devnet = start(folder, port=port, parameters=PRESETS[preset])
    if as_json:
        typer.echo(json.dumps(devnet.as_json()))
        return
    typer.echo(f"devnet up at {devnet.rpc_url} (chain {devnet.deployment.chain_id}, process {devnet.pid})")
    for name in ("registry", "stake", "ledger", "game"):
        typer.echo(f"  {name:9} {getattr(devnet.deployment, name)}")
    for role, address in devnet.accounts.items():
        if not role.startswith("spare"):
            typer.echo(f"  {role:9} {address}")
    typer.echo(f"addresses are in {state_file(folder)}")


@app.command()
def status(folder: Folder = _STATE_FOLDER, as_json: AsJson = False) -> None:
    """Say whether the devnet works; leaves with 3 when it does not."""
    from .lifecycle import status as inspect

    found = inspect(folder)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    elif found.running:
        typer.echo(f"devnet runs at {found.rpc_url} (process {found.pid}, block {found.block_number})")
    else:
        typer.echo(f"devnet does not run: {found.problem}")
    if not found.running:
        raise typer.Exit(3)


@app.command()
def down(folder: Folder = _STATE_FOLDER) -> None:
    """Stop the devnet; its chain is lost."""
    from .lifecycle import down as stop

    typer.echo("devnet stopped" if stop(folder) else "no devnet was running")
