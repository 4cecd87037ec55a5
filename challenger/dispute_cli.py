"""`gainsay dispute`: open, inspect and play disputes by hand; what the bots do, one move at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from contracts.bindings.sender import Sender
    from contracts.protocol.actions import Action

    from .disputes_by_hand import Asked, DisputeTable, Sent
    from .local_models import LocalModel
    from .settings import ChallengerSettings

app = typer.Typer(no_args_is_help=True, help="Open, inspect and play disputes by hand.")

RpcUrl = Annotated[str | None, typer.Option("--rpc-url", help="RPC endpoint of the chain.")]
DeploymentFile = Annotated[
    Path | None, typer.Option("--deployment", help="File with the contracts' addresses.")
]
Account = Annotated[
    str | None, typer.Option("--account", help="An unlocked account to move for (devnets only).")
]
Keystore = Annotated[
    Path | None, typer.Option("--keystore", help="Encrypted keystore of the key to move with.")
]
Database = Annotated[
    Path | None, typer.Option("--database", help="SQLite file that journals the transactions.")
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", help="URL of a provider, or 0xADDRESS=URL; several times.")
]
Models = Annotated[list[str] | None, typer.Option("--model", help="A model on this machine; several times.")]
GameId = Annotated[int, typer.Argument(help="Number of the game.")]
BatchId = Annotated[int, typer.Argument(help="Batch that holds the response.")]
Index = Annotated[int, typer.Argument(help="The response's place in it, from 0.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("open")
def open_command(
    batch: BatchId,
    index: Index = 0,
    provider: Providers = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Dispute a response; stakes the bond. Commits first, and opens in a later block."""
    settings = settings_of(rpc_url, deployment, account, keystore, database, providers=provider or None)
    table, sender = _sit_down(settings)
    _print_sent(table.open(sender, batch, index), as_json)


@app.command()
def ask(
    batch: Annotated[int | None, typer.Argument(help="Batch that holds the response.")] = None,
    index: Index = 0,
    receipt: Annotated[
        Path | None,
        typer.Option(
            "--receipt", help="Instead: file with the receipt of the response, as the API gives it."
        ),
    ] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Pay the ask price for a response to be shown on chain. The price is the provider's when it shows it."""
    from prover.errors import UsageError

    table, sender = _sit_down(settings_of(rpc_url, deployment, account, keystore, database))
    if (batch is None) == (receipt is None):
        raise UsageError("name a batch and an index, or a --receipt")
    if receipt is not None:
        batch, index = table.place_of_receipt(receipt)
    assert batch is not None
    _print_asked(table.ask(sender, batch, index), as_json)


@app.command("claim-not-shown")
def claim_not_shown(
    batch: BatchId,
    index: Index = 0,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End an ask that was not answered in time: the response is void, the asker gets the price and a reward."""
    table, sender = _sit_down(settings_of(rpc_url, deployment, account, keystore, database))
    _print_asked(table.claim_not_shown(sender, batch, index), as_json)


@app.command()
def join(
    batch: BatchId,
    index: Index = 0,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Be paid for an opening that was committed before the response became void."""
    table, sender = _sit_down(settings_of(rpc_url, deployment, account, keystore, database))
    _print_asked(table.join(sender, batch, index), as_json)


@app.command("close-rewards")
def close_rewards(
    batch: BatchId,
    index: Index = 0,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Burn what nobody claimed of a void response's rewards; anyone may, after the join window."""
    table, sender = _sit_down(settings_of(rpc_url, deployment, account, keystore, database))
    _print_asked(table.close_rewards(sender, batch, index), as_json)


@app.command("list")
def list_command(
    open_only: Annotated[bool, typer.Option("--open", help="Only games that are not resolved.")] = False,
    of: Annotated[str | None, typer.Option("--of", help="Only games of this address.")] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    as_json: AsJson = False,
) -> None:
    """All games, or an account's."""
    table, _ = _look(settings_of(rpc_url, deployment, watch_only=True))
    games = [table.describe(number, game) for number, game in table.games(open_only=open_only, account=of)]
    if as_json:
        typer.echo(json.dumps(games))
        return
    if not games:
        typer.echo("no disputes")
    for game in games:
        state = f"{game['outcome']} ({game['reason']})" if game["phase"] == "resolved" else _turn(game)
        typer.echo(
            f"game {game['game']:<4} batch {game['batch']} response {game['index']}: "
            f"{state}{_where(game['contested'])}".replace("_", " ")
        )


@app.command()
def show(
    game_id: GameId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw it as it narrows, until it is over or Ctrl-C.")
    ] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    as_json: AsJson = False,
) -> None:
    """One game: whose turn it is, until when, and what is contested."""
    settings = settings_of(rpc_url, deployment, watch_only=True)
    if watch:
        from contracts.bindings.opening import open_chain
        from explorer.terminal import watch_game

        opened = open_chain(settings)
        watch_game(opened.contracts, game_id, settings.poll_s, opened.confirmations, as_json)
        return
    table, _ = _look(settings)
    facts = table.describe(game_id, table.game(game_id))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, dict) and name == "boundaries":
            for step, posted in value.items():
                typer.echo(f"{'boundary ' + step:<14}{posted}")
        elif value is not None:
            typer.echo(f"{name.replace('_', ' '):<14}{_plain(value)}")


@app.command()
def move(
    game_id: GameId,
    part: Annotated[
        int | None, typer.Option("--part", min=0, help="Challenge this part of the range.")
    ] = None,
    window: Annotated[int | None, typer.Option("--window", min=0, help="Choose this window.")] = None,
    embedding: Annotated[bool, typer.Option("--input", help="Challenge b_0, the embedding.")] = False,
    position: Annotated[
        int | None, typer.Option("--position", min=0, help="Challenge the token after this position ...")
    ] = None,
    rival: Annotated[int | None, typer.Option("--rival", min=0, help="... with this token id.")] = None,
    concede: Annotated[bool, typer.Option("--concede", help="Give up.")] = False,
    model: Models = None,
    provider: Providers = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a move for either side: the named one, or the honest player's (then the model is run)."""
    named = _named_move(part, window, embedding, position, rival, concede)
    settings = settings_of(
        rpc_url, deployment, account, keystore, database, providers=provider or None, models=model or None
    )
    table, sender = _sit_down(settings)
    if named is not None:
        _print_sent(table.send(sender, game_id, named), as_json)
        return
    table.require_turn(sender.address, game_id)
    _print_sent(table.honest_move(sender, game_id, _models(settings)), as_json)


@app.command()
def prove(
    game_id: GameId,
    model: Models = None,
    provider: Providers = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Prove the contested step, as the provider."""
    settings = settings_of(
        rpc_url, deployment, account, keystore, database, providers=provider or None, models=model or None
    )
    table, sender = _sit_down(settings)
    _print_sent(table.honest_move(sender, game_id, _models(settings), proof_only=True), as_json)


@app.command()
def resolve(
    game_id: GameId,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End a game whose turn has run out, or whose response is void; anyone may."""
    table, sender = _sit_down(settings_of(rpc_url, deployment, account, keystore, database))
    _print_sent(table.resolve(sender, game_id), as_json)


# --- behind the commands


def settings_of(
    rpc_url: str | None,
    deployment: Path | None,
    account: str | None = None,
    keystore: Path | None = None,
    database: Path | None = None,
    **more: Any,
) -> ChallengerSettings:
    from .settings import load_settings

    return load_settings(
        rpc_url=rpc_url,
        deployment=deployment,
        account=account,
        keystore=keystore,
        challenger_database=database,
        **more,
    )


def _look(settings: ChallengerSettings) -> tuple[DisputeTable, Sender | None]:
    from .disputes_by_hand import DisputeTable
    from .provider_client import provider_book
    from .startup import connect

    connection = connect(settings)
    table = DisputeTable(connection.contracts, provider_book(settings.providers), connection.store.secret())
    return table, connection.sender


def _sit_down(settings: ChallengerSettings) -> tuple[DisputeTable, Sender]:
    from contracts.bindings.settings import SettingsError

    table, sender = _look(settings)
    if sender is None:
        raise SettingsError(
            "a move needs a key; name one with --account or --keystore, and turn watch_only off"
        )
    return table, sender


def _models(settings: ChallengerSettings) -> list[LocalModel]:
    from .local_models import load_local_model

    return [
        load_local_model(name, settings.srs, models=settings.models_dir, commitments=settings.commitments_dir)
        for name in settings.models
    ]


def _named_move(
    part: int | None,
    window: int | None,
    embedding: bool,
    position: int | None,
    rival: int | None,
    concede: bool,
) -> Action | None:
    from contracts.protocol import actions
    from prover.errors import UsageError

    if (position is None) != (rival is None):
        raise UsageError("--position and --rival belong together")
    named: list[Action] = []
    if part is not None:
        named.append(actions.ChallengePart(part))
    if window is not None:
        named.append(actions.ChooseWindow(window))
    if embedding:
        named.append(actions.ChallengeInput())
    if position is not None and rival is not None:
        named.append(actions.ChallengeHead(position, rival))
    if concede:
        named.append(actions.Concede("by hand"))
    if len(named) > 1:
        raise UsageError("name one move only, or none for the honest player's")
    return named[0] if named else None


def _print_sent(sent: Sent, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(sent.as_json()))
        return
    typer.echo(
        f"game {sent.game_id}: {sent.move}, {sent.mined.gas_used:,} gas, block {sent.mined.block_number}"
    )


def _print_asked(asked: Asked, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asked.as_json()))
        return
    until = asked.status["show_deadline"]
    wait = f"; to be shown until {until}, then `gainsay dispute claim-not-shown`" if until else ""
    typer.echo(
        f"batch {asked.batch_id} response {asked.index}: {asked.move}, {asked.mined.gas_used:,} gas, "
        f"block {asked.mined.block_number}; {asked.status['status']}{wait}"
    )


def _turn(game: dict[str, Any]) -> str:
    left = game["seconds_left"]
    time = f"{left} s left" if left >= 0 else f"over since {-left} s"
    return f"{game['mover']} to move ({game['phase']}), {time}"


def _where(contested: dict[str, Any] | None) -> str:
    if contested is None:
        return ""
    rest = ", ".join(f"{name} {value}" for name, value in contested.items() if name != "step")
    return f", about {contested['step']}, {rest}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None)
    if isinstance(value, list):
        return " .. ".join(str(item) for item in value)
    return str(value)
