"""What the settings of every program that talks to the chain share: flag > environment GAINSAY_* > gainsay.toml > default.

gainsay.toml holds shared settings at its top and each program's own in a table of its name.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from contracts.protocol.ether import AmountError, parse_wei
from prover.errors import UsageError
from prover.foreign_json import ForeignJsonError, read_json_file

CONFIGURATION_FILE = Path("gainsay.toml")
STATE = Path(".gainsay")

HexId = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


def _wei(value: object) -> int:
    """A whole number is wei; a text may have a unit. A float has lost digits before it gets here."""
    if isinstance(value, str):
        try:
            return parse_wei(value, "wei")
        except AmountError as error:
            raise ValueError(str(error)) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("write a whole number of wei, or a text with a unit such as '25 gwei'")
    return value


def _endpoint(value: object) -> object:
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        raise ValueError("write the URL of an RPC endpoint, such as http://127.0.0.1:8545")
    return value


def _signer(value: object) -> object:
    if isinstance(value, str) and not value.startswith(("http://", "https://")):
        raise ValueError("write the URL of a remote signer, such as http://127.0.0.1:9000")
    return value


Wei = Annotated[int, BeforeValidator(_wei), Field(ge=0)]
RpcUrl = Annotated[str, BeforeValidator(_endpoint)]
SignerUrl = Annotated[str, BeforeValidator(_signer)]
DEFAULT_RPC_URL = "http://127.0.0.1:8545"


def rpc_url_of(deployment: Path) -> str | None:
    """The endpoint that a deployment file names; None when it cannot be read or names none."""
    try:
        stored = read_json_file(deployment)
    except (OSError, ForeignJsonError):
        return None  # what is wrong with the file is said where it is loaded
    url = stored.get("rpc_url") if isinstance(stored, dict) else None
    return url if isinstance(url, str) else None


class SettingsError(UsageError):
    """A setting is missing, malformed or contradicts another one."""


def read_secret_file(path: Path, what: str) -> str:
    """What a file holds, without the end of its line. Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the {what} cannot be read: {error}") from error


class ChainSettings(BaseSettings):
    """The settings that reach the chain and sign for an account; `table` names the program's own table."""

    model_config = SettingsConfigDict(env_prefix="GAINSAY_", extra="ignore", frozen=True)

    table: ClassVar[str]

    log_level: Literal["debug", "info", "warning", "error"] = (
        "info"  # a line per move and outcome from info on
    )
    log_format: Literal["console", "json"] = "console"  # of the lines on standard error

    srs: Path | None = None  # None: the public devnet string, which is insecure
    allow_insecure_srs: bool = False  # off a devnet, too: anyone can forge proofs then

    rpc_url: RpcUrl = DEFAULT_RPC_URL  # None given: what the deployment file says, else this
    rpc_urls: tuple[RpcUrl, ...] = ()  # more endpoints of the same chain, for when the first one fails
    deployment: Path = STATE / "devnet.json"  # JSON file with the contracts' addresses
    confirmations: Annotated[int, Field(ge=0, le=1000)] | None = None  # None: 0 on a devnet, else 3
    confirmation_tag: Literal["safe", "finalized"] | None = None  # instead: what the chain itself calls so
    poll_s: Annotated[float, Field(gt=0, le=60)] = 1.0  # seconds between looks at the chain
    max_head_age_s: Annotated[float, Field(gt=0)] | None = None  # None: unlimited on a devnet, else 120

    account: Address | None = (
        None  # an account that the RPC endpoint itself holds (devnets only), or the signer's
    )
    signer_url: SignerUrl | None = None  # a remote signer (web3signer's JSON-RPC), instead of a keystore
    keystore: Path | None = None  # encrypted key (JSON) of the account
    keystore_password: SecretStr | None = None  # of the keystore; not in a file that others read
    keystore_password_file: Path | None = None  # instead: a file whose text it is

    @model_validator(mode="before")
    @classmethod
    def _default_rpc_url(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Where nobody says which endpoint to use, the deployment's own is meant: a devnet may have any port."""
        if given.get("rpc_url") is None:
            path = Path(given.get("deployment") or cls.model_fields["deployment"].default)
            return {**given, "rpc_url": rpc_url_of(path) or DEFAULT_RPC_URL}
        return given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlSource(settings_cls, cls.table)

    def password(self) -> str:
        """The keystore's password. Raises SettingsError when none is given or its file cannot be read."""
        if self.keystore_password is not None:
            return self.keystore_password.get_secret_value()
        if self.keystore_password_file is not None:
            return read_secret_file(self.keystore_password_file, "password file")
        raise SettingsError(
            "the keystore needs its password: set GAINSAY_KEYSTORE_PASSWORD, or name a file with "
            "GAINSAY_KEYSTORE_PASSWORD_FILE"
        )


class _TomlSource(PydanticBaseSettingsSource):
    """Top-level values of gainsay.toml, overridden by those of the program's table."""

    def __init__(self, settings_cls: type[BaseSettings], table: str) -> None:
        super().__init__(settings_cls)
        self._table = table

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._values().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {name: value for name, value in self._values().items() if name in known}

    def _values(self) -> dict[str, Any]:
        name = self._table
        try:
            content = tomllib.loads(CONFIGURATION_FILE.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{CONFIGURATION_FILE} cannot be read: {error}") from error
        table = content.get(name, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{name!r} in {CONFIGURATION_FILE} must be a table: write [{name}]")
        if unknown := sorted(table.keys() - self.settings_cls.model_fields):
            raise SettingsError(
                f"{CONFIGURATION_FILE} has the unknown {name} setting {unknown[0]!r}; remove it"
            )
        shared = {key: value for key, value in content.items() if not isinstance(value, dict)}
        return shared | table
