"""A family is a page and its import: nothing else may know its name."""

from __future__ import annotations

import re
from pathlib import Path

from prover.architectures import FAMILIES
from prover.model.fetch import SOURCES

ROOT = Path(__file__).parents[3]
PACKAGES = ("prover", "verifier_gen", "contracts/src", "contracts/protocol", "contracts/bindings")
PACKAGES += ("node", "challenger", "devnet")
MAY_KNOW = ("prover/architectures/", "prover/model/")
SUFFIXES = {".py", ".sol", ".yul"}
PROGRAMS = ("llama.cpp", "llama-cpp", "llama_cpp")


def test_a_family_has_the_name_of_its_file() -> None:
    assert {family: kind.family for family, kind in FAMILIES.items()} == {
        family: family for family in FAMILIES
    }


def test_no_family_is_named_outside_architectures_and_model_import() -> None:
    words = [rf"{re.escape(family)}\b" for family in FAMILIES] + [kind.__name__ for kind in FAMILIES.values()]
    name = re.compile("|".join(words), re.IGNORECASE)
    # a model's own name may be shown, and that of a program
    models = re.compile("|".join(map(re.escape, [*SOURCES, *PROGRAMS])))
    files = [p for package in PACKAGES for p in (ROOT / package).rglob("*") if p.suffix in SUFFIXES]
    assert len(files) > 100
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        if not str(path.relative_to(ROOT)).startswith(MAY_KNOW)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if name.search(models.sub("", line))
    ]
    assert not found, found
