"""`gainsay prove`, `verify` and `kernels`: a step proof to a file, and back, without a chain.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .curve.srs import SRS
    from .model.weights import IntegerModel
    from .private_model import PrivateModel
    from .proof_file import ProofFile
    from .proof_subject import ProofSubject
    from .replay import Progress, Replay
    from .soundness import Soundness

INSECURE = "INSECURE devnet SRS: its secret is public, so proofs under it convince nobody outside a test"


SrsOption = Annotated[
    Path | None,
    typer.Option("--srs", envvar="GAINSAY_SRS", help="SRS file; without it the INSECURE devnet SRS is used."),
]
Models = Annotated[Path, typer.Option("--models", envvar="GAINSAY_MODELS_DIR", help="Folder of models.")]
_MODELS = Path(".gainsay") / "models"
Commitments = Annotated[
    Path, typer.Option("--commitments", envvar="GAINSAY_COMMITMENTS_DIR", help="Where commitments are kept.")
]
_COMMITMENTS = Path(".gainsay") / "commitments"
BlindingsOption = Annotated[
    Path | None,
    typer.Option(
        "--blindings",
        envvar="GAINSAY_BLINDINGS",
        help="Blindings file of a private model; beside the model by default.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--blindings-password-file",
        envvar="GAINSAY_BLINDINGS_PASSWORD_FILE",
        help="File with the password of the blindings; else GAINSAY_BLINDINGS_PASSWORD, or a question.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def prove(
    prompt: Annotated[str, typer.Option(help="The user's message; the model answers it first.")],
    step: Annotated[
        str,
        typer.Option(
            help="What to prove: a kind of the model's steps (such as attention or mlp), embedding or head."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Proof file to write.")],
    model: Annotated[str, typer.Option(help="Name or directory of a model; `tiny` is built in.")] = "tiny",
    layer: Annotated[int | None, typer.Option(help="Layer of a step.")] = None,
    tile: Annotated[
        int | None, typer.Option(help="Which of a layer's steps of this kind, where it has several.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Window of 32 positions, for a step.")] = None,
    position: Annotated[int | None, typer.Option(help="Token position, for embedding and head.")] = None,
    rival: Annotated[int | None, typer.Option(help="Rival token id, for head.")] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Length of the answer that is part of the sequence.")
    ] = 16,
    raw: Annotated[
        bool, typer.Option("--raw", help="Do not put the prompt into the model's chat template.")
    ] = False,
    private: Annotated[
        bool,
        typer.Option(
            "--private",
            help="Reveal nothing of weights and activations: for a model of `gainsay model commit --private`.",
        ),
    ] = False,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    blindings: BlindingsOption = None,
    password_file: PasswordFile = None,
    srs: SrsOption = None,
    as_json: Json = False,
) -> None:
    """Run a model on a prompt and prove one step of the run.

    The proof of a step covers one window of one layer (--layer, --window); an embedding proof the window that holds
    --position; a head proof shows that the model's next token after --position beats --rival. With --private the statement is
    about the hiding commitments of a model that was committed with --private, and about windows hidden for this run.
    """
    from .errors import UsageError
    from .output_path import check_output
    from .progress import reporting
    from .proof_file import is_proof_file

    _check_options(step, layer=layer, tile=tile, window=window, position=position, rival=rival)
    read = (Path(model), models / model, srs)
    check_output(out, read, what="a proof file", own=is_proof_file)
    loaded, reference = _load(model, models, srs)
    index = _step_number(loaded, step, layer, tile)
    if private:
        from .private_model import ask_password, commit_private

        own = commit_private(
            loaded, reference, ask_password(password_file),
            models=models, commitments=commitments, file=blindings, create=False,
        )  # fmt: skip
    elif blindings is not None:
        raise UsageError("--blindings has no meaning without --private; leave it out")
    with reporting() as report:
        committed = own if private else None
        replay = _replay(
            loaded, reference, prompt, raw, max_tokens, step, position, report, commitments, committed
        )
        started = time.perf_counter()
        proof = _prove(replay, loaded, step, index, window, position, rival)
        elapsed = time.perf_counter() - started
    proof.save(out)
    facts = {
        "file": str(out),
        "kind": proof.kind,
        "privacy": proof.privacy,
        "model": proof.model,
        "about": proof.about,
        "proof_bytes": len(proof.proof),
        "prove_s": round(elapsed, 3),
        "srs_insecure": reference.insecure,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"proved {proof.about} in {elapsed:.1f} s: {len(proof.proof)} bytes, written to {out}")
    if reference.insecure:
        typer.echo(INSECURE)


def kernels(as_json: Json = False) -> None:
    """Compile the prover's kernels now: a minute on a new machine, seconds where they are kept already.

    Without it the first proof on a machine takes that minute more.
    """
    from .kernels import all_kernels, compile_kernels
    from .progress import reporting

    with reporting() as report:
        compiled = compile_kernels(report)
    total = len(all_kernels())
    if as_json:
        typer.echo(json.dumps({"kernels": total, "compiled": compiled}))
    else:
        typer.echo(f"{total} kernels, {compiled} of them compiled now")


def verify(
    file: Annotated[Path, typer.Argument(help="Proof file.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Also check that step key and token rows are those of this model: a name, or the file that a private model's"
            " provider publishes."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also print how likely a false statement is to pass, by cause.")
    ] = False,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    srs: SrsOption = None,
    as_json: Json = False,
) -> None:
    """Check a proof file. Exit code 0: the statement is proven; 6: rejected; 4: not a proof file.

    What it says after "valid" follows from the statement, which speaks of commitments; with --model they are looked
    up among the model's own, which tells layer and tokens. The file's own label is shown apart and not checked.
    """
    from .proof_file import ProofFile
    from .proof_subject import label_of

    proof = ProofFile.load(file)
    reference = _kept_srs(srs, commitments)
    started = time.perf_counter()
    proof.verify(reference)
    elapsed = time.perf_counter() - started
    subject = _subject(proof, model, models, commitments, reference)
    label = label_of(proof)
    facts = {
        "valid": True,
        "file": str(file),
        "kind": proof.kind,
        "privacy": proof.privacy,
        "proves": subject.sentence,
        **subject.facts,
        "publics": dict(proof.publics),
        "model_checked": model,
        "unchecked_label": label,
        "verify_s": round(elapsed, 4),
        "proof_bytes": len(proof.proof),
        "srs_insecure": reference.insecure,
    }
    soundness = _soundness(proof, reference) if explain else None
    if as_json:
        typer.echo(json.dumps(facts | ({"soundness": soundness.facts()} if soundness else {})))
        return
    typer.echo(
        f"valid: {subject.sentence} ({len(proof.proof)} bytes, checked in {elapsed * 1000:.0f} ms with set-up)"
    )
    typer.echo(f"label, not checked: {label['about']!r} (model {label['model']!r})")
    if soundness:
        typer.echo("\n".join(soundness.lines()))
    if reference.insecure:
        typer.echo(INSECURE)


# --- behind the commands ----------------------------------------------------------------------------------


def _check_options(step: str, **given: int | None) -> None:
    from .errors import UsageError

    needed = {"embedding": ("position",), "head": ("position", "rival")}.get(step, ("layer", "window"))
    optional = () if step in ("embedding", "head") else ("tile",)
    for name, value in given.items():
        if name in needed and value is None:
            raise UsageError(f"--step {step} needs --{name}")
        if name not in (*needed, *optional) and value is not None:
            raise UsageError(f"--{name} has no meaning with --step {step}; leave it out")
        if value is not None and value < 0:
            raise UsageError(f"--{name} must not be negative")


def _step_number(model: IntegerModel, kind: str, layer: int | None, tile: int | None) -> int | None:
    """The number of a step; None for embedding and head. Raises UsageError for a kind, BadInputError for a layer or tile
    that the model does not have."""
    from .errors import BadInputError, UsageError

    config = model.config
    if kind in ("embedding", "head"):
        return None
    if kind not in config.kinds:
        known = ", ".join((*config.kinds, "embedding", "head"))
        raise UsageError(f"--step {kind} is no step of {model.name}; name one of {known}")
    found = [(n, step) for n, step in enumerate(config.schedule) if step.kind == kind and step.layer == layer]
    if not found:
        which = "0" if config.steps[kind].once else f"0..{config.layers - 1}"
        raise BadInputError(f"--layer {layer} does not exist; {model.name} has {kind} in layers {which}")
    if (tile or 0) >= len(found):
        raise BadInputError(
            f"--tile {tile} does not exist; a layer of {model.name} has tiles 0..{len(found) - 1} of {kind}"
        )
    return found[tile or 0][0]


def _soundness(proof: ProofFile, srs: SRS) -> Soundness:
    """The error terms of the statement in a verified proof file."""
    from .program import WINDOW_BITS
    from .proof_system import ProofSystem
    from .soundness import embedding_soundness, step_soundness

    system = ProofSystem.shared(proof.architecture, srs, proof.privacy)
    if proof.kind == "embedding":
        return embedding_soundness(system.embedding_key.channel_bits, proof.privacy)
    plan = system.verifying_key(proof.kind).plan
    windows = int(proof.publics["window"]).bit_length() if plan.program.has_context else 0
    return step_soundness(plan, WINDOW_BITS + windows, srs.mu)


def _srs(path: Path | None) -> SRS:
    from .curve.srs import DEVNET_BITS, SRS

    return SRS.devnet(DEVNET_BITS) if path is None else SRS.load(path)


def _kept_srs(path: Path | None, folder: Path) -> SRS:
    """For a verifier, which needs no powers once the tables of its program are committed."""
    from .kept_reference import KeptReference

    return KeptReference.on_devnet(folder) if path is None else KeptReference.of(_srs(path), folder)


def _load(model: str, models: Path, srs: Path | None) -> tuple[IntegerModel, SRS]:
    from .model.library import load_model

    return load_model(model, models=models), _srs(srs)


def _replay(
    model: IntegerModel,
    srs: SRS,
    prompt: str,
    raw: bool,
    max_tokens: int,
    step: str,
    position: int | None,
    report: Progress,
    commitments: Path,
    private: PrivateModel | None,
) -> Replay:
    """Prompt and answer; for a head proof the sequence ends right after the position."""
    from .errors import BadInputError
    from .model.execute import Executor
    from .model_blindings import ResponseBlindings
    from .model_commitment import commit_model
    from .replay import Replay

    tokenizer = model.tokenizer
    ids = tokenizer.encode(prompt) if raw else tokenizer.encode_chat([{"role": "user", "content": prompt}])
    if not ids:
        raise BadInputError("the prompt is empty; give --prompt at least one character")
    executor = Executor(model)
    answer = executor.generate(ids, max_tokens).ids
    if step == "head":
        assert position is not None
        sequence = [*ids, *answer]
        if position >= len(sequence):
            raise BadInputError(
                f"--position {position} is beyond the sequence of {len(sequence)} tokens; see --max-tokens"
            )
        ids = sequence[: position + 1]
        answer = executor.generate(ids, 1).ids
    if private is not None:
        hidden = ResponseBlindings.draw(private.blindings)
        return Replay(model, private.commitment, srs, ids, answer, report, blindings=hidden)
    return Replay(model, commit_model(model, srs, report, commitments), srs, ids, answer, report)


def _prove(
    replay: Replay,
    model: IntegerModel,
    step: str,
    index: int | None,
    window: int | None,
    position: int | None,
    rival: int | None,
) -> ProofFile:
    from .errors import BadInputError
    from .program import WINDOW_ROWS
    from .proof_file import ProofFile

    facts: dict[str, Any] = {
        "architecture": model.config,
        "srs": replay.srs.digest.hex(),
        "model": model.name,
        "privacy": replay.system.privacy,
    }
    if index is not None:
        assert window is not None
        about = f"{model.config.schedule[index]}, window {window}, of {model.name}"
        statement, proof = replay.step_statement(index, window), replay.prove_step(index, window)
    elif step == "head":
        assert position is not None and rival is not None
        about = f"next token {replay.output_ids[0]} beats {rival} after position {position} of {model.name}"
        statement, proof = replay.head_statement(position, rival), replay.prove_head(position, rival)
    else:
        assert position is not None
        if position >= replay.positions:
            raise BadInputError(
                f"--position {position} is not fed to the model; positions are 0..{replay.positions - 1}"
            )
        rows, boundary = replay.embedding_inputs(position // WINDOW_ROWS)
        about = f"embedding of window {position // WINDOW_ROWS} (position {position}) of {model.name}"
        proof = replay.prove_embedding(position // WINDOW_ROWS)
        return ProofFile(
            kind="embedding", publics={}, inputs=(*rows, boundary), key=b"", proof=proof, about=about, **facts
        )
    return ProofFile(
        kind=step,
        publics=dict(statement.publics),
        inputs=statement.inputs,
        key=statement.key.encode(),
        proof=proof,
        about=about,
        **facts,
    )


def _subject(proof: ProofFile, model: str | None, models: Path, commitments: Path, srs: SRS) -> ProofSubject:
    """What a verified proof is about. Raises ProofRejectedError when it is not about `model`."""
    from .proof_subject import subject_in_model, subject_of

    if model is None:
        return subject_of(proof)
    from .commitment_file import is_published, load_published
    from .errors import BadInputError
    from .plan import PUBLIC

    if is_published(Path(model)):
        published = load_published(Path(model), srs)
        return subject_in_model(proof, published.name, published.commitment, proof.architecture_digest(srs))
    if proof.privacy != PUBLIC:
        raise BadInputError(
            "a private proof is looked up in the public part of a private model: name the .commitment file that its"
            " provider publishes with --model"
        )
    from .model.library import load_model
    from .model_commitment import commit_model

    loaded = load_model(model, models=models)
    commitment = commit_model(loaded, srs, cache_dir=commitments)
    return subject_in_model(proof, loaded.name, commitment, proof.architecture_digest(srs))
