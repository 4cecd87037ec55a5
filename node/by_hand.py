"""What a person's command sends to the chain, and says that it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from .command_settings import settings_of


def chain_side(
    devnet: bool, rpc_url: str | None, deployment: Path | None, keystore: Path | None, account: str | None
) -> Any:
    """(ChainAccess, Outbox) of the owner's account, with the database that a node on this machine uses.

    Raises UsageError when the account is not the owner of the provider that the settings name.
    """
    from contracts.bindings.sender import sender_on_engine
    from contracts.bindings.settings import STATE
    from prover.errors import UsageError

    from .chain_access import default_database, open_chain, open_signer
    from .keys import provider_of
    from .outbox import Outbox
    from .store import open_engine

    settings = settings_of(devnet, rpc_url, deployment, keystore, account)
    access = open_chain(settings)
    signer = open_signer(settings, access.chain)
    if (owner := provider_of(settings, signer.address)) != signer.address:
        raise UsageError(
            f"this is for the key of the provider's owner, {owner}; {signer.address} is another account: name the "
            "owner's with --keystore"
        )
    url = settings.database_url or default_database(
        access.chain, access.contracts.ledger.address, signer.address, STATE / "provider"
    )
    engine = open_engine(url)
    sender = sender_on_engine(access.chain, signer, engine, confirmations=0, create_tables=False)
    return access, Outbox(sender)


def by_hand(outbox: Any, call: Any, name: str) -> None:
    """Send what a command asks for; `tell_costs` or `costs` say what it took."""
    _, carried_on = outbox.send_by_hand(call, name)
    if carried_on:
        typer.echo(
            "This finished the same command that was interrupted before; repeat it to do it once more.",
            err=True,
        )


def tell_costs(outbox: Any) -> None:
    """One line per transaction that this command sent."""
    for what, mined in outbox.sent_by_hand:
        typer.echo(f"{what}: {mined}")


def costs(outbox: Any) -> dict[str, Any]:
    """The same for `--json`."""
    return {"transactions": [{"call": what, **mined.as_json()} for what, mined in outbox.sent_by_hand]}
