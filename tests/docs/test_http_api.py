"""docs/http-api.md has every route and every error code that the API's code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .pages import ROOT

PAGE = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
SOURCES = [*sorted((ROOT / "node" / "api").glob("*.py")), *sorted((ROOT / "node" / "payments").glob("*.py"))]
SOURCES.append(ROOT / "node" / "errors.py")


def _calls(name: str) -> Iterator[list[ast.expr]]:
    """Arguments of every call of a class or method of this name."""
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                if getattr(called, "id", getattr(called, "attr", "")) == name:
                    yield node.args


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_route_is_on_the_page() -> None:
    routes = set()
    for method in ("get", "post", "put", "delete"):
        for arguments in _calls(method):
            if arguments and (path := _text(arguments[0])) is not None and path.startswith("/"):
                routes.add((method.upper(), path.replace(":path", "")))
    assert ("POST", "/chat/completions") in routes and len(routes) > 10
    missing = [
        f"{method} {path}"
        for method, path in sorted(routes)
        if not re.search(rf"`{method} (/v1)?{re.escape(path)}`", PAGE)
    ]
    assert not missing, missing


def test_every_error_code_is_on_the_page() -> None:
    codes = {
        code for arguments in _calls("ApiProblem") if len(arguments) > 1 and (code := _text(arguments[1]))
    }
    codes |= {
        code for arguments in _calls("PaymentRefusedError") if arguments and (code := _text(arguments[0]))
    }
    assert {"queue_full", "deposit_too_small"} <= codes
    missing = sorted(code for code in codes if f"`{code}`" not in PAGE)
    assert not missing, missing
