"""What `gainsay devnet up` wrote down: where its chain listens, and whose account is which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prover.foreign_json import ForeignJsonError, read_json_file

from .settings import STATE, SettingsError

_FILE = STATE / "devnet.json"


def devnet_values(path: Path | None = None, role: str = "provider") -> dict[str, Any]:
    """Settings that follow from a devnet file: rpc_url, deployment, and a role's account. Raises SettingsError."""
    path = path or _FILE
    try:
        stored = read_json_file(path)
        accounts = stored["accounts"]
        rpc_url = stored["rpc_url"]
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read ({error.strerror}); run `gainsay devnet up` first"
        ) from error
    except (ForeignJsonError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} is not a devnet file ({error}); run `gainsay devnet up` again"
        ) from error
    if role not in accounts:
        raise SettingsError(f"the devnet has no account for {role!r}; it has {', '.join(accounts)}")
    return {"rpc_url": rpc_url, "deployment": path, "account": accounts[role]}
