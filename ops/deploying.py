"""From a plan to contracts on chain and a record of them, whatever is killed meanwhile.

    plan written → each transaction journalled, signed, journalled, sent → compared byte for byte → record written

The plan lies beside the record until then. Who finds one carries on with it: with the same parameters, account and
release only, because transactions that are in the chain already cannot be made others.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from contracts.bindings.abi import snake_case
from contracts.bindings.chain import Chain
from contracts.bindings.compiler import Artifact
from contracts.bindings.deployed_code import (
    DeploymentForecast,
    Finding,
    compare_deployment,
    forecast_deployment,
)
from contracts.bindings.deployment import CREATIONS, Deployment, creation_data, deploy_protocol
from contracts.bindings.errors import BindingsError, ContractError, DeploymentInvalid
from contracts.bindings.fees import FeePolicy
from contracts.bindings.lease import running_alone
from contracts.bindings.results import Mined
from contracts.bindings.sender import Sender
from contracts.bindings.settings import STATE
from contracts.protocol.parameters import ProtocolParameters
from prover.foreign_json import ForeignJsonError, read_json_file

from .errors import DeploymentDiffers, DeploymentRefused, ParameterFileError
from .parameter_file import CONDITIONS, DeploymentPlan, show_parameter

_SILENCE_S = 3.0  # after a crash the next one waits so long for signs of life
RECORDS = STATE / "deployments"


@dataclass(frozen=True)
class Record:
    """A finished deployment: what `--deployment` reads, and what it was made from."""

    deployment: Deployment
    parameters: ProtocolParameters
    deployer: str | None  # None: not recorded (a devnet's file); the vault says who it was

    @classmethod
    def load(cls, path: Path) -> Record:
        """Raises `DeploymentInvalid`."""
        deployment = Deployment.load(path)
        stored = read_json_file(path)
        try:
            written = stored["parameters"]
            parameters = ProtocolParameters(
                **{field.name: written[field.name] for field in fields(ProtocolParameters)}
            )
        except (KeyError, TypeError) as error:
            raise DeploymentInvalid(
                f"{path} has no parameters ({error}); only files of `gainsay deploy run` and `gainsay devnet up` can be verified."
            ) from error
        deployer = stored.get("deployer")
        return cls(deployment, parameters, deployer if isinstance(deployer, str) else None)


@dataclass(frozen=True)
class Forecast:
    """What deploying would do, at today's fee."""

    planned: DeploymentForecast
    deployer: str
    balance_wei: int
    cost_wei: int  # at the base fee of now, tip included
    highest_cost_wei: int  # at the fee that is offered

    @property
    def affordable(self) -> bool:
        return self.balance_wei >= self.highest_cost_wei


def record_path(plan: DeploymentPlan) -> Path:
    return RECORDS / f"{plan.chain_id}-{plan.name}.json"


def unfinished_path(record: Path) -> Path:
    return record.with_name(record.name + ".unfinished")


def release() -> str:
    try:
        return importlib.metadata.version("gainsay")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def forecast(
    chain: Chain, deployer: str, plan: DeploymentPlan, artifacts: Mapping[str, Artifact]
) -> Forecast:
    """Nothing is sent. Raises what the bindings raise; a refusal of the parameters is part of the
    answer."""
    planned = forecast_deployment(chain, deployer, plan.parameters, artifacts)
    head, tip = chain.head(), chain.priority_fee_wei()
    offered = min(2 * head.base_fee_wei + tip, FeePolicy().highest_fee_wei)
    return Forecast(
        planned,
        deployer,
        chain.balance_wei(deployer),
        planned.gas * (head.base_fee_wei + tip),
        planned.gas * offered * 125 // 100,
    )


def require_accepted(planned: DeploymentForecast) -> None:
    """Raises `ParameterFileError` where the contract refuses a parameter, else what the chain said."""
    if (refusal := planned.refusal) is None:
        return
    if refusal.name != "InvalidParameter":
        raise refusal
    raise ParameterFileError(f"the contract refuses {broken_rule(refusal)}")


def broken_rule(refusal: ContractError) -> str:
    """What `InvalidParameter` names, and what it must be."""
    name = snake_case(str(refusal.arguments.get("field", "")))
    return f"parameters.{name}: it must be {CONDITIONS.get(name, 'in the range that Parameters.sol names')}"


def deploy(
    sender: Sender,
    plan: DeploymentPlan,
    record: Path,
    artifacts: Mapping[str, Artifact],
    report: Callable[[str, Mined], None],
) -> tuple[Deployment, list[Finding]]:
    """Deploy, compare and write the record; carries on where a kill left it.

    Raises `DeploymentRefused`, `DeploymentDiffers` and what the bindings raise.
    """
    with running_alone(sender.journal.leases, "deploy", sender.address, duration_s=_SILENCE_S):
        digest = _digest(sender, plan.parameters, artifacts)
        begun = _begin(unfinished_path(record), sender, plan, digest)
        done: dict[str, Mined] = {}

        def note(step: str, mined: Mined) -> None:
            done[step] = mined
            report(step, mined)

        deployment = deploy_protocol(
            sender,
            plan.parameters,
            f"deploy {plan.name} {digest[:16]}",
            first_block=begun["first_block"],
            report=note,
        )
        findings = compare_deployment(sender.chain, deployment, plan.parameters, sender.address, artifacts)
        if wrong := [finding for finding in findings if not finding.right]:
            raise DeploymentDiffers(
                f"{wrong[0].what} is not what was deployed: {wrong[0].detail}; no record was written"
            )
        write_atomically(record, _record(plan, deployment, sender, findings, done))
        unfinished_path(record).unlink(missing_ok=True)
        return deployment, findings


def _digest(sender: Sender, parameters: ProtocolParameters, artifacts: Mapping[str, Artifact]) -> str:
    """Names exactly what is deployed: the chain, the account, and every byte of every constructor's call."""
    nowhere = {creation.field: "0x" + 40 * "0" for creation in CREATIONS}
    found = hashlib.sha256(sender.chain.genesis_hash + bytes.fromhex(sender.address[2:]))
    for creation in CREATIONS:
        found.update(hashlib.sha256(creation_data(creation, artifacts, nowhere, parameters)).digest())
    return found.hexdigest()


def _begin(path: Path, sender: Sender, plan: DeploymentPlan, digest: str) -> dict[str, Any]:
    """The plan that is under way: a new one, or the one that was interrupted."""
    try:
        begun = read_json_file(path)
    except OSError:
        new = {
            "digest": digest,
            "release": release(),
            "deployer": sender.address,
            "parameters": asdict(plan.parameters),
            "first_block": sender.chain.head().number,
        }
        write_atomically(path, new)
        return new
    except ForeignJsonError as error:
        raise DeploymentRefused(f"{path} is damaged ({error}); restore it, or choose another name") from error
    if begun["digest"] == digest:
        return dict(begun)
    reasons = [
        f"{name} was {show_parameter(name, begun['parameters'][name])}"
        for name, value in asdict(plan.parameters).items()
        if begun["parameters"].get(name) != value
    ]
    if begun["deployer"] != sender.address:
        reasons.insert(0, f"the account was {begun['deployer']}")
    if begun["release"] != release():
        reasons.append(f"the release was {begun['release']}")
    raise DeploymentRefused(
        f"a deployment named {plan.name} was begun differently ({'; '.join(reasons) or 'other sources, or another chain'}): "
        f"finish it with what it was begun with, or choose another name and leave it ({path})"
    )


def _record(
    plan: DeploymentPlan,
    deployment: Deployment,
    sender: Sender,
    findings: list[Finding],
    done: Mapping[str, Mined],
) -> dict[str, Any]:
    return {
        "name": plan.name,
        **deployment.as_json(),
        "release": release(),
        "deployer": sender.address,
        "genesis_hash": "0x" + sender.chain.genesis_hash.hex(),
        "deployed_at": int(time.time()),
        "preset": plan.preset,
        "parameters": asdict(plan.parameters),
        "code": {finding.what: finding.detail for finding in findings},
        "transactions": {step: "0x" + mined.transaction_hash.hex() for step, mined in done.items()},
        "gas_used": sum(mined.gas_used for mined in done.values()),
        "fee_wei": str(sum(mined.fee_wei for mined in done.values())),
    }


def verify(chain: Chain, record: Record, artifacts: Mapping[str, Artifact]) -> list[Finding]:
    """The deployment of a record against what this release compiles."""
    from contracts.bindings.provider_stake import ProviderStake

    deployer = record.deployer
    if deployer is None:
        try:
            deployer = ProviderStake(chain, record.deployment.stake, artifacts["ProviderStake"]).deployer()
        except BindingsError as error:
            return [Finding("ProviderStake", False, f"it does not say who deployed it: {error}")]
    return compare_deployment(chain, record.deployment, record.parameters, deployer, artifacts)


def write_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """Whole and on the disk before it counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
