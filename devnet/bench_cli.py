"""`gainsay bench`: the figures that docs/reference.md states, measured here and now.

Heavy packages are imported inside the commands, so that help stays instant.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, help="Measure proving, the model and serving on this machine.")

Model = Annotated[str, typer.Option(help="Name of an imported model; 'tiny' is built in.")]
Models = Annotated[Path, typer.Option(help="Where imported models are.")]
Commitments = Annotated[Path, typer.Option(help="Where commitments are cached.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Results = Annotated[Path, typer.Option(help="Where measured points are kept.")]
MemoryGb = Annotated[float, typer.Option(min=0.1, help="Largest memory of one process, in GB.")]

_MODELS = Path(".gainsay") / "models"
_COMMITMENTS = Path(".gainsay") / "commitments"
_RESULTS = Path(".gainsay") / "bench"


@app.command()
def proof(
    model: Model = "smollm2-135m",
    position: Annotated[
        list[int] | None, typer.Option(help="Token position to prove at; may be repeated (attention grows).")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(help="Only this step (a kind of the model's steps, embedding, head); repeatable."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Proofs per step after a warm-up; medians are shown.")] = 3,
    gas: Annotated[bool, typer.Option(help="Also verify on a local Anvil and read the gas.")] = True,
    private: Annotated[
        bool,
        typer.Option("--private", help="Also the private proof of each statement, and what it costs more."),
    ] = False,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    as_json: AsJson = False,
) -> None:
    """Prove each kind of step: seconds, peak memory, size, verification here and on chain."""
    from contextlib import ExitStack

    from prover.curve.srs import SRS
    from prover.model.library import load_model
    from prover.plan import PRIVATE, PUBLIC

    from .benchmarks.gas import gas_meter
    from .benchmarks.proof import StepTask, compared, measure_step, steps

    positions = position or [31]
    srs, loaded = SRS.devnet(18), load_model(model, models=models)
    most = loaded.config.max_positions
    if beyond := [place for place in positions if not 0 <= place < most]:
        raise typer.BadParameter(
            f"{beyond[0]} is not one of {model}'s positions, 0 to {most - 1}", param_hint="--position"
        )
    known = steps(loaded.config, positions)
    chosen = [(kind, place) for kind, place in known if not step or kind in step]
    if not chosen:
        kinds = ", ".join(dict.fromkeys(kind for kind, _ in known))
        raise typer.BadParameter(f"no such step; the steps of {model} are {kinds}")
    privacies = (PUBLIC, PRIVATE) if private else (PUBLIC,)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        meters = {
            p: stack.enter_context(gas_meter(loaded.config, srs, p)) if gas else None for p in privacies
        }
        for kind, place in chosen:
            pair: list[dict[str, Any]] = []
            for privacy in privacies:
                task = StepTask(model, models, commitments, kind, place, runs, privacy)
                result, meter = measure_step(task), meters[privacy]
                phases = result.figures.pop("phases")
                on_chain = {
                    "verify_gas": meter.verify(kind, result.key, result.inputs, result.proof)
                    if meter
                    else None,
                    "verifier_bytes": meter.code_bytes(kind) if meter else None,
                }
                pair.append({**result.figures, **on_chain, "phases": phases})
                if not as_json:
                    typer.echo(_line(pair[-1], "phases"))
                    if phases:
                        typer.echo(
                            "  " + "  ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items())
                        )
            rows += pair
            if len(pair) == 2:
                rows.append({"compared": PRIVATE, **compared(*pair)})
                if not as_json:
                    typer.echo("  private beside public: " + _line(rows[-1], "compared", "step", "position"))
    _finish(rows, as_json)


@app.command()
def model(
    name: Annotated[
        str, typer.Argument(help="Name of an imported model; 'tiny' is built in.")
    ] = "smollm2-135m",
    tokens: Annotated[int, typer.Option(min=2, help="Tokens to decode.")] = 32,
    commit: Annotated[bool, typer.Option(help="Also commit all weights afresh (minutes).")] = False,
    private: Annotated[
        bool,
        typer.Option("--private", help="Only what committing to the boundaries of a private answer costs."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="Compute the integers by torch on cpu, cuda or cuda:N (default: without torch)."),
    ] = None,
    models: Models = _MODELS,
    as_json: AsJson = False,
) -> None:
    """Decode with exact integers and with float32 torch, and check an answer; with --commit also the commitment's time."""
    if private:
        from prover.curve.srs import SRS
        from prover.model.devices import open_device
        from prover.model.execute import Executor
        from prover.model.library import load_model

        from .benchmarks.boundaries import measure_boundaries

        loaded = load_model(name, models=models)
        facts = {
            "model": loaded.name,
            **measure_boundaries(Executor(loaded, device=open_device(device)), SRS.devnet(18)),
        }
    else:
        from .benchmarks.model import measure_model

        facts = measure_model(name, models, tokens, commit, device)
    if not as_json:
        typer.echo(_line(facts))
    _finish(facts, as_json)


@app.command()
def serve(
    name: Annotated[
        str, typer.Argument(help="Name of an imported model; 'tiny' is built in.")
    ] = "smollm2-135m",
    concurrent: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Clients that ask at the same time; repeatable. Default 1, 8, 32."),
    ] = None,
    answers: Annotated[int, typer.Option(min=1, help="Answers per client, one after the other.")] = 3,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens per prompt.")] = 32,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens per answer, at most.")] = 32,
    models: Models = _MODELS,
    as_json: AsJson = False,
) -> None:
    """Tokens per second that a started provider gives many clients beside one, and what a signed receipt costs.

    Starts a provider without a chain in a process of its own and streams answers from it, 1, 8 and 32 clients at a time in one run.
    `times_one` is what all clients together get beside the first row; `times_one_by_cpu` counts processor seconds instead, which a
    busy machine changes less. Many clients get more because weights are read once for all of them; prompts are random, so that none is
    known beforehand.
    """
    from .benchmarks.load import measure_together
    from .benchmarks.serve import measure_serving

    facts = measure_serving(name, models, answers, tokens)
    if not as_json:
        typer.echo(_line(facts))
    rows = measure_together(name, models, concurrent or [1, 8, 32], prompt, tokens, answers)
    if not as_json:
        for row in rows:
            typer.echo(_line(row))
    _finish({"receipt": facts, "together": rows}, as_json)


@app.command()
def watch(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of imported models; default 'tiny', and smollm2-135m where it is imported."
        ),
    ] = None,
    answers: Annotated[int, typer.Option(min=2, help="Answers to generate and to judge.")] = 64,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens per prompt.")] = 32,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens per answer, at most.")] = 64,
    models: Models = _MODELS,
    commitments: Commitments = _COMMITMENTS,
    as_json: AsJson = False,
) -> None:
    """Whether a challenger keeps up: its verdicts per second beside the answers per second of a provider on the same machine.

    Generates answers 32 at a time, then judges all of them as a challenger at policy `all` does, in the same run. `verdicts_per_answer`
    above 1 means that it never falls behind a provider on equal hardware, whatever the load; `…_by_cpu` is the same in processor
    seconds, which a busy machine changes less. What the chain takes (posting, listing) is not part of it.
    """
    import logging

    import structlog

    from .benchmarks.watch import measure_watching

    # A line per verdict is for whoever watches, not for who reads figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    names = name or ["tiny", *(["smollm2-135m"] if (models / "smollm2-135m").is_dir() else [])]
    rows = []
    for each in names:
        rows.append(measure_watching(each, models, commitments, answers, prompt, tokens))
        if not as_json:
            typer.echo(_line(rows[-1]))
    _finish(rows, as_json)


@app.command()
def posting(
    size: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Responses in a batch; repeatable. Default 1, 16, 256, 4096."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Gas of a response that nobody disputes: its share of posting and finalising its batch, on a local Anvil."""
    from dataclasses import asdict

    from .benchmarks.posting import SIZES, measure_posting

    rows = []
    for cost in measure_posting(size or SIZES):
        rows.append({**asdict(cost), "gas_per_response": round(cost.gas_per_response, 1)})
        if not as_json:
            typer.echo(_line(rows[-1]))
    _finish(rows, as_json)


@app.command()
def tuning(
    name: Annotated[str, typer.Argument(help="Name of an imported model.")] = "smollm2-135m",
    runs: Annotated[int, typer.Option(min=1, help="Proofs per choice after a warm-up.")] = 3,
    models: Models = _MODELS,
    tiles: Annotated[
        bool, typer.Option("--tiles", help="The size of a tile instead, on a synthetic model; no name.")
    ] = False,
    commitments: Commitments = _COMMITMENTS,
    as_json: AsJson = False,
) -> None:
    """The MLP step under other chunk sizes and other batches of lookups, or a tile of it at other sizes: why all are what they are."""
    from .benchmarks.tile_sizes import measure_tile_sizes
    from .benchmarks.tuning import measure_tuning

    if tiles:
        rows = measure_tile_sizes(runs, _progress)
    else:
        rows = measure_tuning(name, models, commitments, runs, _progress)
    if not as_json:
        for row in rows:
            typer.echo(_line(row))
    _finish(rows, as_json)


@app.command()
def growth(
    axis: Annotated[
        list[str] | None,
        typer.Option(help="Only this axis (d, rows, position, layers, experts, all); repeatable."),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Tiny widths and few points, to see that it works.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Proofs per point after a warm-up; medians count.")] = 3,
    gas: Annotated[bool, typer.Option(help="Also verify on a local Anvil and read the gas.")] = True,
    docs: Annotated[
        Path | None, typer.Option(help="Write growth.md and plots here (plots need matplotlib).")
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw plots for the page.")] = True,
    memory_gb: MemoryGb = 20.0,
    seconds: Annotated[float, typer.Option(min=1, help="Longest run of one point.")] = 3600.0,
    results: Results = _RESULTS,
    as_json: AsJson = False,
) -> None:
    """How proving grows with width, rows, position, layers and experts, and the fitted exponents. Resumes where it stopped."""
    from .benchmarks.capped_process import default_limits
    from .benchmarks.growth import AXES, FULL, QUICK, Growth, points
    from .benchmarks.growth_report import FIGURES, fits, require_plotting, verdicts, write_report
    from .benchmarks.machine import describe_machine
    from .benchmarks.result_store import ResultStore, measuring_basis

    axes = list(AXES) if not axis or "all" in axis else axis
    if unknown := [name for name in axes if name not in AXES]:
        raise typer.BadParameter(f"there is no axis {unknown[0]!r}; they are {', '.join(AXES)} and all")
    if docs is not None and plots:
        require_plotting()  # before hours of measuring
    sweep = QUICK if quick else FULL
    basis = {**measuring_basis(), "runs": runs, "gas": gas}
    meter = Growth(
        ResultStore(results / "growth.json", basis),
        results / "growth",
        default_limits(memory_gb, seconds),
        runs=runs,
        gas=gas,
        report=_progress,
    )
    meter.measure(list(dict.fromkeys(point for name in axes for point in points(name, sweep))))
    rows = [row for name in axes for row in meter.rows(name, sweep)]
    if docs is not None:
        known = [row for name in AXES for row in meter.rows(name, sweep)]
        for path in write_report(known, sweep.width, describe_machine(), docs, plots=plots):
            _progress(f"wrote {path}")
    found = fits(rows)
    if not as_json:
        for row in rows:
            typer.echo(_line({name: value for name, value in row.items() if value is not None}, "phases"))
        for fit in found:
            typer.echo(_line({**fit, "figure": FIGURES[fit["figure"]]}))
        for sentence in verdicts(rows):
            typer.echo(sentence)
    _finish({"rows": rows, "exponents": found}, as_json)


@app.command()
def substitutions(
    name: Annotated[str, typer.Argument(help="Name of a model with a Fisher profile.")] = "smollm2-135m",
    source: Annotated[
        str | None, typer.Option(help="GGUF file or directory it came from; the fetched one by default.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens on which effects are measured.")] = 128,
    docs: Annotated[
        Path | None, typer.Option(help="Write fisher.md and its plot here (needs matplotlib).")
    ] = None,
    models: Models = _MODELS,
    as_json: AsJson = False,
) -> None:
    """What substituting a layer does to an answer, and how much of it audits find: uniform, by Fisher information, mixed."""
    from dataclasses import asdict

    from prover.model.fisher import FILE, FisherProfile
    from prover.model.library import float_model_of, load_model
    from prover.progress import reporting

    from .benchmarks.growth_report import require_plotting
    from .benchmarks.machine import describe_machine
    from .benchmarks.substitution_report import write_report
    from .benchmarks.substitutions import SUBSTITUTES, caught_effect, measure_effects

    if docs is not None:
        require_plotting()  # before minutes of measuring
    model = load_model(name, models=models)
    config = model.config
    profile = FisherProfile.load(models / name / FILE, digest=model.digest, steps=len(config.schedule))
    with reporting() as report:
        floats = float_model_of(model, name, source, models=models, progress=report)
        effects = measure_effects(floats, tokens, report)
    if docs is not None:
        for path in write_report(config, profile, effects, describe_machine(), docs):
            _progress(f"wrote {path}")
    rows = [row for substitute in SUBSTITUTES for row in caught_effect(config, profile, effects, substitute)]
    if not as_json:
        for row in rows:
            typer.echo(_line(row))
    _finish({"effects": [asdict(effect) for effect in effects], "caught": rows}, as_json)


@app.command()
def peers(
    d: Annotated[
        list[int] | None, typer.Option("--d", help="Width of the block; repeatable. Default 32, 64, 128.")
    ] = None,
    tokens: Annotated[
        list[int] | None, typer.Option(min=1, help="Tokens; repeatable. Default 4 and 16.")
    ] = None,
    skip_ezkl: Annotated[bool, typer.Option("--skip-ezkl", help="Measure only Gainsay.")] = False,
    decoding: Annotated[
        bool,
        typer.Option(
            "--decoding",
            help="Instead of proofs: one sequence decoded by Gainsay and by llama.cpp on the same GGUF.",
        ),
    ] = False,
    model: Model = "smollm2-135m",
    gguf: Annotated[
        Path | None,
        typer.Option(help="With --decoding: the file; the one that `model fetch` got by default."),
    ] = None,
    node_modules: Annotated[
        Path | None, typer.Option(help="With --decoding: where node-llama-cpp is; here by default.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="With --decoding: threads of both.")] = 2,
    models: Models = _MODELS,
    runs: Annotated[int, typer.Option(min=1, help="Our proofs per step after a warm-up; medians count.")] = 3,
    memory_gb: MemoryGb = 20.0,
    seconds: Annotated[float, typer.Option(min=1, help="Longest run of one stage.")] = 3600.0,
    results: Results = _RESULTS,
    as_json: AsJson = False,
) -> None:
    """The same transformer block proven by Gainsay and by EZKL, which must be installed apart. Resumes where it stopped.

    With --decoding instead: tokens per second of Gainsay and of llama.cpp, one sequence, both with the same threads in one run: decode,
    decode after 512 tokens, both also with guessed tokens fed ahead, prefill of 512. llama.cpp comes with
    `npm install --no-save node-llama-cpp`. Ratios are ours over llama.cpp's: 1 is as fast. What it multiplies has as few bits as the file,
    ours 16: say which file beside a ratio.
    """
    if decoding:
        _finish(_decoding(model, gguf, node_modules, threads, models, as_json), as_json)
        return
    from .benchmarks.capped_process import default_limits
    from .benchmarks.ezkl_stages import require_ezkl
    from .benchmarks.peers import (
        EZKL,
        FULL_TOKENS,
        FULL_WIDTHS,
        GAINSAY,
        Shape,
        markdown,
        measure_ezkl,
        measure_gainsay,
        table,
    )
    from .benchmarks.result_store import ResultStore, machine_basis, measuring_basis
    from .benchmarks.synthetic import synthetic_config

    shapes = [Shape(width, count) for width in d or FULL_WIDTHS for count in tokens or FULL_TOKENS]
    for shape in shapes:
        synthetic_config(shape.d)  # says what is wrong before anything is measured
    version = None if skip_ezkl else require_ezkl()
    limits = default_limits(memory_gb, seconds)
    path = results / "peers.json"
    ours = ResultStore(path, {**measuring_basis(), "runs": runs})
    theirs = ResultStore(results / "ezkl.json", {**machine_basis(), "ezkl": version})
    measured = {}
    for shape in shapes:
        _progress(f"{GAINSAY} {shape.name}")
        measured[GAINSAY, shape] = measure_gainsay(shape, ours, results, limits, runs)
        if version is not None:
            found = measure_ezkl(shape, theirs, results, limits, _progress)
            measured[EZKL, shape] = {**found, "version": version}
    rows = table(shapes, measured)
    if not as_json:
        typer.echo(markdown(rows))
    _progress(f"EZKL {version}" if version else "EZKL skipped")
    _finish(rows, as_json)


def _decoding(
    name: str, gguf: Path | None, node_modules: Path | None, threads: int, models: Path, as_json: bool
) -> dict[str, Any]:
    import numba

    from prover.model.fetch import SOURCES

    from .benchmarks.llama_cpp import INSTALL, find_modules, measure_llama_cpp
    from .errors import DevnetError

    modules = find_modules(node_modules)
    if modules is None:
        raise DevnetError(
            f"node-llama-cpp is not installed here; run `{INSTALL}`, or name its folder with --node-modules"
        )
    if threads > numba.config.NUMBA_NUM_THREADS:
        raise typer.BadParameter(
            f"--threads {threads} is more than the {numba.config.NUMBA_NUM_THREADS} that NUMBA_NUM_THREADS or the cores allow"
        )
    numba.set_num_threads(threads)
    if gguf is None and name not in SOURCES:
        raise typer.BadParameter(
            f"{name} does not come with `gainsay model fetch`; name its file with --gguf"
        )
    row = measure_llama_cpp(name, models, gguf or models / SOURCES[name].gguf, modules, threads)
    if not as_json:
        typer.echo(_line(row))
    return row


def _progress(text: str) -> None:
    typer.echo(text, err=True)


def _line(facts: dict[str, Any], *omitted: str) -> str:
    return "  ".join(f"{key}={value}" for key, value in facts.items() if key not in omitted)


def _finish(results: list[dict[str, Any]] | dict[str, Any], as_json: bool) -> None:
    """Results on standard output, the machine that they were measured on beside them on standard error."""
    from .benchmarks.machine import describe_machine

    if as_json:
        typer.echo(json.dumps(results, indent=2))
    typer.echo(_line(describe_machine()), err=as_json)
