"""`gainsay audit request | verify`: have steps of a private answer proven, and check the proofs."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import AsJson, DeploymentFile, Devnet, RpcUrl, chain_flags

if TYPE_CHECKING:
    from contracts.protocol.audit_evidence import Auditor, Item

    from .auditing import SignedResponse

app = typer.Typer(no_args_is_help=True)

ModelFile = Annotated[
    Path, typer.Option("--model", help="Public part of the private model (.commitment), from its provider.")
]
Srs = Annotated[
    Path | None, typer.Option(envvar="GAINSAY_SRS", help="Reference string; the devnet's by default.")
]


@app.command()
def request(
    receipt: Annotated[str, typer.Argument(help="Id of the answer's receipt (header x-gainsay-receipt).")],
    model: ModelFile,
    key: Annotated[
        str,
        typer.Option(
            envvar="GAINSAY_AUDIT_KEY",
            help="What came with the answer (header x-gainsay-audit-key); it is good for one audit.",
        ),
    ],
    provider: Annotated[str, typer.Option(help="URL of the provider's API.")] = "http://127.0.0.1:8000",
    budget: Annotated[int, typer.Option(min=1, max=64, help="Items to draw, when none are named.")] = 8,
    heads: Annotated[
        int, typer.Option(min=0, max=64, help="How many of these are tiles of the head; the rest are steps.")
    ] = 2,
    step: Annotated[
        list[str] | None, typer.Option(metavar="STEP:WINDOW", help="Name a step yourself; several times.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="POSITION:RIVAL", help="Have a token proven against a rival; several times."),
    ] = None,
    tile: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TILE:WINDOW", help="Have a window's output proven against a tile of ids; several times."
        ),
    ] = None,
    window: Annotated[
        list[int] | None,
        typer.Option("--input", metavar="WINDOW", help="Have a window of the input proven; several times."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(help="32 bytes in hex that draw the items; fresh ones by default.")
    ] = None,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for the proofs.")] = 300,
    out: Annotated[Path | None, typer.Option(help="Keep the audit in this file, for `audit verify`.")] = None,
    srs: Srs = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Name items of an own answer, wait for their proofs and verify them here; no transaction.

    Items are drawn after the answer was signed, so its provider could not know them. A provider that does not answer can be taken to the chain.
    """
    from prover.progress import reporting

    from .auditing import AuditedProvider, AuditFile

    with reporting() as report:
        auditor = _auditor(model, srs)
        asked = AuditedProvider(provider)
        signed = asked.response(receipt)
        _check_on_chain(signed, auditor, devnet, rpc_url, deployment)
        named = _named(step, head, window, tile)
        entropy, items = (None, named) if named else _drawn(signed, auditor, budget, heads, seed)
        started = time.monotonic()
        evidence = asked.evidence(asked.ask(receipt, key, items), wait, report)
        answered_s = time.monotonic() - started
    audit = AuditFile(signed, items, evidence, entropy)
    if out is not None:
        audit.save(out)
    started = time.monotonic()
    audit.check(auditor)
    times = {"answered_s": round(answered_s, 2), "verified_s": round(time.monotonic() - started, 2)}
    _print(audit, auditor, times, as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="What `gainsay audit request --out` wrote.")],
    model: ModelFile,
    srs: Srs = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    devnet: Devnet = False,
    as_json: AsJson = False,
) -> None:
    """Check an audit again: signature, ids, committed boundaries, and every proof."""
    from .auditing import AuditFile

    audit, auditor = AuditFile.load(file), _auditor(model, srs)
    _check_on_chain(audit.signed, auditor, devnet, rpc_url, deployment)
    started = time.monotonic()
    audit.check(auditor)
    _print(audit, auditor, {"verified_s": round(time.monotonic() - started, 2)}, as_json)


def _auditor(model: Path, srs: Path | None) -> Auditor:
    from contracts.protocol.audit_evidence import Auditor
    from prover.commitment_file import load_published
    from prover.curve.srs import DEVNET_BITS, SRS

    string = SRS.load(srs) if srs is not None else SRS.devnet(DEVNET_BITS)
    return Auditor(load_published(model, string), string)


def _named(
    step: list[str] | None, head: list[str] | None, window: list[int] | None, tile: list[str] | None
) -> tuple[Item, ...]:
    from contracts.protocol.audit_evidence import HeadItem, InputItem, StepItem, TileItem

    named: list[Item] = [StepItem(*number_pair(text, "--step")) for text in step or ()]
    named += [HeadItem(*number_pair(text, "--head")) for text in head or ()]
    named += [InputItem(number) for number in window or ()]
    named += [TileItem(*number_pair(text, "--tile")) for text in tile or ()]
    return tuple(named)


def _drawn(
    signed: SignedResponse, auditor: Auditor, budget: int, heads: int, seed: str | None
) -> tuple[bytes, tuple[Item, ...]]:
    """(the seed that drew them, the items)."""
    from prover.audits.drawing import AuditPlanError

    from .auditing import drawn_items

    try:
        entropy = secrets.token_bytes(32) if seed is None else bytes.fromhex(seed.removeprefix("0x"))
    except ValueError:
        raise AuditPlanError(f"--seed {seed} is not hexadecimal; give 64 digits") from None
    model, response = auditor.model.commitment, signed.response
    tiles = min(heads, budget, model.head_tiles * len(response.head_windows))
    steps = min(budget - tiles, model.step_count)
    return entropy, drawn_items(entropy, model, response, steps, tiles)


def number_pair(text: str, option: str) -> tuple[int, int]:
    from prover.errors import UsageError

    left, colon, right = text.partition(":")
    if not (colon and left.isdecimal() and right.isdecimal() and len(text) < 24):
        raise UsageError(f"{option} {text[:40]!r} must be two numbers with a colon between them, such as 3:0")
    return int(left), int(right)


def _check_on_chain(
    signed: SignedResponse, auditor: Auditor, devnet: bool, rpc_url: str | None, deployment: Path | None
) -> None:
    """That the receipt counts there and that the model that it names is the one that is audited."""
    if not devnet and rpc_url is None and deployment is None:
        return
    from contracts.bindings.errors import ContractError
    from contracts.bindings.opening import open_chain
    from prover.errors import ProofRejectedError

    from .settings import load_settings

    flags = chain_flags(devnet, rpc_url, deployment, None, None, role="client")
    contracts = open_chain(load_settings(**flags, watch_only=True)).contracts
    signature = bytes.fromhex(signed.body["signature"][2:])
    try:
        contracts.receipts.checked_receipt_id(signed.receipt, signature)
        spec = contracts.registry.spec(signed.receipt.model_id)
    except ContractError as error:
        raise ProofRejectedError(f"the receipt is worth nothing on this deployment: {error}") from error
    if (field := spec.difference(auditor.model.commitment)) is not None:
        raise ProofRejectedError(f"the receipt is of a model with another {field} than {auditor.model.name}")


def _print(audit: Any, auditor: Auditor, times: dict[str, float], as_json: bool) -> None:
    commitment, signed = auditor.model.commitment, audit.signed
    facts = {
        "receipt_id": signed.receipt_id,
        "provider": signed.receipt.provider,
        "model": auditor.model.name,
        "model_id": "0x" + signed.receipt.model_id.hex(),
        "seed": None if audit.seed is None else "0x" + audit.seed.hex(),
        "items": [_described(item, commitment) for item in audit.items],
        "false_token_caught": _false_token_caught(audit, commitment.head_tiles),
        "outcome": "audited",
        **times,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for item in facts["items"]:
        typer.echo(f"proven: {item['name']}")
    typer.echo(
        f"all {len(audit.items)} items of receipt {facts['receipt_id']} are proven under the commitments of {facts['model']}"
    )
    if (caught := facts["false_token_caught"]) is not None:
        typer.echo(f"drawn tiles of the head find one false token with probability {caught:.1%}")
    typer.echo(", ".join(f"{name.removesuffix('_s')} in {seconds} s" for name, seconds in times.items()))


def _false_token_caught(audit: Any, tiles: int) -> float | None:
    """Of an audit whose items a seed drew; whoever names them by hand looks where it suspects something."""
    from contracts.protocol.audit_evidence import TileItem
    from prover.audits.drawing import tiles_caught

    if audit.seed is None:
        return None
    named = sum(isinstance(item, TileItem) for item in audit.items)
    return tiles_caught(tiles * len(audit.signed.response.head_windows), 1, named)


def _described(item: Any, commitment: Any) -> dict[str, Any]:
    from contracts.protocol.audit_evidence import InputItem, StepItem, TileItem

    if isinstance(item, TileItem):
        return {"tile": item.tile, "window": item.window, "name": str(item)}
    if isinstance(item, InputItem):
        return {"input": item.window, "name": str(item)}
    if isinstance(item, StepItem):
        name = f"{commitment.step_name(item.step)}, window {item.window}"
        return {"step": item.step, "window": item.window, "name": name}
    return {"position": item.position, "rival": item.rival, "name": str(item)}
