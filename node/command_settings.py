"""Settings of a command from its flags, with the devnet's values where `--devnet` is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .settings import ProviderSettings


def settings_of(
    devnet: bool,
    rpc: str | None,
    deployment: Path | None,
    keystore: Path | None,
    account: str | None,
    *,
    role: str = "provider",
    **flags: Any,
) -> ProviderSettings:
    """Flags above the devnet's values above environment and file. Raises SettingsError."""
    from .settings import load_settings

    given = {"rpc_url": rpc, "deployment": deployment, "keystore": keystore, "account": account, **flags}
    if devnet:
        from .devnet_file import devnet_values

        values = devnet_values(deployment, role)
        if keystore is not None or flags.get("signer_url") is not None:
            values.pop("account")
        given |= {name: value for name, value in values.items() if given.get(name) is None}
    return load_settings(**given)
