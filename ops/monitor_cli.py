"""The command `gainsay monitor`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import DeploymentFile, Devnet, LogFormat, LogLevel, RpcUrl

if TYPE_CHECKING:
    from .monitor import Alert

_WEBHOOK_S = 5.0


def monitor(
    devnet: Devnet = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", metavar="ADDRESS", help="A provider to watch; several times."),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--watch-account", metavar="ADDRESS", help="Another account (a challenger's); several times."
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="URL", help="A provider's API, to be asked; several times."),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="Where alerts that come and go are posted.")
    ] = None,
    listen: Annotated[
        int | None, typer.Option("--port", help="Port of /metrics (default 9464; 0: none).")
    ] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            metavar="MODEL",
            help="Re-run the answers of this model that the nodes show (--node); several times.",
        ),
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(
            "--canary",
            metavar="MODEL",
            help="Devnets only: lie about this model every hour, and raise an alert when nobody disputes it.",
        ),
    ] = None,
    canary_account: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="The canary's account, which loses stake (default: the devnet's spare 5)."
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Look once; leave with 1 when there are alerts.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one object per look or change.")
    ] = False,
) -> None:
    """Watch a deployment from outside: deadlines, stakes, ether, nodes; it holds no key and sends nothing (but for --canary)."""
    from contracts.bindings.errors import BindingsError
    from contracts.bindings.log_setup import configure_logging
    from contracts.bindings.opening import open_chain

    from .monitor import Monitor, Watched, alerts_of
    from .settings import load_monitor_settings

    settings = load_monitor_settings(
        devnet,
        rpc_url=rpc_url,
        deployment=deployment,
        watch_providers=provider or None,
        watch_accounts=account or None,
        watch_nodes=node or None,
        webhook_url=webhook,
        monitor_port=listen,
        log_level=log_level,
        log_format=log_format,
        replay_models=replay or None,
    )
    configure_logging(settings.log_level, settings.log_format)
    opened = open_chain(settings)
    watched = Watched(
        tuple(settings.watch_providers),
        tuple(settings.watch_accounts),
        tuple(settings.watch_nodes),
        settings.least_ether_wei,
        settings.longest_silence_s,
    )
    looking = Monitor(opened.contracts, watched, confirmations=opened.confirmations)
    rules = looking.parameters
    margins = {
        "game": settings.near_s or rules.move_extension // 4,
        "ask": settings.near_s or rules.show_window // 4,
        "receipt": settings.near_s or rules.receipt_answer_window // 4,
        "posting": settings.near_s or rules.posting_window // 4,
    }
    drill = _canary(opened, settings, canary, canary_account)

    def more(seen: Any) -> list[Alert]:
        """What the own replay and the canary have to say after a look."""
        found: list[Alert] = []
        if judging is not None:
            judging.step(looking.books, seen.head_time, float("inf") if once else max(1.0, settings.poll_s))
            found += judging.alerts(looking.books, seen.head_time)
        if drill is not None:
            drill.step()
            found += drill.alerts()
        return found

    judging = _own_replay(opened, settings)
    if once:
        seen = looking.look()
        alerts = alerts_of(seen, watched, margins) + more(seen)
        _show(alerts, [], as_json)
        if not as_json and not alerts:
            typer.echo("no alerts")
        raise typer.Exit(1 if alerts else 0)
    _watch(looking, watched, margins, settings, as_json, BindingsError, more)


def _own_replay(opened: Any, settings: Any) -> Any:
    if not settings.replay_models:
        return None
    from challenger.local_models import load_local_model
    from challenger.provider_client import provider_book
    from prover.errors import UsageError

    from .replaying import OwnReplay

    if not settings.watch_nodes:
        raise UsageError("--replay needs to know who shows the answers; name the nodes with --node")
    models = [
        load_local_model(name, settings.srs, models=settings.models_dir, commitments=settings.commitments_dir)
        for name in settings.replay_models
    ]
    return OwnReplay(opened.contracts, models, provider_book(settings.watch_nodes))


def _canary(opened: Any, settings: Any, model: str | None, account: str | None) -> Any:
    if model is None:
        return None
    from .canary import open_canary

    drill = open_canary(opened.contracts, settings, model, account)
    typer.echo(
        f"the canary {drill.address} lists its false answers on {drill.url}; a challenger must know it",
        err=True,
    )
    return drill


def _watch(
    looking: Any,
    watched: Any,
    margins: Any,
    settings: Any,
    as_json: bool,
    failure: type[Exception],
    more: Callable[[Any], list[Alert]],
) -> None:
    """Until Ctrl-C. A look that fails is told once, counted, and made again."""
    import signal
    import threading

    from prometheus_client import start_http_server

    from .monitor import CRITICAL, Alert, alerts_of, new_and_over
    from .monitor_metrics import MonitorMetrics

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    metrics = MonitorMetrics()
    if settings.monitor_port:
        start_http_server(settings.monitor_port, settings.monitor_host, metrics.registry)
    if not as_json:
        where = f"; figures on http://{settings.monitor_host}:{settings.monitor_port}/metrics"
        typer.echo(
            f"the monitor watches {settings.rpc_url}{where if settings.monitor_port else ''}; Ctrl-C stops it"
        )
    before: Sequence[Alert] = ()
    while not stop.is_set():
        try:
            seen = looking.look()
            alerts = alerts_of(seen, watched, margins) + more(seen)
            metrics.show(seen, alerts)
        except failure as error:
            metrics.failed()
            kept = [alert for alert in before if alert.name != "GainsayMonitorBlind"]
            alerts = [*kept, Alert("GainsayMonitorBlind", CRITICAL, "monitor", " ".join(str(error).split()))]
        came, went = new_and_over(before, alerts)
        if came or went:
            _show(came, went, as_json)
            _post(settings.webhook_url, came, went)
        before = alerts
        stop.wait(settings.poll_s)


def _show(came: Sequence[Alert], went: Sequence[Alert], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_body(came, went)))
        return
    for alert in came:
        typer.echo(f"{alert.severity.upper():<9}{alert.name:<26}{alert.sentence}")
    for alert in went:
        typer.echo(f"{'over':<9}{alert.name:<26}{alert.subject}")


def _body(came: Sequence[Alert], went: Sequence[Alert]) -> dict[str, Any]:
    return {"alerts": [asdict(alert) for alert in came], "over": [asdict(alert) for alert in went]}


def _post(url: str | None, came: Sequence[Alert], went: Sequence[Alert]) -> None:
    """A webhook that does not answer must not stop the watch."""
    import urllib.request

    import structlog

    if url is None:
        return
    content = json.dumps(_body(came, went)).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=_WEBHOOK_S).close()
    except (OSError, ValueError) as error:
        structlog.get_logger("ops.monitor").error("the webhook does not take alerts", because=str(error))
