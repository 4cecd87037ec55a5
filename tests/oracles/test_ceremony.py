"""A reference string made by snarkjs carries whole proofs; one that was tampered with is refused.

Small statements use a ceremony of 2^10 powers. The tiny model needs its tables in one chunk, hence 2^18 powers, for
which snarkjs computes for minutes: long.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.bindings.compiler import compile_sources
from prover.curve import g1
from prover.curve.pairing import pairing_check
from prover.curve.point_arrays import to_points
from prover.curve.ptau import import_ptau
from prover.curve.srs import SRS
from prover.embedding import verify_embedding
from prover.errors import ProofRejectedError
from prover.model.library import load_model
from prover.model.weights import IntegerModel
from prover.model_commitment import ModelCommitment, commit_model
from prover.proof_system import ProofSystem
from prover.replay import Replay
from prover.statement import Statement, VerifyingKey
from prover.verify import verify
from tests.oracles.ceremony import TAU_G1, TAU_G2, SnarkjsError, hold_ceremony, section, snarkjs
from tests.oracles.hash_trace import TracingEvm, hashed_by_transcripts
from tests.verifier_gen.evm import ACCEPTED
from tests.verifier_gen.statements import prove_random, prove_random_embedding
from verifier_gen import CONTRACTS, generate_sources
from verifier_gen.generator import embedding_verifier, step_verifier

SMALL_POWER, TINY_POWER = 10, 18


@pytest.fixture(scope="module")
def small_ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hold_ceremony(tmp_path_factory.mktemp("ceremony"), SMALL_POWER, contributors=2)


@pytest.fixture(scope="module")
def small_srs(small_ceremony: Path) -> SRS:
    return import_ptau(small_ceremony, SMALL_POWER)


def test_both_tools_find_the_ceremony_sound(small_ceremony: Path, small_srs: SRS) -> None:
    assert "Powers of Tau Ok!" in snarkjs("powersoftau", "verify", small_ceremony)
    assert not small_srs.insecure
    assert (small_srs.mu, len(small_srs.g1)) == (SMALL_POWER, 1 << SMALL_POWER)
    powers = to_points(small_srs.g1)
    at = random.randrange(1, len(powers))
    assert pairing_check([(powers[at], small_srs.g2_one), (g1.negate(powers[at - 1]), small_srs.g2_tau)])


def test_a_saved_ceremony_is_the_ceremony(small_srs: SRS, tmp_path: Path) -> None:
    small_srs.save(tmp_path / "ceremony.srs")
    loaded = SRS.load(tmp_path / "ceremony.srs")
    assert (loaded.digest, loaded.insecure) == (small_srs.digest, False)
    assert loaded.digest != SRS.devnet(SMALL_POWER).digest


def _other_point(data: bytearray, other: bytes) -> None:
    """[tau^5]_1 is another point of the curve."""
    start, _ = section(data, TAU_G1)
    data[start + 5 * 64 : start + 6 * 64] = data[start + 6 * 64 : start + 7 * 64]


def _flipped_bit(data: bytearray, other: bytes) -> None:
    start, _ = section(data, TAU_G1)
    data[start + 7 * 64 + 3] ^= 1


def _other_tau_in_g2(data: bytearray, other: bytes) -> None:
    start, _ = section(data, TAU_G2)
    data[start + 128 : start + 256] = other[start + 128 : start + 256]


def _other_tau_in_g1(data: bytearray, other: bytes) -> None:
    start, size = section(data, TAU_G1)
    data[start : start + size] = other[start : start + size]


def _last_power(data: bytearray, other: bytes) -> None:
    """The last power that is imported comes from another ceremony."""
    start, _ = section(data, TAU_G1)
    at = start + ((1 << SMALL_POWER) - 1) * 64
    data[at : at + 64] = other[at : at + 64]


def _cut_short(data: bytearray, other: bytes) -> None:
    del data[-(1 << 15) :]


@pytest.mark.parametrize(
    "tamper", [_other_point, _flipped_bit, _other_tau_in_g2, _other_tau_in_g1, _last_power, _cut_short]
)
def test_a_tampered_ceremony_is_refused_by_both_tools(
    small_ceremony: Path, tmp_path: Path, tamper: Callable[[bytearray, bytes], None]
) -> None:
    before = small_ceremony.with_name(f"power_{SMALL_POWER}_1.ptau").read_bytes()
    data = bytearray(small_ceremony.read_bytes())
    tamper(data, before)
    forged = tmp_path / "forged.ptau"
    forged.write_bytes(data)
    with pytest.raises(ValueError):
        import_ptau(forged, SMALL_POWER)
    with pytest.raises(SnarkjsError):
        snarkjs("powersoftau", "verify", forged)


def test_a_ceremony_without_contribution_is_refused(small_ceremony: Path) -> None:
    """Its tau is 1."""
    with pytest.raises(ValueError, match="0 or 1"):
        import_ptau(small_ceremony.with_name(f"power_{SMALL_POWER}_0.ptau"), SMALL_POWER)


@pytest.mark.parametrize("kind", ["head", "embedding"])
def test_small_statements_are_proven_under_the_ceremony(small_srs: SRS, evm: TracingEvm, kind: str) -> None:
    """Natively and on chain; the same statement under the devnet string has another proof, refused here."""
    make = prove_random_embedding if kind == "embedding" else lambda srs: prove_random(kind, srs)
    proven, foreign = make(small_srs), make(SRS.devnet(SMALL_POWER))
    emit = embedding_verifier if kind == "embedding" else step_verifier
    source = emit(proven.verifying_key, insecure=small_srs.insecure)  # type: ignore[arg-type]
    assert "INSECURE" not in source
    artifact = compile_sources({"Verifier.sol": source})[CONTRACTS[kind]]
    verifier = evm.deploy(artifact.creation_code)
    for statement, valid in ((proven, True), (foreign, False)):
        calldata = (statement.key, statement.inputs, statement.proof)
        assert proven.python_accepts(*calldata) is valid
        assert (verifier.verdict(*calldata) == ACCEPTED) is valid


# --- the tiny model ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A statement of the tiny model with its proof, as calldata and as the reference verifier takes it."""

    kind: str
    key: bytes
    inputs: list[int]
    proof: bytes
    verify: Callable[[bytes], None]


def _step_claim(key: VerifyingKey, kind: str, statement: Statement, proof: bytes) -> Claim:
    words = [statement.publics[name] for name in key.plan.program.public_scalars]
    words += [coordinate for point in statement.inputs for coordinate in point]
    return Claim(kind, statement.key.encode(), words, proof, lambda sent: verify(key, statement, sent))


def _claims(replay: Replay, system: ProofSystem) -> list[Claim]:
    """Attention at the first and the last window, MLP, head and embedding."""
    claims = [
        _step_claim(
            system.verifying_key(kind),
            kind,
            replay.step_statement(step, window),
            replay.prove_step(step, window),
        )
        for kind, step, window in (("attention", 0, 0), ("attention", 2, 1), ("mlp", 1, 0), ("mlp", 3, 1))
    ]
    position = replay.positions - 1
    rival = (replay.sequence[-1] + 1) % replay.model.config.vocabulary
    head = replay.head_statement(position, rival)
    claims.append(_step_claim(system.verifying_key("head"), "head", head, replay.prove_head(position, rival)))
    rows, window = replay.embedding_inputs(0)
    words = [coordinate for point in (*rows, window) for coordinate in point]
    key = system.embedding_key
    claims.append(
        Claim(
            "embedding",
            b"",
            words,
            replay.prove_embedding(0),
            lambda sent: verify_embedding(key, rows, window, sent),
        )
    )
    return claims


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_tiny_model_is_committed_proven_and_verified_under_a_ceremony(
    tmp_path: Path, evm: TracingEvm
) -> None:
    """Every statement kind, natively and by the generated contracts, which hash what the reference hashes."""
    srs = import_ptau(hold_ceremony(tmp_path, TINY_POWER), TINY_POWER)
    model = load_model("tiny")
    commitment = commit_model(model, srs, cache_dir=None)
    assert commitment.srs_digest == srs.digest != SRS.devnet(TINY_POWER).digest
    prompt = model.tokenizer.encode("What a public ceremony makes, nobody alone can forge.")
    replay = Replay(model, commitment, srs, prompt, [_next_token(model, commitment, srs, prompt)])
    assert replay.windows == 2 and replay.first_wrong_output() is None

    sources = generate_sources(model.config, srs)
    assert not any("INSECURE" in source for source in sources.values())
    artifacts = compile_sources(sources)
    for claim in _claims(replay, ProofSystem.shared(model.config, srs)):
        with hashed_by_transcripts() as hashed:
            claim.verify(claim.proof)
        verifier = evm.deploy(artifacts[CONTRACTS[claim.kind]].creation_code)
        assert verifier.verdict(claim.key, claim.inputs, claim.proof) == ACCEPTED
        on_chain = evm.hashed(verifier, claim.key, claim.inputs, claim.proof)
        assert on_chain == [*([] if claim.kind == "embedding" else [claim.key]), *hashed[1:]]
        changed = bytearray(claim.proof)
        changed[-1] ^= 1
        with pytest.raises(ProofRejectedError):
            claim.verify(bytes(changed))
        assert verifier.verdict(claim.key, claim.inputs, bytes(changed)) != ACCEPTED


def _next_token(model: IntegerModel, commitment: ModelCommitment, srs: SRS, prompt: list[int]) -> int:
    """The model's own answer to the prompt."""
    return Replay(model, commitment, srs, prompt, [0]).argmax(len(prompt) - 1)
