"""Settings of a command from its flags, with the devnet's values where `--devnet` is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.bindings.command_options import chain_flags

if TYPE_CHECKING:
    from .settings import ProviderSettings


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
