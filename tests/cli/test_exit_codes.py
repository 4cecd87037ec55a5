"""Every typed error has a documented exit code, and every error that a user can meet is typed."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

import challenger
import contracts
import devnet
import economics
import node
import ops
import prover
import verifier_gen
from prover import errors
from prover.curve.srs import SRS
from prover.model.errors import SequenceTooLongError
from prover.model.library import built_in_config
from prover.program import OutOfRange
from prover.proof_file import ProofFile

from .test_command import run

# Code 1: nothing is wrong with the input, the chain or the machine.
ANYTHING_ELSE = {
    "GainsayError", "ModelError", "GenerationCancelledError", "QueueFullError", "KeyLimitError", "NotReadyError",
    "ProviderUnreachable", "UnconstrainedError", "ScenarioStuck", "ScenarioFailed", "AnswerMissing",
    "OverBudget", "LostTooManyGames", "AnswerGivenUpError", "PaymentRefusedError", "VoucherTooLowError", "AuditLostError", "Unwell", "Wrong", "Doubtful",
}  # fmt: skip
# Raised and caught inside one package, by a program of the developers', or by a caller's own mistake.
INTERNAL = {
    "DivisionByZeroError", "FieldShapeError", "ScalarCountError", "PointArrayShapeError", "MercuryRejected",
    "SumcheckError", "MasksHideNothingError", "TraceUnavailable", "AnalysisFailed", "ApiProblem",
    "EndpointFailed", "FetchFailed", "Stopped", "TraceNeeded",
}  # fmt: skip
# Developers' programs, which do things on import.
NOT_IMPORTED = ("analysis", "migrations", "__main__")


def our_exceptions() -> Iterator[type[BaseException]]:
    for package in (prover, contracts, verifier_gen, node, challenger, economics, devnet, ops):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not any(part in module.name for part in NOT_IMPORTED):
                found = importlib.import_module(module.name)
                for value in vars(found).values():
                    if (
                        isinstance(value, type)
                        and issubclass(value, Exception)
                        and value.__module__ == found.__name__
                        and not value.__name__.startswith("_")
                    ):
                        yield value


def test_every_error_is_typed_and_has_its_exit_code() -> None:
    found = {kind.__name__: kind for kind in our_exceptions()}
    assert len(found) > 80
    untyped = {name for name, kind in found.items() if not issubclass(kind, errors.GainsayError)}
    assert untyped <= INTERNAL, untyped - INTERNAL
    documented = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)
                  and issubclass(kind, errors.GainsayError)}  # fmt: skip
    assert documented == set(range(1, 9))
    for name, kind in found.items():
        if name not in untyped:
            assert kind.exit_code in documented, name  # type: ignore[attr-defined]
    without = {name for name, kind in found.items() if getattr(kind, "exit_code", None) == 1}
    assert without <= ANYTHING_ELSE, without - ANYTHING_ELSE


@pytest.mark.parametrize(
    "content",
    [
        b"no SRS",
        None,
        *(
            pytest.param(content, marks=pytest.mark.long)
            for content in (b"", b"PK\x03\x04" + bytes(60), b"\x93NUMPY\x01\x00")
        ),
    ],
)
def test_a_bad_reference_string_is_a_typed_error_everywhere(tmp_path: Path, content: bytes | None) -> None:
    proof = ProofFile(
        kind="mlp", architecture=built_in_config("tiny"), srs="00" * 32, publics={}, inputs=(), key=b"", proof=b"",
        model="tiny", about="nothing",
    )  # fmt: skip
    proof.save(tmp_path / "proof.json")
    path = tmp_path / "bad.srs"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    for arguments in (("srs", "show", "bad.srs"), ("verify", "proof.json", "--srs", "bad.srs")):
        answer = run(*arguments, cwd=tmp_path)
        assert answer.returncode == 4, answer.stderr
        assert "unexpected" not in answer.stderr and "bad.srs" in answer.stderr


def test_a_cut_or_missing_reference_string_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.srs"
    SRS.devnet(4).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(errors.BadInputError, match=r"cut\.srs"):
        SRS.load(path)
    missing = run(
        "verifier", "generate", "--model", "tiny", "--out", "x", "--srs", "absent.srs", cwd=tmp_path
    )
    assert missing.returncode == errors.NotFoundError.exit_code and "absent.srs" in missing.stderr


@pytest.mark.parametrize(
    "error",
    [
        SequenceTooLongError(300, 256),
        OutOfRange("gate", 7, 2**20, "[-2^17, 2^17)", layer=3),
        OutOfRange("gate", 7, 2**20, "[-2^17, 2^17)").without_value(),
    ],
)
def test_an_error_of_another_process_says_what_it_said_there(error: errors.GainsayError) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        raised = pool.submit(_raise, error).exception()
    assert type(raised) is type(error) and str(raised) == str(error)
    ours, there = vars(error), vars(raised)
    assert {name: there[name] for name in ours} == ours


def _raise(error: errors.GainsayError) -> None:
    raise error


@pytest.mark.parametrize("position", ["256", "-1"])
def test_a_benchmark_names_positions_that_the_model_has_not(tmp_path: Path, position: str) -> None:
    answer = run(
        "bench", "proof", "--model", "tiny", "--step", "mlp", "--position", position, "--no-gas", cwd=tmp_path
    )
    assert answer.returncode == errors.UsageError.exit_code
    assert f"{position} is not one of tiny's positions, 0 to 255" in " ".join(
        answer.stderr.replace("│", " ").split()
    )
