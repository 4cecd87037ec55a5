"""`gainsay settlements`: batches, disputes, stakes and credits as the chain has them."""

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
    Of,
    RpcUrl,
)

from .command_settings import settings_of

if TYPE_CHECKING:
    from .chain_access import ChainAccess

app = typer.Typer(
    no_args_is_help=True, help="Batches, disputes, stakes, bonds and credits as the chain has them."
)


@app.command("list")
def list_command(
    of: Of = None,
    last: Annotated[int, typer.Option(help="How many batches and disputes to look back.", min=1)] = 50,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """List batches and disputes."""
    from .settlements import list_batches, list_games

    of = of and _checksum(of)
    contracts = _open(devnet, rpc_url, deployment).contracts
    batches, games = list_batches(contracts, of, last), list_games(contracts, of, last)
    if as_json:
        typer.echo(json.dumps({"batches": batches, "disputes": games}))
        return
    for batch in batches:
        typer.echo(
            f"batch {batch['batch_id']:<5} {batch['responses']:>5} responses, {batch['disputed']} disputed, "
            f"{batch['state']}, by {batch['provider']}"
        )
    for game in games:
        state = game["phase"] if game["outcome"] == "undecided" else f"{game['outcome']} ({game['reason']})"
        typer.echo(
            f"dispute {game['game_id']:<3} of batch {game['batch_id']} response {game['index']}: "
            f"{game['disputed']}: {state.replace('_', ' ')}"
        )
    if not batches and not games:
        typer.echo("nothing on chain yet")


@app.command()
def show(
    batch: Annotated[int | None, typer.Option(help="Number of a batch.")] = None,
    dispute: Annotated[int | None, typer.Option(help="Number of a dispute.")] = None,
    of: Annotated[
        str | None, typer.Option("--of", metavar="ADDRESS", help="An address: its stake, locks and credits.")
    ] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Show one batch, one dispute or one account."""
    from contracts.bindings.settings import SettingsError

    from .accounts import account_facts
    from .settlements import batch_facts, game_facts, response_states

    if sum(choice is not None for choice in (batch, dispute, of)) != 1:
        raise SettingsError("name one of --batch, --dispute and --of")
    contracts = _open(devnet, rpc_url, deployment).contracts
    if batch is not None:
        facts: dict[str, Any] = batch_facts(contracts, batch)
        facts["states"] = response_states(contracts, batch)
    elif dispute is not None:
        facts = game_facts(contracts, dispute)
    else:
        facts = account_facts(contracts, _checksum(str(of)))
    _print(facts, as_json, contracts.chain.head().timestamp)


@app.command()
def disputes(
    batch: Annotated[int | None, typer.Option(help="Number of a batch: with --response.")] = None,
    response: Annotated[int | None, typer.Option(help="Index of a response in --batch.", min=0)] = None,
    provider: Annotated[str | None, typer.Option(help="Only disputes against this address.")] = None,
    challenger: Annotated[str | None, typer.Option(help="Only disputes that this address opened.")] = None,
    first: Annotated[int, typer.Option(help="How many to leave out at the beginning.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="How many to show.", min=1)] = 50,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """List disputes of a response, a provider or a challenger, page by page, from the chain's logs."""
    from contracts.bindings.settings import SettingsError

    from .settlements import find_games

    if (batch is None) != (response is None):
        raise SettingsError("a response is named by --batch and --response together")
    if sum(choice is not None for choice in (batch, provider, challenger)) > 1:
        raise SettingsError("name at most one of a response, --provider and --challenger")
    found = find_games(
        _open(devnet, rpc_url, deployment).contracts,
        response=None if batch is None or response is None else (batch, response),
        provider=provider and _checksum(provider),
        challenger=challenger and _checksum(challenger),
        first=first,
        limit=limit,
    )
    if as_json:
        typer.echo(json.dumps(found))
        return
    for game in found["disputes"]:
        state = game["phase"] if game["outcome"] == "undecided" else f"{game['outcome']} ({game['reason']})"
        typer.echo(
            f"dispute {game['game_id']:<3} of batch {game['batch_id']} response {game['index']}: "
            f"{game['challenger']} against {game['provider']}: {state.replace('_', ' ')}"
        )
    shown = len(found["disputes"])
    typer.echo(f"{shown} of {found['total']}" + (f", from {first + 1} on" if first else ""))


@app.command()
def watch(
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Batches and disputes as they come, until Ctrl-C: drawn in place on a terminal, a line for each event elsewhere."""
    from explorer.terminal import watch_settlements

    settings = settings_of(devnet, rpc_url, deployment, None, None)
    access = _open(devnet, rpc_url, deployment)
    watch_settlements(access.contracts, settings.poll_s, access.confirmations, as_json)


@app.command()
def audit(
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild all accounts, batches, disputes and receipts from logs and compare them with the contracts, to the wei."""
    from .settlements import audit as compare

    facts = compare(_open(devnet, rpc_url, deployment).contracts)
    found = facts["differences"]
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        _print({name: value for name, value in facts.items() if name != "differences"}, False, 0)
        for text in found:
            typer.echo(text)
        typer.echo("logs and contracts agree" if not found else f"{len(found)} differences")
    if found:
        raise typer.Exit(1)


@app.command()
def withdraw(
    role: Annotated[str, typer.Option("--as", help="Whose credits, of the devnet's roles.")] = "provider",
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ADDRESS", help="Who gets them (default: the account itself)."),
    ] = None,
    account: Account = None,
    keystore: Keystore = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Send an account's credits to it, or to another address: rewards, won bonds, finished exits."""
    from contracts.bindings.sender import sender_on_engine
    from contracts.bindings.settings import STATE
    from contracts.protocol.ether import show_ether

    from .by_hand import by_hand, costs, tell_costs
    from .chain_access import default_database, open_chain, open_signer
    from .keys import checksum
    from .outbox import Outbox
    from .store import open_engine

    target = None if to is None else checksum(to)
    settings = settings_of(devnet, rpc_url, deployment, keystore, account, role=role)
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    stake = access.contracts.stake
    credits = stake.credits(signer.address)
    outbox = None
    if credits:
        url = settings.database_url or default_database(
            access.chain, access.contracts.ledger.address, signer.address, STATE / "provider"
        )
        sender = sender_on_engine(access.chain, signer, open_engine(url), create_tables=False)
        outbox = Outbox(sender)
        call = stake.withdraw() if target is None else stake.withdraw_to(target)
        by_hand(outbox, call, "withdraw" if target is None else f"withdraw to {target}")
    receiver = target or signer.address
    facts: dict[str, Any] = {"address": signer.address, "to": receiver, "withdrawn_wei": str(credits)}
    if as_json:
        typer.echo(json.dumps(facts | (costs(outbox) if outbox else {"transactions": []})))
        return
    if outbox:
        tell_costs(outbox)
    typer.echo(f"withdrew {show_ether(credits)} to {receiver}" if credits else "there are no credits")


def _open(devnet: bool, rpc_url: str | None, deployment: Path | None) -> ChainAccess:
    from .chain_access import open_chain

    return open_chain(settings_of(devnet, rpc_url, deployment, None, None))


def _checksum(address: str) -> str:
    from eth_utils.address import is_address, to_checksum_address

    from contracts.bindings.settings import SettingsError

    if not is_address(address):
        raise SettingsError(f"{address!r} is no address; give 0x and 40 hexadecimal digits")
    return str(to_checksum_address(address))


def _print(facts: dict[str, Any], as_json: bool, now: int) -> None:
    if as_json:
        typer.echo(json.dumps(facts))
        return
    from contracts.protocol.fact_text import show_fact

    for name, value in facts.items():
        if isinstance(value, list):
            value = ", ".join(f"{i} {state}" for i, state in enumerate(value))
        typer.echo("{:<20}{}".format(*show_fact(name, value, now)))
