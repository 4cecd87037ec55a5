"""`gainsay receipt`: what a client does with the receipt of an answer: verify, check, follow, claim, pay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    DeploymentFile,
    Devnet,
    Keystore,
    RpcUrl,
    Yes,
)

from .command_settings import settings_of

if TYPE_CHECKING:
    from .receipt_offline import Expected, Tokenizing

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Verify, follow and claim the receipts of answers."
)

File = Annotated[
    Path, typer.Argument(help="A receipt: what GET /v1/receipts/ID answered, or what gainsay.client kept.")
]
ProviderOption = Annotated[
    str | None,
    typer.Option("--provider", metavar="ADDRESS", help="The provider that must have signed it."),
]
PayerOption = Annotated[
    str | None, typer.Option("--payer", metavar="ADDRESS", help="The payer that it must name, with a fee.")
]


@app.command()
def verify(
    file: File,
    response: Annotated[
        Path | None, typer.Option("--response", help="What GET /v1/responses/ID answered: the token ids.")
    ] = None,
    answer: Annotated[
        Path | None, typer.Option("--answer", help="The answer itself, as the completions API gave it.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Instead: the text that was shown.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option("--stop", help="A stop string that was asked for; several times.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model here, for its tokenizer: without it no text is checked."),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--model-id", metavar="ID", help="The model that it must be about.")
    ] = None,
    provider: ProviderOption = None,
    payer: PayerOption = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Check a receipt offline: signature, hashes, text and ids, stop string, model id; no network is used.

    Whether its key is registered and whether it was posted, only the chain knows: `receipt check`, `receipt status`.
    """
    from .receipt_offline import verify_offline

    body = _read(file)
    kept = body if isinstance(body, Mapping) else {}
    ids = kept.get("response") if response is None else _read(response)
    shown = kept.get("answer") if answer is None else answer_of(_read(answer))
    text_of = None if model is None else tokenizing(model)
    expected = _expected(
        deployment, devnet, text_of, provider=provider, payer=payer, model_id=model_id,
        request=kept.get("request"), shown=shown, text=text, stop=tuple(stop or ()),
    )  # fmt: skip
    found = verify_offline(body, expected, ids, text_of)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    from contracts.protocol.clock_text import show_time

    typer.echo(f"valid: receipt 0x{found.receipt_id.hex()}")
    typer.echo(
        f"signed by {found.receipt.signer} for {found.receipt.provider} at {show_time(found.receipt.issued_at)}"
    )
    typer.echo(f"checked: {', '.join(found.checked)}")
    if found.unchecked:
        typer.echo(f"not checked: {', '.join(found.unchecked)}")


@app.command()
def check(
    file: File,
    provider: ProviderOption = None,
    payer: PayerOption = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Check on chain that a registered key signed a receipt, within its dates, and what stands behind it."""
    from contracts.bindings.receipt_body import parse_receipt
    from contracts.protocol.clock_text import show_time
    from contracts.protocol.ether import show_ether

    from .chain_access import open_chain
    from .keys import checksum
    from .receipt_check import check_receipt

    receipt, signature = parse_receipt(_read(file))
    contracts = open_chain(settings_of(devnet, rpc_url, deployment, None, None)).contracts
    named = [None if address is None else checksum(address) for address in (provider, payer)]
    facts = check_receipt(contracts, receipt, signature, *named)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    place = f"batch {facts['batch_id']}" if facts["batch_id"] else "no batch yet"
    issued = show_time(receipt.issued_at)
    typer.echo(f"valid: signed by {receipt.signer} for {receipt.provider} at {issued}")
    typer.echo(f"posted in {place}, promised until {show_time(receipt.posting_deadline)}")
    typer.echo(f"behind it stand {show_ether(int(facts['backing_wei']))} at most")
    if receipt.fee_wei:
        typer.echo(f"paid by {receipt.payer}: {receipt.fee_wei} of token {receipt.fee_token}")
    if not facts["signed_by_key"]:
        typer.echo("its key is a contract: it counts only as long as that contract says so")


@app.command()
def status(
    file: File,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Say what became of an answer, by the chain alone: waiting, pending, disputed, final, void, overdue."""
    from contracts.bindings.receipt_body import parse_receipt
    from contracts.protocol.clock_text import show_deadline, show_time

    from .chain_access import open_chain
    from .receipt_check import check_receipt
    from .receipt_status import path_in, receipt_status

    body = _read(file)
    receipt, signature = parse_receipt(body)
    access = open_chain(settings_of(devnet, rpc_url, deployment, None, None))
    check_receipt(access.contracts, receipt, signature)
    found = receipt_status(access.contracts, receipt, path_in(body), access.confirmations)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    sure = "" if found.is_confirmed else ", not confirmed yet"
    typer.echo(f"{found.state}, as of block {found.block.number} ({show_time(found.now)}){sure}")
    if found.batch is None:
        typer.echo(f"to be posted until {show_deadline(found.posting_deadline, found.now)}")
    else:
        late = "" if found.in_time else ", after its deadline"
        typer.echo(f"batch {found.batch_id}, posted at {show_time(found.batch.posted_at)}{late}")
        typer.echo(f"can be disputed until {show_deadline(found.batch.deadline, found.now)}")
    if found.path_proven is False:
        typer.echo(
            "the path in this file does not lead to the batch's root; get the receipt again from the provider"
        )
    elif found.state == "unproven":
        typer.echo(
            "this file has no path; get the receipt again from the provider, or `gainsay dispute ask --receipt`"
        )
    if found.as_json()["claim"]:
        typer.echo(f"claim: {found.claim.status.name.lower()}")
    if found.state in ("overdue", "replaced", "void"):
        typer.echo("`gainsay receipt claim` takes what it brings")


@app.command()
def claim(
    file: File,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Claim what a receipt brings now: stake where it was not posted, the price of a void or unposted answer.

    Names each claim, its bond and its cost, and asks. A wrong answer that was posted is not claimed but disputed.
    """
    from contracts.bindings.consent import ask
    from contracts.bindings.receipt_body import parse_receipt
    from contracts.protocol.ether import show_ether

    from .by_hand import by_hand, costs, tell_costs
    from .payments.pay_cli import payer_side
    from .receipt_status import claims_of, path_in, receipt_status

    body = _read(file)
    receipt, signature = parse_receipt(body)
    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    found = receipt_status(access.contracts, receipt, path_in(body))
    done = []
    for each in claims_of(access.contracts, receipt, signature, found):
        cost = outbox.forecast(each.call)
        ask(f"{each.sentence}; it costs about {cost.gas:,} gas, {show_ether(cost.fee_wei)}", yes)
        by_hand(outbox, each.call, f"{each.name} 0x{found.receipt_id.hex()}")
        done.append(each.name)
    after = receipt_status(access.contracts, receipt, path_in(body))
    if as_json:
        typer.echo(json.dumps({"claims": done, "status": after.as_json(), **costs(outbox)}))
        return
    tell_costs(outbox)
    state = f"claim {after.claim.status.name.lower()}" if after.as_json()["claim"] else after.state
    typer.echo(f"{', '.join(done)}: {state}")


@app.command()
def pay(
    file: File,
    answers: Annotated[
        int, typer.Option("--answers", min=1, max=10**6, help="For how many more answers of this price.")
    ] = 1,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fill the channel with a receipt's provider up to the price of more answers; `gainsay pay` does the rest."""
    from contracts.bindings.consent import ask
    from contracts.bindings.erc20 import Token
    from contracts.bindings.receipt_body import parse_receipt
    from contracts.protocol.ether import show_ether
    from prover.errors import UsageError

    from .by_hand import by_hand
    from .payments.pay_cli import payer_side, print_channel
    from .receipt_check import check_receipt

    receipt, signature = parse_receipt(_read(file))
    if not receipt.fee_wei:
        raise UsageError("the answer of this receipt cost nothing; there is nothing to pay")
    access, outbox = payer_side(devnet, rpc_url, deployment, keystore, account)
    check_receipt(access.contracts, receipt, signature)  # a stranger's address must not get into a deposit
    payments, to, token = access.contracts.payments, receipt.provider, receipt.fee_token
    missing = max(0, answers * receipt.fee_wei - payments.channel(outbox.address, to, token).payable)
    if missing:
        amount = f"{missing} units of token {token}" if int(token, 16) else show_ether(missing)
        ask(f"this puts {amount} into the channel with {to}, for {answers} answers", yes)
        if int(token, 16):
            approve = Token(access.chain, token).approve(payments.address, missing)
            by_hand(outbox, approve, f"approve {token} {missing}")
        by_hand(outbox, payments.deposit(to, token, missing), f"pay deposit {to} {token} {missing}")
    print_channel(access, outbox.address, to, token, as_json, outbox=outbox)


@app.command("list")
def list_command(
    folder: Annotated[Path, typer.Argument(help="Folder of receipts that gainsay.client keeps.")],
    as_json: AsJson = False,
) -> None:
    """List the receipts that gainsay.client kept, and the answers that it refused, oldest first."""
    from contracts.protocol.clock_text import show_time

    from .receipt_folder import ReceiptFolder

    entries = ReceiptFolder(folder, create=False).entries()
    if as_json:
        typer.echo(json.dumps([entry.as_json() for entry in entries]))
        return
    for entry in entries:
        said = entry.problem or ", ".join(entry.checked)
        typer.echo(f"{show_time(entry.at)}  {entry.state:<8}{entry.file or '-'}  {said}")
    if not entries:
        typer.echo("no receipts yet")


def tokenizing(model: str) -> Tokenizing:
    """The tokenizer of a model on this machine. Raises what `load_model` raises."""
    from prover.model.library import load_model

    from .receipt_offline import Tokenizing
    from .settings import load_settings

    return Tokenizing(load_model(model, models=load_settings().models_dir).tokenizer)


def answer_of(body: object) -> dict[str, Any]:
    """{"text", "system_fingerprint"} of a completion's JSON with one choice. Raises BadInputError."""
    from prover.errors import BadInputError

    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(choices, list) or len(choices) != 1:
        raise BadInputError("this is no answer with one choice; save what the completions API answered")
    choice = choices[0] if isinstance(choices[0], Mapping) else {}
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if not isinstance(text, str):
        raise BadInputError("this answer has no text; save what the completions API answered")
    return {"text": text, "system_fingerprint": body.get("system_fingerprint")}


def _expected(
    deployment: Path | None, devnet: bool, text_of: Tokenizing | None, *, provider: str | None, payer: str | None, model_id: str | None,
    request: object, shown: object, text: str | None, stop: tuple[str, ...],
) -> Expected:  # fmt: skip
    from contracts.bindings.command_options import chain_flags
    from contracts.bindings.deployment import Deployment
    from contracts.bindings.settings import SettingsError

    from .keys import checksum
    from .receipt_offline import Expected

    path = chain_flags(devnet, None, deployment, None, None, role="client")["deployment"]
    known: dict[str, Any] = {}
    if path is not None:
        record = Deployment.load(path)
        known = {"chain_id": record.chain_id, "receipts": record.receipts, "ledger": record.ledger}
    if model_id is not None:
        try:
            known["model_id"] = bytes.fromhex(model_id.removeprefix("0x"))
        except ValueError as error:
            raise SettingsError(f"{model_id!r} is no model id; give 0x and 64 hexadecimal digits") from error
    answer = shown if isinstance(shown, Mapping) else {}
    asked = request if isinstance(request, Mapping) else {}
    given, named = answer.get("text"), answer.get("system_fingerprint")
    stops = asked.get("stop") or ()
    return Expected(
        **known,
        provider=None if provider is None else checksum(provider),
        payer=None if payer is None else checksum(payer),
        text=text if text is not None else given if isinstance(given, str) else None,
        stop=stop
        or tuple(each for each in ([stops] if isinstance(stops, str) else stops) if isinstance(each, str)),
        prompt_ids=None if text_of is None else text_of.prompt_ids(request),
        named_model_id=named if isinstance(named, str) else None,
    )


def _read(file: Path) -> Any:
    from prover.errors import NotFoundError
    from prover.foreign_json import read_json_file

    try:
        return read_json_file(file)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read ({error.strerror}); name a receipt's file") from error
