"""`gainsay audit open | resolve | show`: audits with bonds, on chain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    Role,
    RpcUrl,
    Yes,
)

from .dispute_cli import BatchId, Database, Index, Providers, consent_of

if TYPE_CHECKING:
    from contracts.bindings.sender import Sender

    from .audits_by_hand import AuditSent, AuditTable

app = typer.Typer(no_args_is_help=True)

AuditId = Annotated[int, typer.Argument(help="Number of the audit.")]


@app.command("open")
def open_command(
    batch: BatchId,
    index: Index = 0,
    step: Annotated[
        list[str] | None, typer.Option(metavar="STEP:WINDOW", help="Have this step proven; several times.")
    ] = None,
    window: Annotated[
        list[int] | None,
        typer.Option("--input", min=0, metavar="WINDOW", help="Have the embedding proven; several times."),
    ] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TILE:WINDOW", help="Have a window's output proven against a tile of ids; several times."
        ),
    ] = None,
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
    """Audit a private answer on chain; stakes a bond for each item, which is lost if the provider proves them. Names the cost and asks."""
    from contracts.protocol.audits import AuditItem

    from .audit_cli import number_pair

    items = [AuditItem.of_step(*number_pair(text, "--step")) for text in step or ()]
    items += [AuditItem.of_input(each) for each in window or ()]
    items += [AuditItem.of_head(*number_pair(text, "--tile")) for text in tile or ()]
    table, sender = _sit_down(
        devnet, rpc_url, deployment, keystore, account, database, role, providers=provider or None
    )
    _print(table.open(_mover(sender), batch, index, items, consent_of(yes)), as_json)


@app.command()
def resolve(
    audit: AuditId,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    role: Role = None,
    devnet: Devnet = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End an audit that was not answered in time, or whose response is void; anyone may."""
    table, sender = _sit_down(devnet, rpc_url, deployment, keystore, account, database, role)
    _print(table.resolve(_mover(sender), audit), as_json)


@app.command()
def show(
    audit: AuditId,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """One audit: what is named, what is proven, until when."""
    facts = _sit_down(devnet, rpc_url, deployment, watch_only=True)[0].describe(audit)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        if name == "items":
            for item in value:
                typer.echo(f"{'item':<14}{_named(item)}: {'proven' if item['proven'] else 'not proven'}")
        elif value is not None:
            typer.echo(f"{name.replace('_', ' '):<14}{value}")


def _sit_down(*options: Any, **more: Any) -> tuple[AuditTable, Sender | None]:
    from .audits_by_hand import AuditTable
    from .dispute_cli import settings_of
    from .disputes_by_hand import DisputeTable
    from .provider_client import provider_book
    from .startup import connect

    settings = settings_of(*options, **more)
    connection = connect(settings)
    secret = connection.store.secret()
    table = DisputeTable(connection.contracts, provider_book(settings.providers), secret)
    return AuditTable(connection.contracts, table, secret), connection.sender


def _mover(sender: Sender | None) -> Sender:
    from contracts.bindings.settings import SettingsError

    if sender is None:
        raise SettingsError(
            "this needs a key; name one with --account or --keystore, and turn watch_only off"
        )
    return sender


def _named(item: dict[str, Any]) -> str:
    if "tile" in item:
        return f"tile {item['tile']}, window {item['window']}"
    step = "input" if item["step"] == "input" else f"step {item['step']}"
    return f"{step}, window {item['window']}"


def _print(sent: AuditSent, as_json: bool) -> None:
    from contracts.protocol.clock_text import show_span, show_time
    from contracts.protocol.ether import show_ether

    if as_json:
        typer.echo(json.dumps(sent.as_json()))
        return
    state = sent.state
    bond, fee = show_ether(int(state["bond_wei"])), show_ether(sent.fee_wei)
    typer.echo(
        f"audit {sent.audit_id}: {sent.move}, {sent.gas:,} gas for {fee}, block {sent.mined.block_number}; bond {bond}"
    )
    if state["outcome"] == "undecided":
        typer.echo(
            f"{state['remaining']} items to be proven until {show_time(state['deadline'])} ({show_span(state['seconds_left'])}), "
            f"then `gainsay audit resolve {sent.audit_id}`"
        )
    else:
        typer.echo(f"{state['outcome']} ({state['reason']})".replace("_", " "))
