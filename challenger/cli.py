"""`gainsay challenger`: re-run responses and dispute the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    LogFormat,
    LogLevel,
    RpcUrl,
    SignerUrl,
    chain_flags,
)

if TYPE_CHECKING:
    from .settings import ChallengerSettings

app = typer.Typer(no_args_is_help=True, help="Re-run responses and dispute the wrong ones.")

Database = Annotated[Path | None, typer.Option("--database", help="The challenger's own SQLite file.")]

Device = Annotated[
    str | None,
    typer.Option(
        help="Run answers again by torch on cpu, cuda or cuda:N (default: without torch; the integers are the same)."
    ),
]


@app.command()
def run(
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            help="all, random:SHARE, fee:WEI[:BASE], stake:WEI[:BASE] or suspicion[:BASE[:SECONDS_PER_TOKEN]].",
        ),
    ] = None,
    watch_only: Annotated[bool, typer.Option("--watch-only", help="Judge, but send nothing.")] = False,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Ask on chain for responses that a provider hides. Each costs the ask price (0.00003 ETH in the preset l2): the "
            "provider's when it shows the response, back with a reward when not. At most ask_budget_wei per window.",
        ),
    ] = False,
    tend: Annotated[
        str | None,
        typer.Option(
            "--tend",
            help="Whose games and asks to end when their time is over: own, found (others', too, where a finding of this "
            "challenger's waits for it; the default) or all.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model on this machine; may be given several times.")
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            "--trust", help="An id whose verifiers were built elsewhere, to stake on, too; several times."
        ),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="URL of a provider, or 0xADDRESS=URL; several times."),
    ] = None,
    device: Device = None,
    signer_url: SignerUrl = None,
    allow_insecure_srs: Annotated[
        bool,
        typer.Option("--allow-insecure-srs", help="Stake off a devnet, though anyone can forge proofs."),
    ] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, then leave.")] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    database: Database = None,
) -> None:
    """Watch the chain until Ctrl-C: re-run responses, open disputes, play them to the end, withdraw."""
    import signal
    import threading

    from contracts.bindings.log_setup import configure_logging

    from .startup import connect, open_challenger

    settings = _settings(
        (devnet, rpc_url, deployment, keystore, account),
        policy=policy,
        watch_only=watch_only or None,
        ask=ask or None,
        tend=tend,
        models=model or None,
        trusted_models=trust or None,
        providers=provider or None,
        device=device,
        signer_url=signer_url,
        allow_insecure_srs=allow_insecure_srs or None,
        log_level=log_level,
        log_format=log_format,
        database=database,
    )
    configure_logging(settings.log_level, settings.log_format)
    stop = threading.Event()
    connection = connect(settings)
    with connection.running_alone():
        challenger = open_challenger(settings, connection, stop)
        if once:
            challenger.settle()
            challenger.require_trust()
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        typer.echo(f"challenger watches {settings.rpc_url} with policy {settings.policy}; Ctrl-C stops it")
        challenger.run(stop)


@app.command("list")
def list_verdicts(
    as_json: AsJson = False,
    watch_only: Annotated[
        bool, typer.Option("--watch-only", help="The database of a watching challenger.")
    ] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    database: Database = None,
) -> None:
    """Every response that was seen, its verdict, and the games that were opened."""
    from contracts.protocol.clock_text import show_time

    from .startup import connect

    settings = _settings(
        (devnet, rpc_url, deployment, keystore, account), watch_only=watch_only or None, database=database
    )
    store = connect(settings).store
    games: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for game in store.games():
        entry = {"game": game.game_id, "outcome": game.outcome or "running", "reason": game.reason}
        games.setdefault((game.batch_id, game.index), []).append(entry)
    rows: list[dict[str, Any]] = [
        {
            "batch": row.batch_id,
            "index": row.index,
            "leaf": "0x" + row.leaf.hex(),
            "state": row.state,
            "why": row.why + (f"; not disputed: {opening.problem}" if opening and opening.problem else ""),
            "games": games.get((row.batch_id, row.index), []),
        }
        for row, opening in store.all_responses()
    ]
    seen = {(row["batch"], row["index"]) for row in rows}
    for asked in store.asks.asked():
        if (asked.batch_id, asked.index) not in seen and asked.closed_block is None:
            rows.append(
                {
                    "batch": asked.batch_id,
                    "index": asked.index,
                    "leaf": None,
                    "state": "asked for",
                    "why": f"{asked.asker} waits for it to be shown until {show_time(asked.show_deadline)}",
                    "games": [],
                }
            )
    # What is not shown cannot be judged: one line per batch says so.
    for state, called in (("new", "not shown"), ("closed", "closed unseen")):
        for batch in store.batches(state):
            line: dict[str, Any] = {
                "batch": batch.batch_id,
                "index": None,
                "leaf": None,
                "state": called,
                "games": [],
            }
            rows.append(line | {"why": batch.problem or "not asked yet"})
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("batch", "index", "verdict", "why", "games")
    for row in rows:
        played = ", ".join(f"{game['game']}: {game['outcome']}" for game in row["games"])
        index = "" if row["index"] is None else str(row["index"])
        table.add_row(str(row["batch"]), index, row["state"], row["why"], played)
    Console().print(table)


@app.command()
def budgets(
    as_json: AsJson = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    database: Database = None,
) -> None:
    """What is at risk and was spent today, beside its limits, and why no new game is opened, if so."""
    from dataclasses import asdict

    found, head = _budgets(devnet, rpc_url, deployment, keystore, account, database)
    spent, limits = found.spent(), found.limits
    because = found.held_back(head)
    if as_json:
        typer.echo(json.dumps({"spent": asdict(spent), "limits": asdict(limits), "held_back": because}))
        return
    from contracts.protocol.ether import show_ether

    def line(name: str, value: str, limit: int | None, show: Any) -> None:
        typer.echo(f"{name:<22}{value:<26}{'no limit' if limit is None else 'of ' + show(limit)}")

    line("bonds at risk", show_ether(spent.bonds_at_risk_wei), limits.bonds_wei, show_ether)
    line("bonds in 24 hours", show_ether(spent.bonds_of_day_wei), limits.bonds_per_day_wei, show_ether)
    line("gas in 24 hours", show_ether(spent.gas_of_day_wei), limits.gas_per_day_wei, show_ether)
    line("lost games", str(spent.lost_games), limits.lost_games, str)
    typer.echo("new games are opened" if because is None else f"no new games: {because}")


@app.command()
def resume(
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    database: Database = None,
) -> None:
    """Let a challenger that stopped itself open games again; first find out why it lost."""
    found, _ = _budgets(devnet, rpc_url, deployment, keystore, account, database)
    typer.echo(f"{found.accept_lost_games()} lost games are accepted; new ones are counted from 0")


def _budgets(
    devnet: bool,
    rpc_url: str | None,
    deployment: Path | None,
    keystore: Path | None,
    account: str | None,
    database: Path | None,
) -> Any:
    """(Budgets, newest block) of the challenger's account and database."""
    from .budgets import Budgets
    from .startup import connect, limits_of

    settings = _settings((devnet, rpc_url, deployment, keystore, account), database=database)
    connection = connect(settings)
    head = connection.contracts.chain.head()
    limits = limits_of(settings)
    return Budgets(connection.contracts, connection.store, limits, lambda: head.timestamp), head


def _settings(options: tuple[Any, ...], *, database: Path | None, **flags: Any) -> ChallengerSettings:
    """`options`: those of `chain_flags`, in its order."""
    from .settings import load_settings

    return load_settings(**chain_flags(*options, role="challenger", challenger_database=database, **flags))
