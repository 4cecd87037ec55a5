"""`gainsay pay`: a payer's deposit, its vouchers, and its money back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
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

from ..by_hand import by_hand, costs, tell_costs
from ..command_settings import settings_of

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Pay providers: deposit once, sign a cumulative voucher per answer, take the rest back.",
)

ProviderArgument = Annotated[str, typer.Argument(metavar="PROVIDER", help="Address of who is paid.")]
TokenOption = Annotated[
    str | None, typer.Option("--token", metavar="ADDRESS", help="An ERC-20 (default: ether).")
]
PayerOption = Annotated[
    str | None,
    typer.Option("--payer", metavar="ADDRESS", help="Whose channel it is (default: the account's own)."),
]
Wallet = Annotated[
    Path | None,
    typer.Option(
        "--wallet", help="File that remembers what was signed (default .gainsay/payer/wallet.sqlite)."
    ),
]


@app.command()
def deposit(
    provider: ProviderArgument,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="1.5, or '20 gwei'; of a token: its smallest units.")
    ],
    token: TokenOption = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Put money into the channel with a provider; only this provider can be paid from it."""
    from contracts.bindings.erc20 import Token

    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    payments, to, currency = access.contracts.payments, _address(provider), token_of(token)
    units = _amount(amount, currency)
    if int(currency, 16):
        approve = Token(access.chain, currency).approve(payments.address, units)
        by_hand(outbox, approve, f"approve {currency} {units}")
    by_hand(outbox, payments.deposit(to, currency, units), f"pay deposit {to} {currency} {units}")
    print_channel(access, outbox.address, to, currency, as_json, outbox=outbox)


@app.command()
def status(
    provider: ProviderArgument,
    token: TokenOption = None,
    payer: PayerOption = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="The provider's API (…/v1), to hear what it says is due."),
    ] = None,
    wallet: Wallet = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Show a channel: what is left, settled, held for refunds and asked back; with --payer it needs no key."""
    from ..chain_access import open_chain, open_signer

    settings = settings_of(devnet, rpc_url, deployment, keystore, account, role="client")
    access = open_chain(settings)
    address = _address(payer) if payer else open_signer(settings, access.chain).address
    to, currency = _address(provider), token_of(token)
    more: dict[str, Any] = {}
    if (file := _wallet_file(wallet)).exists():
        more["signed"] = str(_wallet(file, address, _terms(access, to, currency, 1), 0).balance().signed)
    if url is not None:
        more |= _said(url, address)
    print_channel(access, address, to, currency, as_json, more)


@app.command()
def voucher(
    provider: ProviderArgument,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="What the next answer costs; 0 repeats the last voucher.")
    ],
    token: TokenOption = None,
    payer: PayerOption = None,
    already_owed: Annotated[
        str | None,
        typer.Option(
            "--already-owed",
            metavar="AMOUNT",
            help="First count this much as signed elsewhere (a lost wallet).",
        ),
    ] = None,
    wallet: Wallet = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Sign the next voucher and print the value of its X-Payment header, for clients that cannot."""
    from contracts.bindings.payments import Voucher, sign_voucher

    from ..chain_access import open_chain, open_signer
    from .wire import SignedVoucher, payment_header

    settings = settings_of(devnet, rpc_url, deployment, keystore, account, role="client")
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    to, currency = _address(provider), token_of(token)
    address = _address(payer) if payer else signer.address
    units = _amount(amount, currency)
    book = _wallet(_wallet_file(wallet), address, _terms(access, to, currency, units), 2**112)
    if already_owed is not None:
        book.adopt(_units(already_owed))
    cumulative, _ = book.next(units)
    chain_id, contract = access.chain.chain_id, access.contracts.payments.address
    signed = Voucher(address, to, currency, cumulative)
    signature = sign_voucher(signer, signed, chain_id, contract)
    header = payment_header(SignedVoucher(chain_id, contract, signed, signature))
    if as_json:
        facts = asdict(signed) | {"cumulative": str(cumulative), "signature": "0x" + signature.hex()}
        typer.echo(json.dumps(facts | {"header": header}))
        return
    typer.echo(header)


@app.command()
def withdraw(
    provider: ProviderArgument,
    amount: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="How much to ask back (default: all).")
    ] = None,
    token: TokenOption = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="Take what was asked for, once the delay is over.")
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take the request back.")] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Ask deposited money back; the provider has a delay to redeem first, then `--complete` sends the rest."""
    from prover.errors import UsageError

    if complete + cancel + (amount is not None) > 1:
        raise UsageError("an amount, --complete and --cancel are three different things; give one of them")
    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    payments, to, currency = access.contracts.payments, _address(provider), token_of(token)
    name = f"pay withdraw {to} {currency}"
    if complete:
        by_hand(outbox, payments.complete_withdrawal(to, currency, outbox.address), f"{name} complete")
    else:
        balance = payments.channel(outbox.address, to, currency).balance
        units = 0 if cancel else balance if amount is None else _amount(amount, currency)
        if not units and not cancel:
            raise UsageError(f"the channel of {outbox.address} with {to} is empty; nothing can be asked back")
        by_hand(outbox, payments.request_withdrawal(to, currency, units), f"{name} {units}")
    print_channel(access, outbox.address, to, currency, as_json, outbox=outbox)


@app.command()
def refund(
    file: Annotated[Path, typer.Argument(help="What GET /v1/receipts/ID answered, once the answer is void.")],
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Get the price of an answer back that was void, or never posted; it goes to the payer's channel."""
    from contracts.bindings.receipt_body import parse_receipt
    from prover.errors import NotFoundError
    from prover.foreign_json import read_json_file

    try:
        body = read_json_file(file)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read ({error.strerror}); name a receipt's file") from error
    receipt, signature = parse_receipt(body)
    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    name = f"pay refund {receipt.provider} {receipt.batch_salt.hex()} {receipt.index}"
    by_hand(outbox, access.contracts.payments.refund(receipt, signature), name)
    print_channel(access, receipt.payer, receipt.provider, receipt.fee_token, as_json, outbox=outbox)


@app.command("authorise-key")
def authorise_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Address of the key that signs vouchers.")],
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take it back; its vouchers count for the delay of a withdrawal.")
    ] = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Let another key sign this account's vouchers, so that the account's own can stay in a safe."""
    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    payments, signer = access.contracts.payments, _address(key)
    call = payments.revoke_voucher_key(signer) if revoke else payments.authorise_voucher_key(signer)
    by_hand(outbox, call, f"{call.description} {signer}")
    until = payments.voucher_key_valid_until(outbox.address, signer)
    if as_json:
        facts = {"payer": outbox.address, "key": signer, "valid_until": until}
        typer.echo(json.dumps(facts | costs(outbox)))
        return
    from contracts.protocol.clock_text import show_time

    tell_costs(outbox)
    ends = f"until {show_time(until)}" if revoke else "until you revoke it"
    typer.echo(f"{signer} signs for {outbox.address} {ends}")


def payer_side(
    devnet: bool, rpc_url: str | None, deployment: Path | None, keystore: Path | None, account: str | None
) -> Any:
    """(ChainAccess, Outbox) of the payer's account."""
    from contracts.bindings.sender import open_sender
    from contracts.bindings.settings import STATE

    from ..chain_access import default_database, open_chain, open_signer
    from ..outbox import Outbox

    settings = settings_of(devnet, rpc_url, deployment, keystore, account, role="client")
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    folder = STATE / "payer"
    folder.mkdir(parents=True, exist_ok=True)
    url = default_database(access.chain, access.contracts.payments.address, signer.address, folder)
    return access, Outbox(open_sender(access.chain, signer, url, confirmations=access.confirmations))


def _wallet_file(named: Path | None) -> Path:
    from contracts.bindings.settings import STATE

    return named or STATE / "payer" / "wallet.sqlite"


def _wallet(file: Path, payer: str, terms: Any, most_in_all: int) -> Any:
    from .wallet import Wallet

    return Wallet(file, payer, terms, most_in_all)


def _terms(access: Any, provider: str, token: str, price: int) -> Any:
    from .wire import Terms

    return Terms(access.chain.chain_id, access.contracts.payments.address, provider, token, price)


def _address(text: str) -> str:
    from ..keys import checksum

    return checksum(text)


def token_of(text: str | None) -> str:
    from contracts.protocol.response import ETHER_TOKEN

    return ETHER_TOKEN if text is None else _address(text)


def _amount(text: str, token: str) -> int:
    from contracts.protocol.ether import parse_wei

    return _units(text) if int(token, 16) else parse_wei(text)


def _units(text: str) -> int:
    """An amount in a token's smallest unit. Raises UsageError."""
    from prover.errors import UsageError

    if not text.isascii() or not text.isdigit() or len(text) > 34:
        raise UsageError(f"{text[:60]!r} is no amount; write a whole number of the token's smallest units")
    return int(text)


def _said(url: str, payer: str) -> dict[str, str]:
    """What the provider says about this payer. Raises PaymentTermsError."""
    import httpx

    from prover.errors import BadInputError

    from ..errors import PaymentTermsError
    from .wire import TERMS_HEADER, read_terms

    try:
        answer = httpx.get(f"{url.rstrip('/')}/payment-terms", params={"payer": payer}, timeout=15)
        if TERMS_HEADER not in answer.headers:
            raise PaymentTermsError(f"{url} takes no payments (status {answer.status_code}); correct --url")
        terms, due = read_terms(answer.headers[TERMS_HEADER])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PaymentTermsError(f"{url} does not answer ({error}); correct --url") from error
    except BadInputError as error:
        raise PaymentTermsError(f"the terms of {url} cannot be read: {error}") from error
    said = {"price": str(terms.price)}
    return said if due is None else said | {"due_next": str(due.cumulative), "credit_there": str(due.credit)}


def print_channel(
    access: Any,
    payer: str,
    provider: str,
    token: str,
    as_json: bool,
    more: dict[str, Any] | None = None,
    outbox: Any = None,
) -> None:
    from contracts.protocol.ether import show_ether

    channel = access.contracts.payments.channel(payer, provider, token)
    amounts = {
        "balance": channel.balance,
        "redeemed": channel.redeemed,
        "payable": channel.payable,
        "held": channel.held_older + channel.held_recent,
        "credit": channel.credit,
        "asked_back": channel.withdrawal,
        "owed_to_payer": channel.owed,
    }
    facts = {"payer": payer, "provider": provider, "token": token}
    facts |= {name: str(value) for name, value in amounts.items()} | (more or {})
    facts["withdrawable_at"] = channel.withdrawable_at
    if as_json:
        typer.echo(json.dumps(facts | (costs(outbox) if outbox else {})))
        return
    from contracts.protocol.fact_text import show_fact

    if outbox:
        tell_costs(outbox)
    now = access.chain.head().timestamp
    is_ether = not int(token, 16)
    named = ("payer", "provider", "token", "withdrawable_at")
    for name, value in facts.items():
        _, plain = show_fact(name, value, now)
        shown = show_ether(int(value)) if is_ether and name not in named else plain
        typer.echo(f"{name.replace('_', ' '):<18}{shown}")
