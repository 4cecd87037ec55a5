"""`gainsay provider`: run the node, and manage the stake that backs its answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Annotated, Any

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
)

from . import account_cli
from .api_key_cli import api_key
from .command_settings import ProviderAddress, ether_amount, settings_of, wei_amount

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Serve a model and back its answers with a stake."
)

app.command("api-key")(api_key)


Model = Annotated[
    str | None, typer.Option(help="Name or directory of an imported model; 'tiny' is built in.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Run the model by torch on cpu, cuda or cuda:N (default: without torch; the integers are the same)."
    ),
]
_DEVNET_DEPOSIT_WEI = 100 * 10**18


@app.command()
def run(
    model: Model = None,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP API (default 8000).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    devnet: Devnet = False,
    model_id: Annotated[str | None, typer.Option(help="Registered id that the model must have.")] = None,
    device: Device = None,
    database_url: Annotated[str | None, typer.Option(help="sqlite:///file or postgresql://… .")] = None,
    batch_interval: Annotated[int | None, typer.Option(help="Seconds that a batch stays open.")] = None,
    fee_wei: Annotated[
        int | None,
        typer.Option(parser=wei_amount, metavar="AMOUNT", help="Fee of each answer: 7, or '25 gwei'."),
    ] = None,
    fee_token: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="ERC-20 in which the fee counts (default: ether).")
    ] = None,
    require_payment: Annotated[
        bool | None,
        typer.Option(
            "--require-payment", help="Answer only requests with a voucher over the fee (else 402)."
        ),
    ] = None,
    deposit_ether: Annotated[
        int | None,
        typer.Option(
            parser=ether_amount,
            metavar="AMOUNT",
            help="Deposit this much first when no stake is free (devnet default 100).",
        ),
    ] = None,
    signer_url: SignerUrl = None,
    provider: ProviderAddress = None,
    receipt_account: Annotated[
        str | None,
        typer.Option(help="An account of the RPC endpoint that signs receipts (default: --account)."),
    ] = None,
    receipt_keystore: Annotated[
        Path | None,
        typer.Option(
            help="Keystore of the receipt key; its password comes from GAINSAY_RECEIPT_KEYSTORE_PASSWORD[_FILE]."
        ),
    ] = None,
    receipt_signer_url: Annotated[
        str | None,
        typer.Option("--receipt-signer-url", help="A remote signer that holds the receipt key."),
    ] = None,
    receipt_allowance: Annotated[
        int | None,
        typer.Option(
            parser=ether_amount,
            metavar="AMOUNT",
            help="What all receipts together may cost, of an owner's own node (default: one whole batch).",
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="The model is registered as a private one (`gainsay model register --private`): commit to boundaries, answer audits.",
        ),
    ] = False,
    allow_insecure_srs: Annotated[
        bool,
        typer.Option("--allow-insecure-srs", help="Serve off a devnet, though anyone can forge proofs."),
    ] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Serve a model over an OpenAI-compatible API, post batches and defend them."""
    settings = settings_of(
        devnet, rpc_url, deployment, keystore, account, model=model, port=port, host=host, model_id=model_id,
        database_url=database_url, batch_interval_s=batch_interval, fee_wei=fee_wei, fee_token=fee_token, require_payment=require_payment,
        provider=provider, signer_url=signer_url, receipt_signer_url=receipt_signer_url,
        receipt_account=receipt_account, receipt_keystore=receipt_keystore, receipt_allowance=receipt_allowance,
        allow_insecure_srs=allow_insecure_srs or None, private=private or None, device=device,
        log_level=log_level, log_format=log_format,
    )  # fmt: skip
    _require_free_port(settings.host, settings.port)

    from contracts.bindings.log_setup import configure_logging
    from prover.progress import reporting

    from .chain_access import open_chain, open_signer
    from .keys import open_receipt_key
    from .model_loading import load_serving
    from .provider import Provider

    configure_logging(settings.log_level, settings.log_format)
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    with reporting() as report:
        serving = load_serving(settings, access, report)
        _check_release(settings, access, serving, report)
    node = Provider(settings, access, serving, signer, open_receipt_key(settings, access.chain, signer))
    if node.capacity.games is None and not access.is_devnet:
        _measure(node.capacity, serving, settings.default_max_tokens)
    with node.outbox.running_alone():
        _deposit_at_start(node, access, deposit_ether, devnet)
        node.prepare()
        _serve(node.app, settings.host, settings.port, _ready_line(node, serving, settings))


def _check_release(settings: Any, access: Any, serving: Any, report: Any) -> None:
    """Before the node promises anything, and before it reads its journal. Raises ReleaseMismatchError."""
    import structlog

    from .self_check import check_release
    from .serving import capacity_file

    if not settings.self_check:
        structlog.get_logger("node.self_check").warning(
            "the self check is switched off: whether this release can defend its answers shows in the first game",
            by="self_check = false",
        )
        return
    folder = capacity_file(settings, serving.model_id).parent
    checked = check_release(access.contracts, serving, folder, report)
    if checked.seconds:
        typer.echo(
            f"self check: the verifiers of {', '.join(checked.kinds)} accept this release's proofs ({checked.seconds:.1f} s)",
            err=True,
        )


def _deposit_at_start(node: Any, access: Any, wanted: int | None, devnet: bool) -> None:
    """Only an owner's own node deposits: stake belongs to who sends it. Raises UsageError."""
    from prover.errors import UsageError

    if node.address != node.outbox.address:
        if wanted:
            raise UsageError(
                f"{node.outbox.address} is not the owner of provider {node.address}: what it deposited would be its own "
                "stake; leave out --deposit-ether and let the owner run `gainsay provider deposit`"
            )
        return
    if wanted is None:
        wanted = _DEVNET_DEPOSIT_WEI if devnet else 0
    stake = access.contracts.stake
    if wanted and stake.free_stake(node.address) < access.parameters.lock_per_response:
        node.outbox.send(stake.deposit(wanted), "deposit at start")


@app.command()
def capacity(
    model: Model = None,
    tokens: Annotated[
        int | None, typer.Option(min=34, help="Length of the answer that is defended (default: 256).")
    ] = None,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    account: Account = None,
    devnet: Devnet = False,
    private: Annotated[
        bool, typer.Option("--private", help="Of a private model: how many audits it can answer at once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how many games this machine can defend at once; `provider run` refuses requests beyond it."""
    from prover.progress import reporting

    from .capacity import Capacity
    from .chain_access import open_chain
    from .model_loading import load_serving
    from .serving import capacity_file

    settings = settings_of(devnet, rpc_url, deployment, None, account, model=model, private=private or None)
    access = open_chain(settings)
    with reporting() as report:
        serving = load_serving(settings, access, report)
    clock_s = access.parameters.clock
    found = Capacity(capacity_file(settings, serving.model_id), clock_s)
    _measure(found, serving, tokens or settings.default_max_tokens)
    if serving.own is not None:
        _print_audits(found, access.parameters, as_json)
        return
    facts = {"seconds_per_game": found.seconds_per_game, "clock_s": clock_s, "games_at_once": found.games}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"a game takes this machine {found.seconds_per_game:.1f} s of a clock of {clock_s} s: it can defend "
        f"{found.games} games at once"
    )


def _print_audits(capacity: Any, parameters: Any, as_json: bool) -> None:
    items, window_s = parameters.max_audit_items, parameters.audit_window
    seconds = capacity.seconds_per_audit(items)
    facts = {
        "seconds_per_audit": seconds,
        "items": items,
        "audit_window_s": window_s,
        "audits_at_once": int(window_s / 2 / seconds),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"an audit of {items} items takes this machine {seconds:.1f} s of a window of {window_s} s: it can answer "
        f"{facts['audits_at_once']} at once, each in half of it"
    )


def _measure(capacity: Any, serving: Any, tokens: int) -> None:
    """Twice: what is compiled or read from disk the first time would be taken for slowness."""
    from .capacity import Capacity, measure

    prompt = [1] * (min(tokens, serving.model.config.max_positions) - 1)
    steps = serving.commitment.step_count
    for found in (Capacity(None, 1), capacity):
        found.forget()
        measure(found, serving.replay(prompt, [1]), steps)


# After the two commands above: help lists commands in this order.
app.command()(account_cli.deposit)
app.command("exit")(account_cli.request_exit)
app.command()(account_cli.status)
app.command("set-operator")(account_cli.set_operator)
app.command("add-signer")(account_cli.add_signer)
app.command("retire-signer")(account_cli.retire_signer)
app.command()(account_cli.resume)


def _require_free_port(host: str, port: int) -> None:
    """Before the model is loaded, which takes seconds. Raises PortInUseError."""
    from contracts.bindings.settings import SettingsError

    from .errors import PortInUseError

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise SettingsError(f"host {host!r} cannot be resolved; use an address such as 127.0.0.1") from error
    except OSError as error:
        raise PortInUseError(
            f"{host}:{port} cannot be used ({error.strerror}); choose another --port"
        ) from error


def _ready_line(provider: Any, serving: Any, settings: Any) -> str:
    insecure = " (devnet reference string: not for real stakes)" if serving.srs.insecure else ""
    return (
        f"provider {provider.address} serves {serving.name} (model 0x{serving.model_id.hex()[:12]}…) "
        f"on http://{settings.host}:{settings.port}{insecure}"
    )


def _serve(application: Any, host: str, port: int, ready: str) -> None:
    import logging

    import uvicorn

    from .api.connections import BACKLOG, IDLE_SECONDS, bounded_protocol, most_connections

    class AnnouncingServer(uvicorn.Server):
        """Says that it is ready once the port is open, not before."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                typer.echo(ready)

    # What they warn of are lines per malformed request and per answer whose reader left: strangers would fill the disk.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    AnnouncingServer(
        uvicorn.Config(
            application, host=host, port=port, http=bounded_protocol(most_connections()), backlog=BACKLOG, ws="none",
            log_level="error",  # its warnings are one line per malformed request: a stranger would fill the disk
            timeout_keep_alive=IDLE_SECONDS, timeout_graceful_shutdown=5,
        )
    ).run()  # fmt: skip
