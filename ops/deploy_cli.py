"""`gainsay deploy`: the contracts on any chain, from a parameter file, and a record that can be verified."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    AsJson,
    Devnet,
    Keystore,
    RpcUrl,
    SignerUrl,
    Yes,
    chain_flags,
)

if TYPE_CHECKING:
    from contracts.bindings.deployed_code import Finding

    from .deploying import Forecast
    from .parameter_file import DeploymentPlan

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Deploy the contracts on any chain, and verify a deployment byte for byte.",
)


@app.command()
def template(
    preset: Annotated[str, typer.Argument(help="devnet, l1 or l2.")] = "l2",
    name: Annotated[str, typer.Option(help="Name of the deployment.")] = "my-deployment",
    chain_id: Annotated[int, typer.Option(min=1, help="Number of the chain.")] = 31337,
) -> None:
    """Print a parameter file with every parameter of a preset."""
    from contracts.protocol.parameters import PRESETS
    from prover.errors import UsageError

    from .parameter_file import template as text

    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; the presets are {', '.join(PRESETS)}")
    typer.echo(text(preset, name, chain_id), nl=False)


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="Parameter file; `gainsay deploy template` prints one.")],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only print parameters, what the contracts say to them, transactions and gas."
        ),
    ] = False,
    rpc_url: RpcUrl = None,
    keystore: Keystore = None,
    account: Account = None,
    signer_url: SignerUrl = None,
    devnet: Devnet = False,
    record: Annotated[
        Path | None,
        typer.Option(help="Where the record goes (default: .gainsay/deployments/CHAIN-NAME.json)."),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deploy what a parameter file says; after an interruption the same command carries on.

    Nothing is repeated: each transaction is journalled before it is sent. The record that it writes is what
    --deployment (GAINSAY_DEPLOYMENT) of all other commands reads.
    """
    from contracts.bindings.chain import Chain
    from contracts.bindings.compiler import protocol_artifacts
    from contracts.bindings.opening import DEVNET_CHAIN_ID, database_name, open_signer
    from contracts.bindings.sender import open_sender
    from contracts.bindings.settings import STATE

    from .deploying import deploy, forecast, record_path, require_accepted, unfinished_path
    from .errors import DeploymentRefused
    from .parameter_file import read_parameter_file
    from .settings import load_deploy_settings

    plan = read_parameter_file(file)
    settings = load_deploy_settings(
        **chain_flags(devnet, rpc_url, None, keystore, account, role="deployer", signer_url=signer_url)
    )
    target = record or record_path(plan)
    chain = Chain(
        [settings.rpc_url, *settings.rpc_urls],
        expected_chain_id=plan.chain_id,
        confirmation_tag=settings.confirmation_tag,
    )
    artifacts = protocol_artifacts()
    chain.error_decoder = _decoder(artifacts)
    signer = open_signer(settings, chain)
    if target.exists():
        raise DeploymentRefused(
            f"{target} is the record of this deployment already; check it with `gainsay deploy verify {target}`, or choose "
            "another name for another deployment"
        )
    carries_on = unfinished_path(target).exists()
    expected = forecast(chain, signer.address, plan, artifacts)
    if dry_run or not as_json:
        _show_plan(plan, expected, chain.rpc_url, as_json and dry_run)
    if carries_on and not as_json:
        typer.echo(
            "An interrupted deployment of this name is carried on; what is in the chain is not repeated."
        )
    require_accepted(expected.planned)
    if dry_run:
        return
    if not carries_on:
        _require_consent(plan, expected, yes or plan.chain_id == DEVNET_CHAIN_ID)
    journal = STATE / "deploy" / database_name(chain, signer.address, signer.address)
    journal.parent.mkdir(parents=True, exist_ok=True)
    confirmations = settings.confirmations
    if confirmations is None:
        confirmations = 0 if plan.chain_id == DEVNET_CHAIN_ID else 3
    sender = open_sender(chain, signer, f"sqlite:///{journal}", confirmations=confirmations)

    def report(step: str, mined: Any) -> None:
        if not as_json:
            where = mined.contract_address or "wires the vault"
            typer.echo(f"  {step:<16}{where:<44}{mined.gas_used:>10,} gas")

    deployment, findings = deploy(sender, plan, target, artifacts, report)
    if as_json:
        typer.echo(json.dumps({"record": str(target), **deployment.as_json()}))
        return
    _show_findings(findings, False)
    typer.echo(f"the record is {target}: give it to other commands with --deployment, and keep it")


@app.command()
def verify(
    record: Annotated[Path, typer.Argument(help="What `gainsay deploy run` (or `devnet up`) wrote.")],
    rpc_url: RpcUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compare every contract byte for byte with what this release compiles, and the parameters with the record."""
    from contracts.bindings.chain import Chain
    from contracts.bindings.compiler import protocol_artifacts

    from .deploying import Record
    from .deploying import verify as compare
    from .errors import DeploymentDiffers
    from .settings import load_deploy_settings

    stored = Record.load(record)
    settings = load_deploy_settings(rpc_url=rpc_url, deployment=record)
    chain = Chain([settings.rpc_url, *settings.rpc_urls], expected_chain_id=stored.deployment.chain_id)
    artifacts = protocol_artifacts()
    chain.error_decoder = _decoder(artifacts)
    findings = compare(chain, stored, artifacts)
    _show_findings(findings, as_json)
    if wrong := [finding.what for finding in findings if not finding.right]:
        raise DeploymentDiffers(
            f"{', '.join(wrong)} of {record} differ from this release; do not stake anything on it before that is explained"
        )


def _decoder(artifacts: Any) -> Any:
    from contracts.bindings.abi import ErrorDecoder

    return ErrorDecoder(artifacts.values())


def _require_consent(plan: DeploymentPlan, expected: Forecast, given: bool) -> None:
    """Raises DeploymentRefused."""
    from contracts.protocol.ether import show_ether

    from .errors import DeploymentRefused

    if not expected.affordable and expected.balance_wei < expected.cost_wei:
        raise DeploymentRefused(
            f"{expected.deployer} holds {show_ether(expected.balance_wei)}, but this costs about "
            f"{show_ether(expected.cost_wei)}; send it at least {show_ether(expected.highest_cost_wei)}"
        )
    if given:
        return
    if not sys.stdin.isatty():
        raise DeploymentRefused(
            f"this would spend up to {show_ether(expected.highest_cost_wei)} on chain {plan.chain_id}; say --yes"
        )
    if not typer.confirm(
        f"Deploy to chain {plan.chain_id} for up to {show_ether(expected.highest_cost_wei)}?"
    ):
        raise DeploymentRefused("nothing was sent")


def _show_plan(plan: DeploymentPlan, expected: Forecast, rpc_url: str, as_json: bool) -> None:
    from contracts.protocol.ether import show_ether
    from contracts.protocol.parameters import PRESETS

    from .deploying import broken_rule
    from .parameter_file import show_parameter

    planned, values = expected.planned, asdict(plan.parameters)
    if as_json:
        facts = {
            "name": plan.name,
            "chain_id": plan.chain_id,
            "parameters": values,
            "accepted": planned.refusal is None,
            "refusal": None if planned.refusal is None else str(planned.refusal),
            "transactions": [asdict(transaction) for transaction in planned.transactions],
            "gas": planned.gas,
            "deployer": expected.deployer,
            "balance_wei": str(expected.balance_wei),
            "cost_wei": str(expected.cost_wei),
            "highest_cost_wei": str(expected.highest_cost_wei),
        }
        typer.echo(json.dumps(facts))
        return
    usual = asdict(PRESETS[plan.preset]) if plan.preset else values
    typer.echo(f"deployment {plan.name} on chain {plan.chain_id} ({rpc_url})")
    for name, value in values.items():
        changed = (
            "" if usual[name] == value else f"   (preset {plan.preset}: {show_parameter(name, usual[name])})"
        )
        typer.echo(f"  {name:<24}{show_parameter(name, value)}{changed}")
    verdict = "accepted" if planned.refusal is None else f"REFUSED: {broken_rule(planned.refusal)}"
    typer.echo(f"the contracts' own check of the parameters: {verdict}")
    typer.echo(f"transactions of {expected.deployer}, in this order:")
    for number, transaction in enumerate(planned.transactions, 1):
        where = transaction.address or "wires the vault"
        typer.echo(
            f"  {number} {transaction.name:<16}{where:<44}{transaction.gas:>10,} gas {transaction.data_bytes:>7,} bytes"
        )
    typer.echo(f"gas in all: {planned.gas:,}, without a rollup's fee for data")
    typer.echo(
        f"cost: {show_ether(expected.cost_wei)} at the fee of now, at most {show_ether(expected.highest_cost_wei)}; the account "
        f"holds {show_ether(expected.balance_wei)}{'' if expected.affordable else ': NOT ENOUGH'}"
    )


def _show_findings(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
        return
    for finding in findings:
        typer.echo(f"{'ok   ' if finding.right else 'WRONG'} {finding.what:<16} {finding.detail}")
