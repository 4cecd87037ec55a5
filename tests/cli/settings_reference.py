"""docs/settings.md, made from the settings classes: their types, defaults, and the comments beside them.

Rewrite it with `.venv/bin/python -m tests.cli.settings_reference`.
"""

from __future__ import annotations

import ast
import inspect
import io
import textwrap
import tokenize
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from challenger.settings import ChallengerSettings
from contracts.bindings.setting_names import OTHER_VARIABLES, PREFIX
from contracts.bindings.settings import Address, ChainSettings, HexId, RpcUrl, Wei
from node.settings import ProviderSettings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD = """# Settings

Made by `python -m tests.cli.settings_reference` from the settings' classes; a test checks that it is current. Do not edit.

A flag comes before an environment variable, that before `gainsay.toml` in the working folder, that before the default. In the file, shared
settings stand at the top and each program's own in a table of its name:

```toml
rpc_url = "http://127.0.0.1:8545"

[provider]
model = "smollm2-135m"

[challenger]
policy = "random:0.2"
```

An environment variable that starts with `GAINSAY_`, or a key of the file, that nobody knows is an error that names the nearest one. Lists are JSON in
variables (`["one"]`) and TOML in the file. Amounts are whole numbers of wei, or texts with a unit (`"25 gwei"`). Which settings have a flag says
`--help`; only some have one. Paths are relative to the working folder.
"""

_NAMED: tuple[tuple[Any, str], ...] = (
    (HexId, "0x and 64 hex digits"),
    (Address, "address"),
    (Wei, "amount"),
    (RpcUrl, "URL"),
    (SecretStr, "secret"),
    (Path, "path"),
    (bool, "true or false"),
    (int, "whole number"),
    (float, "number"),
    (str, "text"),
)


def page() -> str:
    """The page as it must be. Raises ValueError for a setting without a comment that says what it means."""
    shared = _rows(ChainSettings, ())
    parts = [
        _HEAD,
        "## Shared\n",
        _table(shared),
        "## Provider\n\n`gainsay provider`, table `[provider]`.\n",
        _table(_rows(ProviderSettings, ChainSettings.model_fields)),
        "## Challenger\n\n`gainsay challenger` and `gainsay dispute`, table `[challenger]`.\n",
        _table(_rows(ChallengerSettings, ChainSettings.model_fields)),
        "## Other variables\n\n"
        f"{', '.join(f'`{name}`' for name in OTHER_VARIABLES)} are read as well: whole tracebacks, where npm's packages are, and a native compiler.\n",
    ]
    return "\n".join(parts)


def _table(rows: list[str]) -> str:
    return "\n".join(
        ["| setting | variable | type | default | meaning |", "| --- | --- | --- | --- | --- |", *rows, ""]
    )


def _rows(settings: type[ChainSettings], known: Any) -> list[str]:
    hints, comments = get_type_hints(settings, include_extras=True), _comments(settings)
    rows = []
    for name, field in settings.model_fields.items():
        if name in known:
            continue
        if not comments.get(name):
            raise ValueError(f"{settings.__name__}.{name}: say in a comment beside it what it means")
        default = _default(field.get_default(call_default_factory=True))
        cells = (f"`{name}`", f"`{PREFIX}{name.upper()}`", _type(hints[name]), default, comments[name])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _comments(settings: type[ChainSettings]) -> dict[str, str]:
    """What the comments inside a field's statement, or alone on the lines right in front of it, say."""
    source = textwrap.dedent(inspect.getsource(settings))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {token.start[0]: token.string.lstrip("#: ") for token in tokens if token.type == tokenize.COMMENT}
    lines = source.splitlines()
    result = {}
    for statement in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            first, last = statement.lineno, statement.end_lineno or statement.lineno
            while lines[first - 2].lstrip().startswith("#"):
                first -= 1
            said = " ".join(found[n] for n in range(first, last + 1) if n in found)
            result[statement.target.id] = said.replace("None given:", "unset:").replace("None:", "unset:")
    return result


def _type(hint: Any) -> str:
    for known, text in _NAMED:
        if hint == known:
            return text
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in arguments if part is not type(None))
    if origin is Annotated:
        return _type(arguments[0]) + _limits(hint.__metadata__)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (list, tuple):
        return f"list: {_type(arguments[0])}"
    raise ValueError(f"no words for the type {hint}")


def _limits(metadata: tuple[Any, ...]) -> str:
    texts = {}
    for entry in metadata:
        for limit in getattr(entry, "metadata", ()):
            for name, words in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below")):
                if hasattr(limit, name):
                    texts[name] = f"{words} {getattr(limit, name):,}"
    return (", " if texts else "") + " ".join(texts.values())


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(f"`{item}`" for item in value) or "none"
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
