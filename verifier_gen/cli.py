"""`gainsay verifier`: generate the Solidity verifiers of an architecture.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prover.architectures import ModelConfig
    from prover.curve.srs import SRS

app = typer.Typer(no_args_is_help=True, help="Generate the Solidity verifiers of an architecture.")

_MODELS = Path(".gainsay") / "models"
_FIRST_LINES = b"// SPDX-License-Identifier: Apache-2.0\npragma solidity "
INSECURE = "INSECURE devnet SRS: its secret is public, so these verifiers convince nobody outside a test"


@app.callback()
def root() -> None:
    """Generate the Solidity verifiers of an architecture."""


@app.command("generate")
def generate(
    out: Annotated[Path, typer.Option(help="Folder to write the Solidity files to.")],
    model: Annotated[
        str | None, typer.Option(help="Name or directory of a model; `tiny` is built in.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="JSON file with a model's shape (family and sizes), instead of a model."),
    ] = None,
    models: Annotated[
        Path, typer.Option("--models", envvar="GAINSAY_MODELS_DIR", help="Folder of models.")
    ] = _MODELS,
    srs: Annotated[
        Path | None,
        typer.Option(
            "--srs", envvar="GAINSAY_SRS", help="SRS file; without it the INSECURE devnet SRS is used."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Write one Solidity file per statement kind: MLP, attention, head and embedding.

    The files depend on the model's shape and the SRS only; weights arrive as step keys when a proof is verified.
    """
    from prover.errors import UsageError
    from prover.output_path import check_output, starts_with

    from .generator import SOLIDITY_VERSION, generate_sources

    if (model is None) == (config is None):
        raise UsageError("give either --model NAME or --config FILE, the shape to generate verifiers for")
    shape = _model_shape(model, models) if model is not None else _read_shape(config or Path())
    reference = _srs(srs)
    if reference.insecure:
        sys.stderr.write(f"gainsay: warning: {INSECURE}\n")
    sources = generate_sources(shape, reference)
    inputs = (config, srs, *(() if model is None else (Path(model), models / model)))
    for name in sources:
        check_output(out / name, inputs, what="a verifier of this command", own=starts_with(_FIRST_LINES))
    files = {name: _write(out / name, source) for name, source in sources.items()}
    facts = {
        "out": str(out),
        "srs_digest": "0x" + reference.digest.hex(),
        "srs_insecure": reference.insecure,
        "solidity": SOLIDITY_VERSION,
        "files": files,
    }
    lines = [f"{out / name}  SHA-256 {digest}" for name, digest in files.items()]
    typer.echo(json.dumps(facts, indent=2) if as_json else "\n".join(lines))


def _model_shape(name: str, models: Path) -> ModelConfig:
    from prover.model.library import load_model

    return load_model(name, models=models).config


def _read_shape(path: Path) -> ModelConfig:
    """A shape from JSON. Raises NotFoundError or BadInputError."""
    from prover.architectures import config_from_json
    from prover.errors import BadInputError, NotFoundError
    from prover.foreign_json import read_json_file

    try:
        facts = read_json_file(path)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no file {path}; give --config a JSON file with an architecture's fields"
        ) from error
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error
    if not isinstance(facts, dict):
        raise BadInputError(f"{path} must be one JSON object with an architecture's fields")
    try:
        return config_from_json(facts)
    except ValueError as error:
        raise BadInputError(f"{path} does not describe a shape: {error}") from error


def _srs(path: Path | None) -> SRS:
    from prover.curve.srs import DEVNET_BITS, SRS

    return SRS.devnet(DEVNET_BITS) if path is None else SRS.load(path)


def _write(path: Path, text: str) -> str:
    """Write atomically; returns the SHA-256 of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    return hashlib.sha256(text.encode()).hexdigest()
