"""Options that commands about a provider share, and settings from their flags, with the devnet's values where `--devnet` is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.bindings.command_options import chain_flags

if TYPE_CHECKING:
    from .settings import ProviderSettings

ProviderAddress = Annotated[
    str | None,
    typer.Option("--provider", metavar="ADDRESS", help="The provider's owner (default: the account itself)."),
]


def settings_of(
    devnet: bool,
    rpc_url: str | None,
    deployment: Path | None,
    keystore: Path | None,
    account: str | None,
    *,
    role: str = "provider",
    **flags: Any,
) -> ProviderSettings:
    """Flags above the devnet's values above environment and file. Raises SettingsError."""
    from .settings import load_settings

    return load_settings(**chain_flags(devnet, rpc_url, deployment, keystore, account, role=role, **flags))


def ether_amount(text: str) -> int:
    """An amount on the command line, in wei; a bare number is ether."""
    from contracts.protocol.ether import parse_wei

    return parse_wei(text)


def wei_amount(text: str) -> int:
    """An amount on the command line, in wei; a bare number is wei."""
    from contracts.protocol.ether import parse_wei

    return parse_wei(text, "wei")
