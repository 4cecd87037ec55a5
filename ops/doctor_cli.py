"""The command `gainsay doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from contracts.bindings.command_options import (
    Account,
    DeploymentFile,
    Devnet,
    Keystore,
    RpcUrl,
    SignerUrl,
    chain_flags,
)


def doctor(
    role: Annotated[str, typer.Argument(help="What is to run here: provider or challenger.")] = "provider",
    devnet: Devnet = False,
    rpc_url: RpcUrl = None,
    deployment: DeploymentFile = None,
    keystore: Keystore = None,
    account: Account = None,
    signer_url: SignerUrl = None,
    model: Annotated[str | None, typer.Option(help="The model; else as the settings say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at all that can be wrong before a start, change nothing, and say what to do; 1 when anything is wrong.

    Settings come from where `gainsay provider run` and `gainsay challenger run` take them.
    """
    from prover.errors import UsageError
    from prover.progress import reporting

    from .doctor import SKIPPED, Known, Line, examine, is_well

    if role not in ("provider", "challenger"):
        raise UsageError(f"there is no role {role!r}; say provider or challenger")
    flags: dict[str, Any] = {
        "rpc_url": rpc_url, "deployment": deployment, "keystore": keystore, "account": account, "signer_url": signer_url,
    }  # fmt: skip
    known = Known(flags)
    known["role"], known["fallback"] = role, None
    known["load"] = lambda: _settings(role, devnet, flags, model)

    def tell(line: Line) -> None:
        if not as_json:
            typer.echo(f"{line.state:<9}{line.check:<18}{line.found}")
            if line.todo:
                typer.echo(f"{'':<27}→ {line.todo}")

    with reporting() as report:
        known["progress"] = report
        lines = examine(_checks(role), known, tell)
    if as_json:
        typer.echo(json.dumps([asdict(line) for line in lines]))
    else:
        bad = sum(line.state not in ("ok", "warning", SKIPPED) for line in lines)
        typer.echo("everything is well" if is_well(lines) else f"{bad} of {len(lines)} checks failed")
    if not is_well(lines):
        raise typer.Exit(1)


def _settings(role: str, devnet: bool, flags: dict[str, Any], model: str | None) -> Any:
    from challenger.settings import load_settings as of_challenger
    from node.settings import load_settings as of_provider

    given = chain_flags(devnet, **flags, role=role)
    if role == "provider":
        return of_provider(**given, model=model)
    return of_challenger(**given, models=None if model is None else [model])


def _checks(role: str) -> list[Any]:
    from . import chain_checks as chain
    from . import machine_checks as machine
    from .doctor import Check

    found = [
        Check("settings", machine.settings),
        Check("secrets", machine.secrets, ("settings",)),
        Check("disk", machine.disk),
        Check("compiler", machine.compiler),
        Check("kernels", machine.kernels),
        Check("record", chain.record, ("settings",)),
        Check("endpoints", chain.endpoints, ("record",)),
        Check("clocks", chain.clocks, ("endpoints",)),
        Check("code", chain.code, ("endpoints", "compiler")),
        Check("parameters", chain.parameters, ("code",)),
        Check("key", chain.key, ("endpoints", "secrets")),
        Check("ether", chain.ether, ("key", "code")),
        Check("reference string", chain.reference_string, ("endpoints",)),
        Check("model", chain.models, ("reference string", "code")),
    ]
    if role == "provider":
        found += [
            Check("receipt key", chain.receipt_key, ("key",)),
            Check("stake", chain.stake, ("receipt key", "code")),
            Check("database", _provider_database, ("key", "code")),
            Check("port", machine.port, ("settings",)),
        ]
    else:
        found.append(Check("database", _challenger_database, ("key", "code")))
    return found


def _provider_database(known: Any) -> str:
    from contracts.bindings.settings import STATE
    from node.chain_access import default_database
    from node.keys import provider_of

    from .machine_checks import database

    found = known["settings"]
    owner, ledger = provider_of(found, known["account"]), known["contracts"].ledger.address
    known["database_url"] = found.database_url or default_database(
        known["chain"], ledger, owner, STATE / "provider"
    )
    return database(known)


def _challenger_database(known: Any) -> str:
    from challenger.startup import database_path

    from .machine_checks import database

    account = known["account"] or "watcher"
    path = known["settings"].challenger_database or database_path(
        known["chain"], known["deployment"], account
    )
    known["database_url"] = f"sqlite:///{path}"
    return database(known)
