"""`gainsay dispute`: open, inspect and play disputes by hand, for either side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contracts.bindings.sender import Mined
    from contracts.protocol.actions import Action

    from .dispute_desk import DisputeDesk

app = typer.Typer(no_args_is_help=True, help="Open, inspect and play disputes by hand.")

GameId = Annotated[int, typer.Argument(metavar="GAME", min=1, help="Number of the game.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str | None, typer.Option("--model", help="The model on this machine to compute with.")]
Provider = Annotated[list[str] | None, typer.Option("--provider", help="Provider URL, or 0xADDRESS=URL.")]
RpcUrl = Annotated[str | None, typer.Option("--rpc-url", help="RPC endpoint of the chain.")]
DeploymentFile = Annotated[
    Path | None, typer.Option("--deployment", help="File with the contracts' addresses.")
]
Account = Annotated[str | None, typer.Option("--account", help="An unlocked account (devnets only).")]
Keystore = Annotated[Path | None, typer.Option("--keystore", help="Encrypted keystore of the account's key.")]


@app.command("open")
def open_game(
    batch: Annotated[int, typer.Argument(help="Number of the batch.")],
    index: Annotated[int, typer.Argument(help="Index of the response in it.")],
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Make the provider put the ids on chain first.")
    ] = False,
    as_json: AsJson = False,
    provider: Provider = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
) -> None:
    """Stake the bond and open a dispute about one response."""
    desk = _desk(provider, rpc_url, deployment, account, keystore)
    game_id, mined = desk.open(batch, index, reveal_requested=reveal)
    _say(as_json, {"game": game_id, **_transaction(mined)}, f"game {game_id} opened ({mined.gas_used} gas)")


@app.command("list")
def list_games(
    running: Annotated[bool, typer.Option("--running", help="Leave out games that are over.")] = False,
    as_json: AsJson = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
) -> None:
    """Every dispute: whose move, how long, how it ended."""
    games = _desk(None, rpc_url, deployment, None, None, watch=True).games()
    games = [game for game in games if not running or game["outcome"] == "undecided"]
    if as_json:
        typer.echo(json.dumps(games))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("game", "response", "phase", "round", "steps", "to move", "seconds left", "outcome")
    for game in games:
        steps = f"{game['steps'][0]}..{game['steps'][1]}"
        ended = f"{game['outcome']} ({game['reason']})" if game["mover"] is None else "-"
        left = "-" if game["seconds_left"] is None else str(game["seconds_left"])
        response = f"{game['batch']}/{game['index']}"
        cells = [
            game["game"],
            response,
            game["phase"],
            game["round"],
            steps,
            game["mover"] or "-",
            left,
            ended,
        ]
        table.add_row(*map(str, cells))
    Console().print(table)


@app.command()
def show(
    game: GameId, as_json: AsJson = False, rpc_url: RpcUrl = None, deployment: DeploymentFile = None
) -> None:
    """All about one dispute."""
    found = _desk(None, rpc_url, deployment, None, None, watch=True).describe(game)
    text = "\n".join(f"{name:13} {value}" for name, value in found.items() if value not in (None, []))
    _say(as_json, found, text)


@app.command()
def move(
    game: GameId,
    part: Annotated[
        int | None, typer.Option("--part", min=0, help="Challenger: this part's end is wrong.")
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", min=0, help="Challenger: this window is wrong.")
    ] = None,
    input_: Annotated[bool, typer.Option("--input", help="Challenger: b_0 is wrong.")] = False,
    concede: Annotated[bool, typer.Option("--concede", help="Give up.")] = False,
    as_json: AsJson = False,
    model: Model = None,
    provider: Provider = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
) -> None:
    """Make one move: the one named, or with --model the one that an honest player would make."""
    from contracts.protocol import actions
    from prover.errors import UsageError

    named: list[Action] = []
    if part is not None:
        named.append(actions.ChallengePart(part))
    if window is not None:
        named.append(actions.ChooseWindow(window))
    if input_:
        named.append(actions.ChallengeInput())
    if concede:
        named.append(actions.Concede("asked for on the command line"))
    if len(named) > 1:
        raise UsageError("name one move, not several")
    desk = _desk(provider, rpc_url, deployment, account, keystore, model)
    _report(as_json, game, *desk.play(game, named[0] if named else None))


@app.command()
def prove(
    game: GameId,
    model: Annotated[str, typer.Option("--model", help="The model on this machine to prove with.")],
    as_json: AsJson = False,
    provider: Provider = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
) -> None:
    """Provider: compute and send the proof that the game waits for."""
    _report(as_json, game, *_desk(provider, rpc_url, deployment, account, keystore, model).prove(game))


@app.command()
def resolve(
    game: GameId,
    as_json: AsJson = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
) -> None:
    """End a dispute whose mover is out of time, or whose response is void already."""
    _report(as_json, game, *_desk(None, rpc_url, deployment, account, keystore).resolve(game))


def _desk(
    provider: list[str] | None,
    rpc_url: str | None,
    deployment: Path | None,
    account: str | None,
    keystore: Path | None,
    model: str | None = None,
    *,
    watch: bool = False,
) -> DisputeDesk:
    from .dispute_desk import DisputeDesk
    from .local_models import load_local_model
    from .provider_client import ProviderClient, provider_urls
    from .settings import load_settings
    from .startup import connect

    settings = load_settings(
        providers=provider or None,
        rpc_url=rpc_url,
        deployment=deployment,
        account=account,
        keystore=keystore,
        watch_only=watch or None,
    )
    connection = connect(settings)
    clients = {address: ProviderClient(url) for address, url in provider_urls(settings.providers).items()}
    local = None if model is None else load_local_model(model, settings.srs)
    return DisputeDesk(connection, clients, local)


def _report(as_json: bool, game: int, action: Action, mined: Mined) -> None:
    name = type(action).__name__
    _say(as_json, {"game": game, "move": name, **_transaction(mined)}, f"{name} sent ({mined.gas_used} gas)")


def _transaction(mined: Mined) -> dict[str, Any]:
    hash_ = "0x" + mined.transaction_hash.hex()
    return {"transaction": hash_, "block": mined.block_number, "gas_used": mined.gas_used}


def _say(as_json: bool, body: dict[str, Any], text: str) -> None:
    typer.echo(json.dumps(body) if as_json else text)
