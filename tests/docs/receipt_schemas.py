"""docs/receipt.schema.json and docs/leaf.schema.json, made from the code that reads receipts and makes leaves.

Rewrite them with `.venv/bin/python -m tests.docs.receipt_schemas`.
"""

from __future__ import annotations

import json
from pathlib import Path

from contracts.bindings.receipt_body import leaf_schema, receipt_schema

DOCS = Path(__file__).parents[2] / "docs"


def pages() -> dict[str, str]:
    """Text of each file by its name."""
    made = {"receipt.schema.json": receipt_schema(), "leaf.schema.json": leaf_schema()}
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in made.items()}


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
