"""Settings of the operator's own commands: flag > environment GAINSAY_* > gainsay.toml > default."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ValidationError

from contracts.bindings.settings import CONFIGURATION_FILE, ChainSettings, SettingsError


class DeploySettings(ChainSettings):
    """What reaches the chain that is deployed to, and who pays; the rest is in the parameter file."""

    table: ClassVar[str] = "deploy"


def require_all_names_known() -> None:
    """All programs share one environment and one file. Raises SettingsError for a name that none of them knows."""
    from challenger.settings import ChallengerSettings
    from contracts.bindings.setting_names import require_known_settings
    from node.settings import ProviderSettings

    require_known_settings([ProviderSettings, ChallengerSettings, DeploySettings])


def load_deploy_settings(**flags: Any) -> DeploySettings:
    """The settings, with the given flags (None: not given) above everything else. Raises SettingsError."""
    try:
        return DeploySettings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name} = {first.get('input')!r} is wrong: {first['msg'].lower()}; correct the flag, "
            f"GAINSAY_{name.upper()} or {CONFIGURATION_FILE}"
        ) from error
