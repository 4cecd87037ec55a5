"""`gainsay economics`: what a deployment's amounts mean at given prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.bindings.command_options import AsJson, DeploymentFile, Devnet, RpcUrl, chain_flags


def economics(
    preset: Annotated[
        str | None, typer.Option("--preset", help="Amounts of a preset: devnet, l1 or l2 (default: l2).")
    ] = None,
    deployment: DeploymentFile = None,
    rpc_url: RpcUrl = None,
    devnet: Devnet = False,
    gas_price_gwei: Annotated[
        float | None,
        typer.Option(
            "--gas-price-gwei",
            help="Price of gas (default: what the preset is made for: 20, on l2 0.1; a deployment's chain's base fee).",
        ),
    ] = None,
    eth_usd: Annotated[float, typer.Option("--eth-usd", help="Price of one ether in dollars.")] = 3000.0,
    fee_per_answer: Annotated[
        float, typer.Option("--fee-per-answer", help="Dollars that a client pays for an answer.")
    ] = 0.002,
    saving_per_lie: Annotated[
        float,
        typer.Option(
            "--saving-per-lie", help="Dollars that a provider saves by answering with a cheaper model."
        ),
    ] = 0.001,
    answers_per_second: Annotated[
        float, typer.Option("--answers-per-second", help="What the provider serves.")
    ] = 1.0,
    recheck_share: Annotated[
        float,
        typer.Option(
            "--recheck-share",
            help="Share p of all answers that somebody honest and awake re-runs, 0 to 1; they are drawn in secret.",
        ),
    ] = 0.01,
    cost_of_recheck: Annotated[
        float, typer.Option("--cost-of-recheck", help="Dollars that re-running one answer costs.")
    ] = 0.002,
    games: Annotated[
        int, typer.Option("--games", help="Games that an attacker opens at once to drown the provider.")
    ] = 1000,
    capacity: Annotated[
        int | None,
        typer.Option(
            "--capacity",
            help="Games that the provider can defend at once (`gainsay provider capacity`; default: all).",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """When honesty pays: locks, bonds and fees of a deployment against what a lie saves and who looks.

    --deployment (or --devnet) reads the amounts of a deployment from its chain, instead of a preset's.

    A provider that lies is caught if somebody re-runs the answer (share p). Then the response's lock is lost with its fee,
    and the first time the provider's bond. The command says from which p on no number of lies pays, what a challenger must find
    so that looking pays for itself, what it costs to drown a provider in games, and how much capital honesty ties up.
    docs/economics.md derives every figure, and says what is assumed.
    """
    from .figures import figures
    from .gas import GAS
    from .prices import Prices

    if devnet:
        flags = chain_flags(devnet, rpc_url, deployment, None, None, role="client")
        deployment, rpc_url = flags["deployment"], flags["rpc_url"]
    name, parameters, usual_gwei = _parameters(preset, deployment, rpc_url)
    prices = Prices(
        gas_price_gwei=gas_price_gwei if gas_price_gwei is not None else usual_gwei,
        eth_usd=eth_usd,
        fee_per_answer=fee_per_answer,
        saving_per_lie=saving_per_lie,
        answers_per_second=answers_per_second,
        recheck_share=recheck_share,
        cost_of_recheck=cost_of_recheck,
    )
    found = figures(parameters, prices, games=games, capacity=capacity)
    if as_json:
        body: dict[str, Any] = {"of": name, "parameters": vars(parameters), "prices": vars(prices)}
        typer.echo(json.dumps(body | {"gas": vars(GAS), "figures": _finite(found.as_json())}))
        return
    from .report import report

    typer.echo(report(name, parameters, prices, found))


def _parameters(preset: str | None, deployment: Path | None, rpc_url: str | None) -> tuple[str, Any, float]:
    """(name, ProtocolParameters, usual gas price in gwei). Raises UsageError and what the bindings raise."""
    from contracts.protocol.parameters import PRESETS
    from prover.errors import UsageError

    from .prices import GAS_PRICE_GWEI

    if deployment is not None:
        if preset is not None:
            raise UsageError("give --preset or --deployment, not both")
        from contracts.bindings.chain import Chain
        from contracts.bindings.deployment import Deployment, ProtocolContracts
        from contracts.bindings.settings import DEFAULT_RPC_URL, rpc_url_of

        loaded = Deployment.load(deployment)
        chain = Chain(rpc_url or rpc_url_of(deployment) or DEFAULT_RPC_URL, expected_chain_id=loaded.chain_id)
        parameters = ProtocolContracts(chain, loaded).stake.parameters()
        return str(deployment), parameters, max(1, chain.head().base_fee_wei) / 1e9
    if rpc_url is not None:
        raise UsageError("--rpc-url is the endpoint of a deployment's chain; name the file with --deployment")
    name = preset or "l2"
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; the presets are {', '.join(PRESETS)}")
    return name, PRESETS[name], GAS_PRICE_GWEI[name]


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what never happens is null."""
    return {name: None if value == float("inf") else value for name, value in values.items()}
