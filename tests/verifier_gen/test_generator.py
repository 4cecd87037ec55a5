"""The generated sources and the command that writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prover.argument.transcript import Transcript
from prover.curve.srs import SRS
from prover.errors import BadInputError, ChunkSizeError, NotFoundError, UsageError
from prover.statement import VerifyingKey
from tests.prover.operators.random_layers import SMALL
from tests.verifier_gen.statements import Proven
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.cli import app
from verifier_gen.generator import LABELS, step_verifier
from verifier_gen.layout import StepLayout


def test_transcript_sites_are_those_of_the_reference(
    proven: Callable[[str, int], Proven], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels in the order in which the reference verifier first uses them."""
    seen: dict[str, None] = {}
    original = Transcript.challenge

    def recording(self: Transcript, label: str, words: Iterable[int] = (), index: int = 0) -> int:
        seen[label] = None
        return original(self, label, words, index)

    statement = proven("head", 0)
    monkeypatch.setattr(Transcript, "challenge", recording)
    assert statement.python_accepts(statement.key, statement.inputs, statement.proof)
    assert tuple(seen) == LABELS


def test_an_insecure_srs_is_named(srs: SRS) -> None:
    for source in generate_sources(SMALL, srs).values():
        assert "INSECURE" in source
    assert "INSECURE" not in step_verifier(VerifyingKey.create(SMALL.programs["head"], srs), insecure=False)


def test_memory_regions_do_not_overlap(srs: SRS) -> None:
    for program in SMALL.programs.values():
        layout = StepLayout(VerifyingKey.create(program, srs))
        regions = layout.memory.regions
        for one, following in pairwise(regions):
            assert one.end == following.address
        assert len({region.name for region in regions}) == len(regions)


def test_an_odd_chunk_size_is_refused() -> None:
    """Before anything is generated: no verifying key is made; of one made by hand, no verifier (test_templates.py)."""
    with pytest.raises(ChunkSizeError, match="mu must be even"):
        generate_sources(SMALL, SRS.devnet(9))


def test_the_command_writes_the_files(tmp_path: Path, srs: SRS) -> None:
    shape, srs_file, out = tmp_path / "shape.json", tmp_path / "srs.npz", tmp_path / "out"
    shape.write_text(json.dumps(SMALL.to_json()))
    srs.save(srs_file)
    arguments = ["generate", "--config", str(shape), "--srs", str(srs_file), "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["srs_insecure"] is True
    assert facts["srs_digest"] == "0x" + srs.digest.hex()
    assert sorted(facts["files"]) == sorted(f"{CONTRACTS[kind]}.sol" for kind in (*SMALL.steps, "embedding"))
    sources = generate_sources(SMALL, srs)
    assert {path.name: path.read_text() for path in out.iterdir()} == sources


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], UsageError),
        (["--model", "tiny", "--config", "shape.json"], UsageError),
        (["--config", "missing.json"], NotFoundError),
        (["--config", "list.json"], BadInputError),
        (["--config", "short.json"], BadInputError),
        (["--config", "text.json"], BadInputError),
    ],
)
def test_the_command_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[]")
    Path("short.json").write_text('{"layers": 2}')
    Path("text.json").write_text("no json")
    result = CliRunner().invoke(app, ["generate", "--out", "out", *arguments])
    assert isinstance(result.exception, error)
    assert not Path("out").exists()
