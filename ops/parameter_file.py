"""The file that a deployment is made from: a name, a chain, and every parameter of the protocol.

    name = "arbitrum-one"        # tells deployments of one chain apart
    chain_id = 42161
    preset = "l2"                # where nothing is written below; without it every parameter must be

    [parameters]
    challenge_window = "4 days"  # a time: seconds, or with a unit
    provider_bond = "8 ether"    # an amount: wei, or with a unit
    bond_load = 16               # a count

Whether the parameters make a working deployment is the contract's to say (`Parameters.validate`); here only their form
is read. `CONDITIONS` repeats in words what the contract refuses.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from eth_utils.address import is_address, to_checksum_address

from contracts.protocol.duration import DurationError, parse_seconds, show_duration
from contracts.protocol.ether import AmountError, parse_wei
from contracts.protocol.parameters import PRESETS, ProtocolParameters

from .errors import ParameterFileError

TIMES = (
    "challenge_window", "clock", "move_extension", "trace_extension", "prove_extension", "exit_delay", "posting_window",
    "receipt_claim_window", "receipt_answer_window", "show_window", "join_window", "inclusion_delay", "guardian_delay",
    "audit_window",
)  # fmt: skip
AMOUNTS = (
    "lock_per_response", "provider_bond", "challenger_bond", "receipt_claim_bond", "ask_price", "game_reward",
)  # fmt: skip
COUNTS = ("max_games_per_response", "bond_load", "arity", "max_audit_items")
ADDRESSES = ("guardian",)
NAMES = tuple(field.name for field in fields(ProtocolParameters))
_TOP = ("name", "chain_id", "preset", "parameters")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_WEI_UNITS = ((10**18, "ether"), (10**9, "gwei"))

#: What `Parameters.validate` asks of each field that it names, as the end of "it must be ...".
CONDITIONS: Mapping[str, str] = {
    "inclusion_delay": "at most 3650 days",
    "challenge_window": "longer than inclusion_delay, at least posting_window, at most 3650 days",
    "clock": "more than 0, at most 3650 days",
    "move_extension": "longer than inclusion_delay, at most 3650 days",
    "trace_extension": "at least move_extension, at most 3650 days",
    "prove_extension": "at least move_extension, at most 3650 days",
    "posting_window": "at most 3650 days",
    "receipt_claim_window": "longer than inclusion_delay, at most 3650 days",
    "receipt_answer_window": "longer than inclusion_delay, at most 3650 days",
    "show_window": "longer than inclusion_delay, at most 3650 days",
    "join_window": "longer than inclusion_delay, at most 3650 days",
    "guardian": "an address where guardian_delay is more than 0, and the zero address where it is 0",
    "guardian_delay": "0, or between inclusion_delay + 1 hour and 30 days",
    "exit_delay": "longer than posting_window + receipt_claim_window + receipt_answer_window + inclusion_delay + "
    "2 x guardian_delay, at most 3650 days",
    "lock_per_response": "more than 0, less than 2^96 wei",
    "provider_bond": "more than 0, less than 2^96 wei",
    "challenger_bond": "more than 0, less than 2^72 wei",
    "receipt_claim_bond": "more than 0, less than 2^96 wei",
    "ask_price": "more than 0, less than challenger_bond",
    "max_games_per_response": "more than 0",
    "game_reward": "more than 0, and 5 x game_reward x max_games_per_response at most 2 x lock_per_response",
    "bond_load": "more than 0",
    "arity": "between 2 and 128",
    "audit_window": "at least prove_extension, at most 3650 days",
    "max_audit_items": "between 1 and 64",
}


@dataclass(frozen=True)
class DeploymentPlan:
    """What somebody wants to deploy."""

    name: str
    chain_id: int
    preset: str | None
    parameters: ProtocolParameters


def read_parameter_file(path: Path) -> DeploymentPlan:
    """Raises ParameterFileError with the field that is wrong."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterFileError(
            f"{path} cannot be read ({error.strerror}); `gainsay deploy template` prints such a file"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ParameterFileError(f"{path} is no TOML file: {error}") from error
    try:
        return _plan(content)
    except ParameterFileError as error:
        raise ParameterFileError(f"{path}: {error}") from None


def template(preset: str, name: str, chain_id: int) -> str:
    """A parameter file with every parameter of a preset."""
    stored = asdict(PRESETS[preset])
    lines = [f'name = "{name}"', f"chain_id = {chain_id}", f'preset = "{preset}"', "", "[parameters]"]
    return "\n".join([*lines, *(f"{key} = {_toml(key, value)}" for key, value in stored.items())]) + "\n"


def show_parameter(name: str, value: int | str) -> str:
    """A parameter as people read it."""
    if name in TIMES:
        return show_duration(int(value))
    return _show_amount(int(value)) if name in AMOUNTS else str(value)


def _toml(name: str, value: int | str) -> str:
    return str(value) if name in COUNTS else f'"{show_parameter(name, value)}"'


def _show_amount(wei: int) -> str:
    for size, unit in _WEI_UNITS:
        step = size // 10**6
        if wei and wei % step == 0:
            whole, part = divmod(wei // step, 10**6)
            return f"{whole}{f'.{part:06d}'.rstrip('0').rstrip('.')} {unit}"
    return f"{wei} wei"


def _plan(content: Mapping[str, Any]) -> DeploymentPlan:
    for key in content:
        _require_known(key, _TOP, "")
    name, chain_id, preset = content.get("name"), content.get("chain_id"), content.get("preset")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ParameterFileError(
            "name must be a word of small letters, digits and dashes, such as 'mainnet-1'; it names the record"
        )
    if isinstance(chain_id, bool) or not isinstance(chain_id, int) or not 0 < chain_id < 2**64:
        raise ParameterFileError("chain_id must be the number of the chain, such as 42161")
    if preset is not None and preset not in PRESETS:
        raise ParameterFileError(f"preset {preset!r} is not known; write one of {', '.join(PRESETS)}")
    written = content.get("parameters", {})
    if not isinstance(written, dict):
        raise ParameterFileError("parameters must be a table: write [parameters]")
    for key in written:
        _require_known(key, NAMES, "parameters.")
    values: dict[str, Any] = {} if preset is None else asdict(PRESETS[preset])
    values |= {key: _value(key, value) for key, value in written.items()}
    if missing := [key for key in NAMES if key not in values]:
        raise ParameterFileError(
            f"parameters.{missing[0]} is missing; write it, or name the preset that it comes from"
        )
    return DeploymentPlan(name, chain_id, preset, ProtocolParameters(**values))


def _require_known(key: str, known: tuple[str, ...], table: str) -> None:
    if key not in known:
        near = difflib.get_close_matches(key, known, 1, 0.6)
        fix = f"write {table}{near[0]} or remove it" if near else "remove it"
        raise ParameterFileError(f"{table}{key} is not known; {fix}")


def _value(name: str, value: object) -> int | str:
    try:
        if name in ADDRESSES:
            if not isinstance(value, str) or not is_address(value):
                raise ParameterFileError(f"parameters.{name} must be an address: 0x and 40 hex digits")
            return str(to_checksum_address(value))
        if isinstance(value, str) and name in TIMES:
            return parse_seconds(value)
        if isinstance(value, str) and name in AMOUNTS:
            return parse_wei(value, "wei")
    except (DurationError, AmountError) as error:
        raise ParameterFileError(f"parameters.{name}: {error}") from None
    limit = 2**256 if name in AMOUNTS else 2**64 if name in TIMES else 2**32
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
        kind = "a time" if name in TIMES else "an amount" if name in AMOUNTS else "a count"
        raise ParameterFileError(
            f"parameters.{name} = {value!r} must be {kind}: a whole number of at least 0, below 2^{limit.bit_length() - 1}"
        )
    return value
