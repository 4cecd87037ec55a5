"""`gainsay challenger`: re-run responses and dispute the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Re-run responses and dispute the wrong ones.")

RpcUrl = Annotated[str | None, typer.Option("--rpc-url", help="RPC endpoint of the chain.")]
DeploymentFile = Annotated[
    Path | None, typer.Option("--deployment", help="File with the contracts' addresses.")
]
Account = Annotated[str | None, typer.Option("--account", help="An unlocked account (devnets only).")]
Keystore = Annotated[
    Path | None, typer.Option("--keystore", help="Encrypted keystore of the challenger's key.")
]
Database = Annotated[Path | None, typer.Option("--database", help="The challenger's own SQLite file.")]


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
            help="Ask on chain for responses that a provider hides. Each costs the ask price (0.02 ETH in the presets): the "
            "provider's when it shows the response, back with a reward when not. At most ask_budget_wei per window.",
        ),
    ] = False,
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
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, then leave.")] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
) -> None:
    """Watch the chain until Ctrl-C: re-run responses, open disputes, play them to the end, withdraw."""
    import signal
    import threading

    from .settings import load_settings
    from .startup import connect, open_challenger

    settings = load_settings(
        policy=policy,
        watch_only=watch_only or None,
        ask=ask or None,
        models=model or None,
        trusted_models=trust or None,
        providers=provider or None,
        rpc_url=rpc_url,
        deployment=deployment,
        account=account,
        keystore=keystore,
        challenger_database=database,
    )
    stop = threading.Event()
    connection = connect(settings)
    with connection.running_alone():
        challenger = open_challenger(settings, connection, stop)
        if once:
            challenger.settle()
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        typer.echo(f"challenger watches {settings.rpc_url} with policy {settings.policy}; Ctrl-C stops it")
        challenger.run(stop)


@app.command("list")
def list_verdicts(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch_only: Annotated[
        bool, typer.Option("--watch-only", help="The database of a watching challenger.")
    ] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    keystore: Keystore = None,
    database: Database = None,
) -> None:
    """Every response that was seen, its verdict, and the games that were opened."""
    from .settings import load_settings
    from .startup import connect

    settings = load_settings(
        watch_only=watch_only or None,
        rpc_url=rpc_url,
        deployment=deployment,
        account=account,
        keystore=keystore,
        challenger_database=database,
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
                    "why": f"{asked.asker} waits for it to be shown until {asked.show_deadline}",
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
