"""A Yul function in the making."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

INDENT = " " * 12
"""How deep the contract's assembly block is."""

_LOCALS = {"r": "let r := mload(MODULUS)", "t": "let t := mload(CONTEXT_BITS)"}
"""Names that every generated statement may use, and how a function that does gets them."""


@dataclass
class Function:
    """head: name, parameters and results; meaning: its comment; lines: statements and comments."""

    head: str
    meaning: str
    lines: list[str] = field(default_factory=list)

    def render(self) -> str:
        """The function, indented for the assembly block."""
        declared = [text for name, text in _LOCALS.items() if self._uses(name)]
        body = [f"{INDENT}    {line}" for line in (*declared, *self.lines)]
        return "\n".join(
            [f"{INDENT}/// {self.meaning}", f"{INDENT}function {self.head} {{", *body, f"{INDENT}}}"]
        )

    def _uses(self, name: str) -> bool:
        """Whether a statement uses a name that the function does not declare itself."""
        code = [line.partition("//")[0] for line in self.lines]
        declares = any(line.startswith(f"let {name} ") for line in code)
        return not declares and any(re.search(rf"\b{name}\b", line) for line in code)
