"""The options that every command which reaches a chain shares, once: one spelling, one meaning, one help text.

`--account` is always who acts; whose things are looked at is `--of`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

RpcUrl = Annotated[str | None, typer.Option("--rpc-url", metavar="URL", help="RPC endpoint of the chain.")]
DeploymentFile = Annotated[
    Path | None, typer.Option("--deployment", help="JSON file with the contracts' addresses.")
]
Devnet = Annotated[
    bool, typer.Option("--devnet", help="Use the chain of `gainsay devnet up`, and its account for the role.")
]
Keystore = Annotated[
    Path | None,
    typer.Option(
        "--keystore",
        help="Encrypted keystore (JSON) of the account; its password comes from GAINSAY_KEYSTORE_PASSWORD[_FILE].",
    ),
]
Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="ADDRESS",
        help="The account that acts: held by the RPC endpoint (devnets), or by the remote signer.",
    ),
]
SignerUrl = Annotated[
    str | None,
    typer.Option("--signer-url", metavar="URL", help="A remote signer (web3signer) instead of a keystore."),
]
Role = Annotated[
    str | None,
    typer.Option("--as", metavar="ROLE", help="With --devnet: whose account (provider, challenger, client)."),
]
Of = Annotated[str | None, typer.Option("--of", metavar="ADDRESS", help="Only what concerns this address.")]
LogLevel = Annotated[
    str | None,
    typer.Option("--log-level", metavar="LEVEL", help="debug, info (the default), warning or error."),
]
LogFormat = Annotated[
    str | None,
    typer.Option("--log-format", metavar="FORM", help="Of the log on standard error: console or json."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")]


def chain_flags(
    devnet: bool,
    rpc_url: str | None,
    deployment: Path | None,
    keystore: Path | None,
    account: str | None,
    *,
    role: str,
    **flags: Any,
) -> dict[str, Any]:
    """Settings by name: the flags, and the devnet's values for `role` where nothing else is said. Raises SettingsError."""
    given = {"rpc_url": rpc_url, "deployment": deployment, "keystore": keystore, "account": account, **flags}
    if devnet:
        from .devnet_file import devnet_values

        values = devnet_values(deployment, role)
        if keystore is not None or flags.get("signer_url") is not None:
            values.pop("account")
        given |= {name: value for name, value in values.items() if given.get(name) is None}
    return given
