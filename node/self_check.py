"""Before a node promises anything: its own proofs pass the verifiers on chain.

A release that proves another statement than the deployed verifiers check, a damaged cache of kernels or a wrong reference
string loses every game, and would show in the first one. So at start a short answer is run, one step of every kind,
one window of the embedding and one pair of the head (of a private model one tile) are proven, and each proof is put to its verifier by `eth_call`:
it must be accepted, and the same proof with one bit changed must not be. Seconds to a minute, once per model,
verifiers' code, release and machine: what passed is kept beside the traces.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

import prover
from contracts.bindings.deployment import ProtocolContracts
from contracts.bindings.layer_verifier import LayerVerifier
from contracts.protocol.model import EMBEDDING, HEAD, HEAD_TILE, audit_stride_of, head_kind
from prover.architectures.audit_steps import statement_programs
from prover.foreign_json import ForeignJsonError, read_json_file
from prover.program import OutOfRange
from prover.replay import Replay

from .errors import ReleaseMismatchError

if TYPE_CHECKING:
    from .serving import CommittedServing

log = structlog.get_logger("node.self_check")
Progress = Callable[[str, int, int], None]
_TOKENS = 34  # a whole window and a part of one


@dataclass(frozen=True)
class Checked:
    """What passed: names of kinds, `embedding` and `head` or `head_tile`. `seconds` is 0 where all of it was known from before."""

    kinds: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class _Proof:
    kind: str
    key: bytes
    inputs: list[int]
    proof: bytes


def check_release(
    contracts: ProtocolContracts,
    serving: CommittedServing,
    folder: Path,
    progress: Progress = lambda stage, done, total: None,
) -> Checked:
    """Prove and ask, unless it was done before. Raises `ReleaseMismatchError` and what the bindings raise.

    `folder`: where it is kept what passed.
    """
    started = time.monotonic()
    verifiers = _verifiers(contracts, serving)
    identity = _identity(contracts, serving, verifiers)
    file = folder / "self-check.json"
    if _passed_before(file, identity):
        return Checked(tuple(verifiers), 0.0)
    replay = _provable(serving)
    if replay is None:
        log.warning(
            "no self check: none of its answers stays within the range in which the model is provable"
        )
        return Checked((), time.monotonic() - started)
    for number, proven in enumerate(_proofs(serving, replay)):
        progress("check proofs against the deployed verifiers", number, len(verifiers))
        _require_accepted(contracts, verifiers[proven.kind], proven, serving)
    _remember(file, identity)
    return Checked(tuple(verifiers), time.monotonic() - started)


def _require_accepted(
    contracts: ProtocolContracts, address: str, proven: _Proof, serving: CommittedServing
) -> None:
    verifier = LayerVerifier(contracts.chain, address)
    where = f"the verifier of {proven.kind} at {address}, registered for model 0x{serving.model_id.hex()}"
    if not verifier.accepts(proven.key, proven.inputs, proven.proof):
        raise ReleaseMismatchError(
            f"{where}, does not accept this release's true proof, so answers could not be defended: use the release and the "
            "reference string that the model was registered with, compile the kernels anew (`gainsay kernels`), or register "
            "the model with this release"
        )
    changed = bytes([*proven.proof[:-1], proven.proof[-1] ^ 1])
    if verifier.accepts(proven.key, proven.inputs, changed):
        raise ReleaseMismatchError(
            f"{where}, accepts a false proof: anybody can win games about this model; register it with this release"
        )


def _verifiers(contracts: ProtocolContracts, serving: CommittedServing) -> dict[str, str]:
    registry, identity = contracts.registry, serving.model_id
    kinds = enumerate(serving.commitment.kind_names)
    found = {name: registry.step_rules(identity, number).verifier for number, name in kinds}
    found[EMBEDDING] = registry.embedding_verifier(identity)
    found[head_kind(audit_stride_of(serving.commitment.privacy))] = registry.head_verifier(identity)
    return found


def _provable(serving: CommittedServing) -> Replay | None:
    """An answer of one token that is provable as a whole."""
    vocabulary = serving.model.config.vocabulary
    for prompt in ([number % vocabulary for number in range(_TOKENS)], [1] * _TOKENS):
        try:
            first = serving.replay(prompt, [0])
            token = first.argmax(_TOKENS - 1)
            if token is not None and first.first_unprovable() is None:
                return serving.replay(prompt, [token])
        except OutOfRange:
            continue
    return None


def _proofs(serving: CommittedServing, replay: Replay) -> Iterator[_Proof]:
    """One of everything that the game can ask for, made as the defender makes it."""
    config, commitment, last = serving.model.config, serving.commitment, replay.windows - 1
    for kind in config.kinds:
        step = config.number_of(kind)
        statement = replay.step_statement(step, last)
        scalars = config.programs[kind].public_scalars
        inputs = [statement.publics[name] for name in scalars] + _words(statement.inputs)
        yield _Proof(kind, commitment.step_keys[step], inputs, replay.prove_step(step, last))
    rows, window = replay.embedding_inputs(last)
    yield _Proof(EMBEDDING, b"", _words([*rows, window]), replay.prove_embedding(last))
    if commitment.head_tiles:
        statement = replay.head_tile_statement(last, 0)
        program = statement_programs(config)[HEAD_TILE]
        inputs = [statement.publics[name] for name in program.public_scalars] + _words(statement.inputs)
        yield _Proof(HEAD_TILE, commitment.tile_keys[0], inputs, replay.prove_head_tile(last, 0))
        return
    position = replay.positions - 1
    rival = (replay.output_ids[0] + 1) % config.vocabulary
    statement = replay.head_statement(position, rival)
    scalars = config.programs[HEAD].public_scalars
    inputs = [*(statement.publics[name] for name in scalars), *_words(statement.inputs)]
    yield _Proof(HEAD, b"", inputs, replay.prove_head(position, rival))


def _words(points: object) -> list[int]:
    return [int(coordinate) for point in points for coordinate in point]  # type: ignore[attr-defined]


def _identity(contracts: ProtocolContracts, serving: CommittedServing, verifiers: dict[str, str]) -> str:
    """The model, the code of its verifiers on chain, this release's prover, and what runs it."""
    found = hashlib.sha256(serving.model_id + serving.commitment.srs_digest)
    for name, address in verifiers.items():
        found.update(name.encode() + contracts.chain.code_hash(address))
    for path in sorted(Path(prover.__path__[0]).rglob("*.py")):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    machine = (platform.machine(), platform.processor(), platform.python_version())
    found.update(repr((machine, version("numba"), version("numpy"))).encode())
    return found.hexdigest()


def _passed_before(file: Path, identity: str) -> bool:
    try:
        stored = read_json_file(file)
    except (OSError, ForeignJsonError):
        return False
    return isinstance(stored, dict) and stored.get("passed") == identity


def _remember(file: Path, identity: str) -> None:
    """What cannot be kept is checked again at the next start."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"passed": identity}), encoding="utf-8")
    except OSError as error:
        log.warning("the self check is not kept", file=str(file), because=str(error))
