"""The provider's settings: flag > environment GAINSAY_* > gainsay.toml > default.

gainsay.toml holds shared settings at its top and the provider's own in a [provider] table:

    rpc_url = "http://127.0.0.1:8545"

    [provider]
    model = "smollm2-135m"
    port = 8000
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .errors import SettingsError

CONFIGURATION_FILE = Path("gainsay.toml")
STATE = Path(".gainsay")

HexId = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class ProviderSettings(BaseSettings):
    """Everything that `gainsay provider` can be told."""

    model_config = SettingsConfigDict(env_prefix="GAINSAY_", extra="ignore", frozen=True)

    model: str = "smollm2-135m"
    models_dir: Path = STATE / "models"
    commitments_dir: Path = STATE / "commitments"
    srs: Path | None = None  # None: the public devnet string, which is insecure
    model_id: HexId | None = None  # None: the registered model with this model's commitments

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    queue_size: Annotated[int, Field(ge=1, le=10_000)] = 32
    default_max_tokens: Annotated[int, Field(ge=1)] = 256

    rpc_url: str = "http://127.0.0.1:8545"
    deployment: Path = STATE / "devnet.json"
    chain_id: Annotated[int, Field(ge=1)] | None = None
    confirmations: Annotated[int, Field(ge=0, le=1000)] | None = None  # None: 0 on a devnet, else 3
    poll_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    max_head_age_s: Annotated[float, Field(gt=0)] | None = None  # None: unlimited on a devnet, else 120

    account: Address | None = None  # an account that the RPC endpoint itself holds: devnets only
    keystore: Path | None = None
    keystore_password: SecretStr | None = None
    keystore_password_file: Path | None = None

    database_url: str | None = None  # None: SQLite, one file per deployment and account
    batch_interval_s: Annotated[int, Field(ge=1)] | None = (
        None  # None: a sixth of the posting window, 300 at most
    )
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256
    fee_wei: Annotated[int, Field(ge=0)] = 0

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlSource(settings_cls)


class _TomlSource(PydanticBaseSettingsSource):
    """Top-level values of gainsay.toml, overridden by those of its [provider] table."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._values().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        return {name: value for name, value in self._values().items() if name in known}

    def _values(self) -> dict[str, Any]:
        try:
            content = tomllib.loads(CONFIGURATION_FILE.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{CONFIGURATION_FILE} cannot be read: {error}") from error
        table = content.get("provider", {})
        if not isinstance(table, dict):
            raise SettingsError(f"'provider' in {CONFIGURATION_FILE} must be a table: write [provider]")
        if unknown := sorted(table.keys() - self.settings_cls.model_fields):
            raise SettingsError(
                f"{CONFIGURATION_FILE} has the unknown provider setting {unknown[0]!r}; remove it"
            )
        shared = {name: value for name, value in content.items() if not isinstance(value, dict)}
        return shared | table


def load_settings(**flags: Any) -> ProviderSettings:
    """The settings, with the given flags (None: not given) above everything else. Raises SettingsError."""
    try:
        return ProviderSettings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name} = {first.get('input')!r} is wrong: {first['msg'].lower()}; correct the flag "
            f"--{name.replace('_', '-')}, GAINSAY_{name.upper()} or {CONFIGURATION_FILE}"
        ) from error
