"""The challenger's settings: flag > environment GAINSAY_* > gainsay.toml > default.

gainsay.toml holds shared settings at its top and the challenger's own in a [challenger] table:

    rpc_url = "http://127.0.0.1:8545"

    [challenger]
    policy = "random:0.2"
    providers = ["http://127.0.0.1:8000"]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError
from pydantic_settings import SettingsError as SourceError

from contracts.bindings.settings import (
    CONFIGURATION_FILE,
    STATE,
    ChainSettings,
    HexId,
    SettingsError,
    Wei,
)


class ChallengerSettings(ChainSettings):
    """Everything that `gainsay challenger` can be told."""

    table: ClassVar[str] = "challenger"

    # on this machine, by name or directory: responses of other models stay unknown
    models: Annotated[list[str], Field(default_factory=lambda: ["smollm2-135m"])]
    trusted_models: list[HexId] | None = (
        None  # beside the ids of the verifiers that this program builds itself
    )
    # whose leaves and ids are asked for: URL, or 0xADDRESS=URL
    providers: Annotated[list[str], Field(default_factory=lambda: ["http://127.0.0.1:8000"])]

    models_dir: Path = STATE / "models"  # imported models
    commitments_dir: Path = STATE / "commitments"  # their commitments, made once
    device: str | None = (
        None  # where answers are run again by torch: cpu, cuda or cuda:N; None: without torch
    )

    policy: str = "all"  # which responses are re-run: all, random:SHARE, fee:…, stake:… or suspicion…
    watch_only: bool = False  # judge, but send nothing
    ask: bool = False  # pay for what providers hide to be shown on chain
    ask_budget_wei: Wei | None = None  # per challenge window; None: 25 times the price of asking

    tend: Literal["own", "found", "all"] = (
        "found"  # whose games and asks are ended when their time is over: own, found or all
    )

    highest_fee_wei: Wei | None = None  # per gas, of everything that is sent; None: 500 gwei
    open_below_gas_price_wei: Wei | None = (
        None  # base fee above which no game is opened and nothing asked for
    )
    gas_budget_per_day_wei: Wei | None = None  # with what finishing the open games will cost
    bond_budget_wei: Wei | None = None  # bonds at risk at a time
    bond_budget_per_day_wei: Wei | None = None  # bonds staked in 24 hours, won back or not
    stop_after_lost_games: Annotated[int, Field(ge=1)] | None = 3  # an honest challenger loses none

    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = (
        None  # Prometheus figures on 127.0.0.1: backlog, verdicts, what was missed; None: none
    )

    challenger_database: Path | None = None  # None: one file per deployment and account


def load_settings(**flags: Any) -> ChallengerSettings:
    """The settings, with the given flags (None: not given) above everything else. Raises `SettingsError`."""
    try:
        return ChallengerSettings(**{name: value for name, value in flags.items() if value is not None})
    except SourceError as error:
        names = ("models", "providers", "trusted_models")
        name = next((name for name in names if f'"{name}"' in str(error)), None)
        raise SettingsError(
            f'GAINSAY_{name.upper()} must be a JSON list, such as ["one"]' if name else str(error)
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"setting {name} = {first.get('input')!r} is wrong: {first['msg'].lower()}; correct the flag, "
            f"GAINSAY_{name.upper()} or {CONFIGURATION_FILE}"
        ) from error
