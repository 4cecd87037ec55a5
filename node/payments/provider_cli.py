"""`gainsay provider earnings | redeem`: what vouchers brought, and turning them into money by hand."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    RpcUrl,
)

from ..by_hand import by_hand, chain_side, costs, tell_costs
from .pay_cli import TokenOption, token_of

app = typer.Typer()
# Payers whose holds are released in one transaction.
_MOST_PAYERS = 200


@app.command()
def earnings(
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Release what was held long enough, and send all that is free.")
    ] = False,
    token: TokenOption = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Show what answers brought: vouchers not redeemed yet, money held for refunds, and what is free."""
    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    payments, currency, provider = access.contracts.payments, token_of(token), outbox.provider
    book = _book(access, outbox, devnet, rpc_url, deployment, keystore, account)
    rows = [row for row in book.accounts() if row.token == currency]
    if withdraw:
        releasable = [row.payer for row in rows if _is_releasable(payments, row.payer, provider, currency)]
        for start in range(0, len(releasable), _MOST_PAYERS):
            payers = releasable[start : start + _MOST_PAYERS]
            by_hand(outbox, payments.release(provider, currency, payers), f"release {' '.join(payers)}")
        if payments.account(provider, currency).balance:
            by_hand(outbox, payments.withdraw(currency, outbox.address), f"withdraw earnings {currency}")
    from ..store.payment_book import open_amount

    channels = [payments.channel(row.payer, provider, currency) for row in rows]
    owner = payments.account(provider, currency)
    amounts = {
        "in_vouchers": sum(max(0, open_amount(row)) for row in rows if row.signature),
        "held": sum(channel.held_older + channel.held_recent for channel in channels),
        "free": owner.balance,
        "set_aside_for_refunds": owner.pot,
        "owed_to_payers": owner.debt,
    }
    if not as_json:
        tell_costs(outbox)
    _print({"provider": provider, "token": currency}, amounts, as_json, costs(outbox))


@app.command()
def redeem(
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Redeem the best voucher of every payer now, however little it brings; a running node does it by itself."""
    from contracts.bindings.log_setup import configure_logging

    from ..store import Journal
    from .channels import ChainChannels, Channels
    from .redeemer import Redeemer

    access, outbox = chain_side(devnet, rpc_url, deployment, keystore, account)
    configure_logging("warning")  # standard output is the command's answer
    payments = access.contracts.payments
    engine = _engine(access, outbox, devnet, rpc_url, deployment, keystore, account)
    reader = ChainChannels(payments, outbox.provider, access.confirmations)
    redeemer = Redeemer(
        payments,
        _book(access, outbox, devnet, rpc_url, deployment, keystore, account),
        Channels(reader, Journal(engine), outbox.provider),
        outbox,
        now=lambda: access.chain.head().timestamp,
        is_playing=lambda: False,
        least=1,
        interval_s=0,
        hurry_s=0,
    )
    brought = redeemer.redeem_all()
    if as_json:
        shown = {token: str(amount) for token, amount in brought.items()}
        typer.echo(json.dumps({"provider": outbox.provider, "redeemed": shown}))
        return
    for token, amount in brought.items():
        _print({"token": token}, {"redeemed": amount}, False)
    if not brought:
        typer.echo("no voucher brings anything now")


def _is_releasable(payments: Any, payer: str, provider: str, token: str) -> bool:
    """Whether something was held for two hold periods, so that `release` frees it."""
    channel = payments.channel(payer, provider, token)
    epoch = payments.chain.head().timestamp // payments.hold_period()
    if channel.epoch == epoch:
        return False
    return bool(channel.held_older or (channel.epoch + 1 < epoch and channel.held_recent))


def _engine(access: Any, outbox: Any, *options: Any) -> Any:
    """The database that a node on this machine uses for this provider."""
    from contracts.bindings.settings import STATE

    from ..chain_access import default_database
    from ..command_settings import settings_of
    from ..store import open_engine

    url = settings_of(*options).database_url or default_database(
        access.chain, access.contracts.ledger.address, outbox.provider, STATE / "provider"
    )
    return open_engine(url)


def _book(access: Any, outbox: Any, *options: Any) -> Any:
    from ..store import PaymentBook

    return PaymentBook(_engine(access, outbox, *options))


def _print(
    facts: dict[str, Any], amounts: dict[str, int], as_json: bool, more: dict[str, Any] | None = None
) -> None:
    from contracts.protocol.ether import show_ether

    if as_json:
        typer.echo(json.dumps(facts | {name: str(amount) for name, amount in amounts.items()} | (more or {})))
        return
    is_ether = not int(facts["token"], 16)
    for name, value in facts.items():
        typer.echo(f"{name:<24}{value}")
    for name, amount in amounts.items():
        typer.echo(f"{name.replace('_', ' '):<24}{show_ether(amount) if is_ether else amount}")
