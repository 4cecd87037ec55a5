"""Settings of the operator's own commands: flag > environment GAINSAY_* > gainsay.toml > default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, ValidationError

from contracts.bindings.settings import CONFIGURATION_FILE, STATE, Address, ChainSettings, SettingsError, Wei

_Settings = TypeVar("_Settings", bound=ChainSettings)


class DeploySettings(ChainSettings):
    """What reaches the chain that is deployed to, and who pays; the rest is in the parameter file."""

    table: ClassVar[str] = "deploy"


class MonitorSettings(ChainSettings):
    """Everything that `gainsay monitor` can be told."""

    table: ClassVar[str] = "monitor"

    watch_providers: tuple[Address, ...] = ()  # nobody named: everybody
    watch_accounts: tuple[Address, ...] = ()  # others whose ether and games matter: a challenger's
    watch_nodes: tuple[str, ...] = ()  # URLs of providers' APIs
    webhook_url: str | None = None
    monitor_host: str = "127.0.0.1"
    monitor_port: Annotated[int, Field(ge=0, le=65535)] = 9464  # 0: no /metrics
    least_ether_wei: Wei = 5 * 10**16
    longest_silence_s: Annotated[float, Field(gt=0)] = 60.0
    replay_models: tuple[str, ...] = ()  # answers of these models are re-run, as shown by `watch_nodes`
    models_dir: Path = STATE / "models"  # imported models
    commitments_dir: Path = STATE / "commitments"  # their commitments, made once
    canary_port: Annotated[int, Field(ge=0, le=65535)] = 8001  # where the canary lists its false answers
    canary_every_s: Annotated[float, Field(gt=0)] = 3600.0  # from one false answer to the next
    near_s: Annotated[int, Field(ge=1)] | None = None  # before a deadline; None: a quarter of the window


class ExplorerSettings(ChainSettings):
    """Everything that `gainsay explorer` can be told."""

    table: ClassVar[str] = "explorer"

    explorer_host: str = "127.0.0.1"  # address to listen on
    explorer_port: Annotated[int, Field(ge=1, le=65535)] = 8080  # of the pages
    explorer_index: Path | None = None  # SQLite; None: one file per deployment
    explorer_nodes: tuple[str, ...] = ()  # URLs of providers' APIs, asked for receipts
    explorer_models: tuple[str, ...] = ()  # models on this machine, for names of steps


def require_all_names_known() -> None:
    """All programs share one environment and one file. Raises SettingsError for a name that none of them knows."""
    from challenger.settings import ChallengerSettings
    from contracts.bindings.setting_names import require_known_settings
    from node.settings import ProviderSettings

    require_known_settings(
        [ProviderSettings, ChallengerSettings, DeploySettings, MonitorSettings, ExplorerSettings]
    )


def load_deploy_settings(**flags: Any) -> DeploySettings:
    """The settings, with the given flags (None: not given) above everything else. Raises SettingsError."""
    return _loaded(DeploySettings, flags)


def load_monitor_settings(devnet: bool, **flags: Any) -> MonitorSettings:
    """As `load_deploy_settings`, with a devnet's endpoint and record where `devnet` is set. Raises SettingsError."""
    return _loaded(MonitorSettings, _with_devnet(devnet, flags))


def load_explorer_settings(devnet: bool, **flags: Any) -> ExplorerSettings:
    """As `load_monitor_settings`."""
    return _loaded(ExplorerSettings, _with_devnet(devnet, flags))


def _with_devnet(devnet: bool, flags: dict[str, Any]) -> dict[str, Any]:
    if devnet:
        from contracts.bindings.devnet_file import devnet_values

        values = devnet_values(flags.get("deployment"))
        flags |= {name: values[name] for name in ("rpc_url", "deployment") if flags.get(name) is None}
    return flags


def _loaded(kind: type[_Settings], flags: dict[str, Any]) -> _Settings:
    try:
        return kind(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name} = {first.get('input')!r} is wrong: {first['msg'].lower()}; correct the flag, "
            f"GAINSAY_{name.upper()} or {CONFIGURATION_FILE}"
        ) from error
