"""The command table of docs/reference.md, made from the commands' own help.

Rewrite it with `.venv/bin/python -m tests.cli.command_reference`.
"""

from __future__ import annotations

from pathlib import Path

import gainsay

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
START, END = "<!-- commands -->\n", "<!-- /commands -->"


def reference() -> str:
    """One row per command: its usage line and the first sentence of its help."""
    rows = ["| command | does |", "| --- | --- |"]
    for name in gainsay.COMMANDS:
        if not _is_listed(name):
            continue
        command = gainsay.load(name)
        children = getattr(command, "commands", None)
        if not children:
            rows.append(_row(f"gainsay {name}", command))
            continue
        rows += [_row(f"gainsay {name} {child}", children[child]) for child in children]
    return "\n".join(rows) + "\n"


def _is_listed(name: str) -> bool:
    """Commands whose module does not exist are not in the help either."""
    return any(info.name == name for info in gainsay.app.registered_commands)


def _row(usage: str, command: object) -> str:
    text = " ".join(str(getattr(command, "help", "") or "").split())
    sentence = text.split(". ")[0].rstrip(".")
    return f"| `{usage}` | {sentence} |"


def rewritten(page: str) -> str:
    """The page with its table replaced."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return before + START + reference() + END + after


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
