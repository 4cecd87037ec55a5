"""`gainsay receipt`: what a client checks about the receipt of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from contracts.bindings.command_options import AsJson, DeploymentFile, Devnet, RpcUrl

from .command_settings import settings_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check the receipts that providers sign.")


@app.callback()
def _group() -> None:
    """Keeps `check` a sub-command."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="What GET /v1/receipts/ID answered.")],
    provider: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The provider that must have signed it.")
    ] = None,
    payer: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The payer that it must name, with a fee.")
    ] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Check on chain that a registered key signed a receipt, within its dates, and what stands behind it."""
    from contracts.bindings.receipt_body import parse_receipt
    from contracts.protocol.ether import show_ether
    from prover.errors import NotFoundError
    from prover.foreign_json import read_json_file

    from .chain_access import open_chain
    from .keys import checksum
    from .receipt_check import check_receipt

    try:
        body = read_json_file(file)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read ({error.strerror}); name a receipt's file") from error
    receipt, signature = parse_receipt(body)
    contracts = open_chain(settings_of(devnet, rpc_url, deployment, None, None)).contracts
    named = [None if address is None else checksum(address) for address in (provider, payer)]
    facts = check_receipt(contracts, receipt, signature, *named)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    place = f"batch {facts['batch_id']}" if facts["batch_id"] else "no batch yet"
    typer.echo(f"valid: signed by {receipt.signer} for {receipt.provider} at {receipt.issued_at}")
    typer.echo(f"posted in {place}, promised until {receipt.posting_deadline}")
    typer.echo(f"behind it stand {show_ether(int(facts['backing_wei']))} at most")
    if receipt.fee_wei:
        typer.echo(f"paid by {receipt.payer}: {receipt.fee_wei} of token {receipt.fee_token}")
    if not facts["signed_by_key"]:
        typer.echo("its key is a contract: it counts only as long as that contract says so")
