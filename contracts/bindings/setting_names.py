"""Names of settings that nobody knows are errors: a misspelt limit or key file must not be silently ignored."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .settings import CONFIGURATION_FILE, ChainSettings, SettingsError

PREFIX = "GAINSAY_"
#: Variables that are no setting of a program: tracebacks, npm packages, the compiler.
OTHER_VARIABLES = ("GAINSAY_DEBUG", "GAINSAY_NODE_MODULES", "GAINSAY_SOLC")
_OF_TESTS = "GAINSAY_TEST_"


def require_known_settings(
    programs: Sequence[type[ChainSettings]], environment: Mapping[str, str] = os.environ
) -> None:
    """Raises SettingsError for the first unknown GAINSAY_* variable, and key or table of gainsay.toml.

    The programs share one environment and one file, so a name is known if any of them knows it.
    """
    fields = {name for program in programs for name in program.model_fields}
    known = {PREFIX + name.upper() for name in fields} | {*OTHER_VARIABLES}
    for variable in sorted(environment):
        name = variable.upper()
        if name.startswith(PREFIX) and not name.startswith(_OF_TESTS):
            _require_known(name, known, "the environment variable {}", "unset it")
            _require_form(name, environment[variable])
    _require_known_keys(_configuration(), programs, fields)


def _require_known_keys(
    content: Mapping[str, Any], programs: Iterable[type[ChainSettings]], fields: Collection[str]
) -> None:
    tables = {program.table: program.model_fields for program in programs}
    for name, value in content.items():
        if not isinstance(value, dict):
            if name in tables:
                raise SettingsError(f"{name!r} in {CONFIGURATION_FILE} must be a table: write [{name}]")
            _require_known(name, fields, f"the setting {{}} in {CONFIGURATION_FILE}", "remove it")
            continue
        _require_known(name, tables, f"the table {{}} in {CONFIGURATION_FILE}", "remove it")
        for key in value:
            _require_known(key, tables[name], f"the {name} setting {{}} in {CONFIGURATION_FILE}", "remove it")


def _require_known(name: str, known: Collection[str], what: str, otherwise: str) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, 1, 0.6)
    fix = f"write {near[0]} or {otherwise}" if near else otherwise
    raise SettingsError(f"{what.format(name)} is not known; {fix}")


def _require_form(name: str, value: str) -> None:
    """Two names that are easily taken for each other."""
    is_list = value.lstrip().startswith("[")
    if name == "GAINSAY_MODELS" and not is_list:
        raise SettingsError(
            'GAINSAY_MODELS is the JSON list of models that a challenger checks, such as ["tiny"]; the folder of models '
            "is GAINSAY_MODELS_DIR"
        )
    if name == "GAINSAY_MODELS_DIR" and is_list:
        raise SettingsError(
            "GAINSAY_MODELS_DIR is the folder of models; the list of models that a challenger checks is GAINSAY_MODELS"
        )


def _configuration() -> dict[str, Any]:
    try:
        return tomllib.loads(CONFIGURATION_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{CONFIGURATION_FILE} cannot be read: {error}") from error
