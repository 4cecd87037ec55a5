"""`gainsay srs`: the reference string of a public ceremony, imported and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Import a powers-of-tau ceremony (.ptau) as the reference string that proofs and verifiers use.",
)

DEFAULT_MU = 18

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("import")
def import_(
    ceremony: Annotated[Path, typer.Argument(help="A .ptau file as snarkjs writes it, for bn128.")],
    output: Annotated[Path, typer.Argument(help="Where the reference string goes; pass it on with --srs.")],
    mu: Annotated[int, typer.Option(min=2, max=28, help="Keep the first 2^mu powers.")] = DEFAULT_MU,
    as_json: AsJson = False,
) -> None:
    """Read a ceremony, check that its points are the powers of one tau by pairings, and save what is needed.

    mu is even: an opening reads the coefficients as a square. 2^18 powers are 16 MB and prove models of any size.
    """
    from ..errors import BadInputError
    from ..output_path import check_output
    from .g1 import PointError
    from .ptau import import_ptau
    from .srs import SRS, SrsError, check_square

    check_square(mu)
    if not ceremony.is_file():
        raise BadInputError(f"{ceremony} is not a file; give the .ptau file of a ceremony")
    check_output(output, [ceremony], what="a reference string", own=SRS.is_file_of_this_kind)
    typer.echo(f"reading and checking 2^{mu} powers of {ceremony.name} ...", err=True)
    try:
        srs = import_ptau(ceremony, mu)
    except (SrsError, PointError) as error:
        raise BadInputError(f"{ceremony}: {error}") from error
    srs.save(output)
    _show(srs, output, as_json)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A reference string that `gainsay srs import` saved.")],
    as_json: AsJson = False,
) -> None:
    """Check a saved reference string and print its digest, which verifiers and model ids contain."""
    from ..errors import BadInputError
    from .srs import SRS, SrsError

    if not file.is_file():
        raise BadInputError(f"{file} is not a file; make it with `gainsay srs import`")
    try:
        srs = SRS.load(file)
    except SrsError as error:
        raise BadInputError(str(error)) from error
    _show(srs, file, as_json)


def _show(srs: object, file: Path, as_json: bool) -> None:
    from .srs import SRS

    assert isinstance(srs, SRS)
    facts = {
        "file": str(file),
        "mu": srs.mu,
        "digest": srs.digest.hex(),
        "description": srs.description,
        "insecure": srs.insecure,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"{file}: 2^{srs.mu} powers, digest {srs.digest.hex()}")
    typer.echo(srs.description + (" -- INSECURE: its tau is public" if srs.insecure else ""))
