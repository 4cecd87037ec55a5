"""English prose that ships with Python itself, to calibrate and measure on without fetching anything.

The chapters of the language reference in `pydoc_data.topics` are reduced to their paragraphs: headings, code,
lists of syntax and inline markup go, hard line breaks are joined. The exact text depends on the Python version,
so reports name it together with the text's SHA-256.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pydoc_data import topics

# Well-written chapters, kept apart: figures are measured on text that calibration never saw.
FIDELITY_CHAPTERS = ("objects", "exceptions", "import")
COMPARISON_CHAPTERS = (*FIDELITY_CHAPTERS, "types", "compound", "formatstrings")
"""Enough for 10,000 tokens of a model with a vocabulary of 49,152."""
CALIBRATION_CHAPTERS = ("execmodel", "context-managers", "naming", "attribute-access")

_MARKUP = re.compile(r"\*\*|[*`‘’]|(?<!\w)\"|\"(?!\w)|\[\d+\]")


@dataclass(frozen=True)
class SourceText:
    """A text and where it comes from."""

    text: str
    origin: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def python_prose(chapters: Sequence[str]) -> SourceText:
    """Paragraphs of chapters of the Python language reference."""
    paragraphs = [paragraph for chapter in chapters for paragraph in _paragraphs(topics.topics[chapter])]
    origin = f"pydoc_data.topics {', '.join(chapters)} (Python {platform.python_version()})"
    return SourceText("\n\n".join(paragraphs), origin)


def _paragraphs(chapter: str) -> list[str]:
    """Unindented blocks of at least two lines that read as sentences."""
    kept = []
    for block in re.split(r"\n\s*\n", chapter):
        lines = block.splitlines()
        prose = len(lines) >= 2 and all(line and not line[0].isspace() for line in lines)
        if (
            prose
            and lines[0][0].isalpha()
            and not re.match(r"^[*=\-~]{3,}$", lines[1])
            and "::=" not in block
        ):
            kept.append(re.sub(r"\s+", " ", _MARKUP.sub("", block)).strip())
    return kept
