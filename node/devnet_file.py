"""What `gainsay devnet up` wrote down: where its chain listens, and which account is the provider's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .settings import STATE

_FILE = STATE / "devnet.json"


def devnet_values(path: Path | None = None) -> dict[str, Any]:
    """Settings that follow from a devnet file: rpc_url, deployment, account. Raises SettingsError."""
    path = path or _FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read ({error}); run `gainsay devnet up` first") from error
    accounts = stored.get("accounts") if isinstance(stored, dict) else None
    if not isinstance(stored.get("rpc_url"), str) or not isinstance(accounts, dict) or "provider" not in accounts:
        raise SettingsError(f"{path} is not a devnet file of this version; run `gainsay devnet up` again")
    return {"rpc_url": stored["rpc_url"], "deployment": path, "account": accounts["provider"]}
