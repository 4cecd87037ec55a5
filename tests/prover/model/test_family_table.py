"""The reference's table of architectures and operators is what the programs are made of, and what the importers accept."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import is_dataclass

import pytest

from prover import operators
from prover.architectures import FAMILIES
from prover.model import family_table
from prover.model.family_table import PAGE, models_of_families, operators_of, rewritten, tables
from prover.model.gguf_keys import ARCHITECTURES
from prover.model.hugging_face_import import MODEL_TYPES
from prover.model.library import BUILT_IN, built_in_config
from prover.program import OperatorBase

FAMILY_TABLE, OPERATOR_TABLE = tables().split("\n\n")


def _rows(table: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {first: rest for first, *rest in cells}


def test_the_page_shows_the_families_as_they_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == rewritten(text), "run `python -m prover.model.family_table`"


def test_every_family_has_a_column_and_every_accepted_name_a_place() -> None:
    rows = _rows(FAMILY_TABLE)
    assert all(len(cells) == len(FAMILIES) for cells in rows.values())
    shown = {fact: re.findall("`([^`]+)`", " ".join(rows[fact])) for fact in list(rows)[2:5]}
    assert list(map(set, shown.values())) == [set(MODEL_TYPES), set(ARCHITECTURES), set(BUILT_IN)]


def test_every_operator_of_the_package_has_a_row_and_every_user_is_named() -> None:
    rows = _rows(OPERATOR_TABLE)
    listed = {re.sub(r"\[(\w+)\].*", r"\1", name): cells[1] for name, cells in list(rows.items())[2:]}
    pages = [
        importlib.import_module(f"prover.operators.{m.name}")
        for m in pkgutil.iter_modules(operators.__path__)
    ]
    written = {
        value.__name__
        for page in pages
        for value in vars(page).values()
        if isinstance(value, type) and issubclass(value, OperatorBase) and is_dataclass(value)
    }
    assert set(listed) == written
    titles = dict(zip(FAMILIES, _rows(FAMILY_TABLE)[""], strict=True))
    for operator, users in listed.items():
        using = {
            titles[family]
            for family, names in models_of_families().items()
            if operator in {type(o).__name__ for o in operators_of(built_in_config(names[0]))}
        }
        assert users == (
            "all" if len(using) == len(FAMILIES) else ", ".join(t for t in titles.values() if t in using)
        )


def test_the_column_follows_the_family_and_not_the_table() -> None:
    """Facts that families are known by, in the literature's words."""
    rows = {fact: dict(zip(FAMILIES, cells, strict=True)) for fact, cells in _rows(FAMILY_TABLE).items()}
    more, attention = "; some models: those of attention and the unit", "; some models: those of attention"
    assert rows["biases of matrices"] == {
        "llama": f"–{more}", "qwen2": "key, value, query", "qwen3": f"–{attention}", "smollm3": f"–{more}",
        "granite": f"–{more}", "phi3": "–", "olmo2": f"–{attention}", "gemma3": "–", "gpt2": "all",
        "mixtral": "–", "qwen3_moe": f"–{attention}", "deepseek_v3": "–",
    }  # fmt: skip
    assert [f for f, fact in rows["norm of each query and key"].items() if fact != "–"] == [
        "qwen3",
        "olmo2",
        "qwen3_moe",
        "gemma3",
    ]
    assert [f for f, fact in rows["norm in front of a sub-layer"].items() if fact == "–"] == ["olmo2"]
    assert "all heads together" in rows["norm of each query and key"]["olmo2"]
    assert [f for f, fact in rows["norm behind it"].items() if fact != "–"] == ["olmo2", "gemma3"]
    assert [f for f, fact in rows["reach"].items() if fact.startswith("in local layers")] == ["gemma3"]
    assert [f for f, fact in rows["reach"].items() if fact == "all positions"] == [
        "granite",
        "olmo2",
        "deepseek_v3",
        "gpt2",
    ]
    assert [f for f, fact in rows["positions"].items() if "none in some layers" in fact] == ["smollm3"]
    mixtures = ["mixtral", "qwen3_moe", "deepseek_v3"]
    assert [f for f, fact in rows["experts"].items() if fact != "–"] == mixtures
    assert [f for f, fact in rows["operators, router"].items() if "TopK" in fact] == mixtures
    assert [f for f, fact in rows["experts"].items() if "every row" in fact] == ["deepseek_v3"]
    assert [f for f, fact in rows["key heads"].items() if "latent" in fact] == ["deepseek_v3"]
    assert [f for f, fact in rows["positions"].items() if "first channels" in fact] == ["phi3"]
    assert rows["embedding"]["granite"] == "times 12"
    assert rows["embedding"]["gemma3"] == "times √d" and rows["positions"]["gpt2"] == "learned"
    assert rows["norm in front of a sub-layer"]["gpt2"] == "LayerNorm, gain and bias folded"


def test_a_new_family_without_a_model_to_show_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_table, "FAMILIES", (*FAMILIES, "new"))
    with pytest.raises(ValueError, match="family new has no built-in model"):
        tables()


def test_a_readme_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError):
        rewritten("# no marks\n")
