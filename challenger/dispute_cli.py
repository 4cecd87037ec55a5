"""`gainsay dispute`: open, inspect and play disputes by hand; what the bots do, one move at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    Of,
    Role,
    RpcUrl,
    Yes,
    chain_flags,
)

if TYPE_CHECKING:
    from contracts.bindings.sender import Sender
    from contracts.protocol.actions import Action
    from contracts.protocol.model import ModelSpec

    from .disputes_by_hand import Asked, DisputeTable, Sent
    from .local_models import LocalModel
    from .settings import ChallengerSettings

app = typer.Typer(no_args_is_help=True, help="Open, inspect and play disputes by hand.")

Database = Annotated[
    Path | None, typer.Option("--database", help="SQLite file that journals the transactions.")
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", help="URL of a provider, or 0xADDRESS=URL; several times.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="A model on this machine; several times. Without it: the one that is disputed, if it is here.",
    ),
]
GameId = Annotated[int, typer.Argument(help="Number of the game.")]
BatchId = Annotated[int, typer.Argument(help="Batch that holds the response.")]
Index = Annotated[int, typer.Argument(help="The response's place in it, from 0.")]


@app.command("open")
def open_command(
    batch: BatchId,
    index: Index = 0,
    provider: Providers = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Dispute a response; stakes the bond. Names the cost and asks, commits, and opens in a later block."""
    settings = settings_of(
        devnet, rpc_url, deployment, keystore, account, database, role, providers=provider or None
    )
    table, sender = _sit_down(settings)
    _print_sent(table.open(sender, batch, index, consent=consent_of(yes)), as_json)


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
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Pay the ask price for a response to be shown on chain. The price is the provider's when it shows it."""
    from prover.errors import UsageError

    table, sender = _sit_down(settings_of(devnet, rpc_url, deployment, keystore, account, database, role))
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
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End an ask that was not answered in time: the response is void, the asker gets the price and a reward."""
    table, sender = _sit_down(settings_of(devnet, rpc_url, deployment, keystore, account, database, role))
    _print_asked(table.claim_not_shown(sender, batch, index), as_json)


@app.command()
def join(
    batch: BatchId,
    index: Index = 0,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Be paid for an opening that was committed before the response became void."""
    table, sender = _sit_down(settings_of(devnet, rpc_url, deployment, keystore, account, database, role))
    _print_asked(table.join(sender, batch, index), as_json)


@app.command("close-rewards")
def close_rewards(
    batch: BatchId,
    index: Index = 0,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Burn what nobody claimed of a void response's rewards; anyone may, after the join window."""
    table, sender = _sit_down(settings_of(devnet, rpc_url, deployment, keystore, account, database, role))
    _print_asked(table.close_rewards(sender, batch, index), as_json)


@app.command("list")
def list_command(
    open_only: Annotated[bool, typer.Option("--open", help="Only games that are not resolved.")] = False,
    of: Of = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """All games, or an account's."""
    table, _ = _look(settings_of(devnet, rpc_url, deployment, watch_only=True))
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
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """One game: whose turn it is, until when, and what is contested."""
    settings = settings_of(devnet, rpc_url, deployment, watch_only=True)
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
    from contracts.protocol.fact_text import show_fact

    for name, value in facts.items():
        if name == "now":
            continue
        if isinstance(value, dict) and name == "boundaries":
            for step, posted in value.items():
                typer.echo(f"{'boundary ' + step:<14}{posted}")
        elif name == "seconds_left" or value is None:
            continue  # the deadline says it
        elif isinstance(value, dict | list):
            typer.echo(f"{name.replace('_', ' '):<14}{_plain(value)}")
        else:
            typer.echo("{:<14}{}".format(*show_fact(name, value, facts["now"])))
    if (ending := _ending(facts)) is not None:
        typer.echo(ending)


@app.command()
def move(
    game_id: GameId,
    part: Annotated[
        int | None, typer.Option("--part", min=0, help="Challenge this part of the range.")
    ] = None,
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
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make a move for either side: the named one, or the honest player's. The model is run for this, and for what a challenge of the
    input or of one step claims. Names the cost and asks."""
    named = _named_move(part, embedding, position, rival, concede)
    settings = settings_of(
        devnet, rpc_url, deployment, keystore, account, database, role,
        providers=provider or None, models=model or None,
    )  # fmt: skip
    table, sender = _sit_down(settings)
    models = _models(settings, table.spec(game_id), are_named=bool(model))
    if named is not None:
        _print_sent(table.send(sender, game_id, named, models, consent_of(yes)), as_json)
        return
    table.require_turn(sender.address, game_id)
    _print_sent(table.honest_move(sender, game_id, models, consent=consent_of(yes)), as_json)


@app.command()
def prove(
    game_id: GameId,
    model: Models = None,
    provider: Providers = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Prove the contested step, as the provider, or show that the challenger claims what was posted."""
    settings = settings_of(
        devnet, rpc_url, deployment, keystore, account, database, role,
        providers=provider or None, models=model or None,
    )  # fmt: skip
    table, sender = _sit_down(settings)
    models = _models(settings, table.spec(game_id), are_named=bool(model))
    _print_sent(table.honest_move(sender, game_id, models, proof_only=True), as_json)


@app.command()
def resolve(
    game_id: GameId,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End a game whose turn has run out, or whose response is void; anyone may."""
    table, sender = _sit_down(settings_of(devnet, rpc_url, deployment, keystore, account, database, role))
    _print_sent(table.resolve(sender, game_id), as_json)


# --- behind the commands


def settings_of(
    devnet: bool,
    rpc_url: str | None,
    deployment: Path | None,
    keystore: Path | None = None,
    account: str | None = None,
    database: Path | None = None,
    role: str | None = None,
    **more: Any,
) -> ChallengerSettings:
    """Flags above the devnet's values (the challenger's account, unless `role` says whose) above environment and file."""
    from prover.errors import UsageError

    from .settings import load_settings

    if role is not None and not devnet:
        raise UsageError("--as names an account of the devnet; say --devnet, too, or name one with --account")
    flags = chain_flags(
        devnet,
        rpc_url,
        deployment,
        keystore,
        account,
        role=role or "challenger",
        challenger_database=database,
        **more,
    )
    return load_settings(**flags)


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


def _models(settings: ChallengerSettings, spec: ModelSpec, *, are_named: bool) -> Iterator[LocalModel]:
    """Those named on the command line, else all on this machine that may be the registered one, each loaded when it is asked for."""
    from .local_models import load_local_model, possible_names

    names = settings.models if are_named else possible_names(spec, settings.models, settings.models_dir)
    for name in names:
        yield load_local_model(
            name, settings.srs, models=settings.models_dir, commitments=settings.commitments_dir
        )


def _named_move(
    part: int | None,
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
    if embedding:
        named.append(actions.ChallengeInput(claim=b""))  # what it claims is computed when it is made
    if position is not None and rival is not None:
        named.append(actions.ChallengeHead(position, rival))
    if concede:
        named.append(actions.Concede("by hand"))
    if len(named) > 1:
        raise UsageError("name one move only, or none for the honest player's")
    return named[0] if named else None


def consent_of(yes: bool) -> Callable[[str], None]:
    """Asks on the terminal, unless `--yes` was given; what is asked never reaches standard output."""
    from contracts.bindings.consent import ask

    return lambda sentence: ask(sentence, yes)


def _print_sent(sent: Sent, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(sent.as_json()))
        return
    if sent.commit is not None:
        typer.echo(f"game {sent.game_id}: Commit, {sent.commit}")
    typer.echo(f"game {sent.game_id}: {sent.move}, {sent.mined}")


def _print_asked(asked: Asked, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asked.as_json()))
        return
    from contracts.protocol.clock_text import show_time

    until, place = asked.status["show_deadline"], f"{asked.batch_id} {asked.index}"
    wait = (
        f"; to be shown until {show_time(until)}, then `gainsay dispute claim-not-shown {place}`"
        if until
        else ""
    )
    typer.echo(
        f"batch {asked.batch_id} response {asked.index}: {asked.move}, {asked.mined}; {asked.status['status']}{wait}"
    )


def _turn(game: dict[str, Any]) -> str:
    from contracts.protocol.clock_text import show_span

    left, turn = game["seconds_left"], f"{game['mover']} to move ({game['phase']})"
    if left >= 0:
        return f"{turn}, {show_span(left)} left"
    return f"{turn}, time over since {show_span(left)}: `gainsay dispute resolve {game['game']}` ends it"


def _ending(game: dict[str, Any]) -> str | None:
    """Who can end the game now, where nobody has to wait for a move."""
    if game["phase"] == "resolved":
        return None
    if game["response"]["status"] == "void":
        return f"the response is void: `gainsay dispute resolve {game['game']}` ends the game; anyone may"
    if game["seconds_left"] < 0:
        return f"the {game['mover']}'s time is over: `gainsay dispute resolve {game['game']}` ends the game; anyone may"
    return None


def _where(contested: dict[str, Any] | None) -> str:
    if contested is None:
        return ""
    rest = [f"{name} {value}" for name, value in contested.items() if name != "step"]
    about = contested["step"]
    return "".join(
        f", {fact}" for fact in (f"about {about if isinstance(about, str) else f'step {about}'}", *rest)
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        from contracts.protocol.fact_text import show_fact

        facts = (show_fact(name, item, 0) for name, item in value.items() if item is not None)
        return ", ".join(f"{name} {text}" for name, text in facts)
    if isinstance(value, list):
        return " .. ".join(str(item) for item in value)
    return str(value)
