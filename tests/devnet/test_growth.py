"""`gainsay bench growth`: points are measured once, sums and exponents are right, the page shows what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devnet.bench_cli import app
from devnet.benchmarks import growth
from devnet.benchmarks.capped_process import DidNotFit, Limits
from devnet.benchmarks.growth import FULL, QUICK, Commitment, Growth, Step, Sweep, points
from devnet.benchmarks.growth_report import exponent, fits, markdown, verdicts, write_report
from devnet.benchmarks.result_store import ResultStore, sources_digest
from devnet.benchmarks.synthetic import synthetic_config

LIMITS = Limits(memory_mb=8000, seconds=600)
ONE = Sweep(widths=(32,), width=32, rows=(32,), windows=(0,), layers=(1,))


def step_result(seconds: float, gas: int | None = 500_000) -> dict[str, Any]:
    return {
        "prove_s": seconds,
        "peak_rss_mb": 900,
        "proof_bytes": 6000,
        "verify_s": 0.01,
        "verify_gas": gas,
    }


@pytest.mark.long
def test_a_real_point_is_proven_verified_on_chain_and_never_measured_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path / "growth.json", {"sources": sources_digest()})
    meter = Growth(store, tmp_path / "commitments", LIMITS, runs=1, gas=True)
    wanted = [Commitment(32), Step(32, "mlp")]
    meter.measure(wanted)
    commitment, step = meter.rows("layers", ONE)[0], meter.rows("position", ONE)[0]
    assert commitment["step_keys"] == 3 and commitment["setup_s"] > 0
    assert step["verify_gas"] > 200_000 and step["proof_bytes"] > 4000 and step["verifier_bytes"] < 24_576
    assert step["peak_rss_mb"] > 100 and sum(step["phases"].values()) == pytest.approx(
        step["prove_s"], abs=0.01
    )

    def refuse(*_: object) -> None:
        raise AssertionError("a known point is measured again")

    monkeypatch.setattr(growth, "call_in_process", refuse)
    again = Growth(
        ResultStore(tmp_path / "growth.json", {"sources": sources_digest()}),
        tmp_path,
        LIMITS,
        runs=1,
        gas=True,
    )
    again.measure(wanted)
    assert again.rows("position", ONE) == [step]
    changed = Growth(
        ResultStore(tmp_path / "growth.json", {"sources": ""}), tmp_path, LIMITS, runs=1, gas=False
    )
    with pytest.raises(AssertionError, match="measured again"):
        changed.measure(wanted)


def test_what_does_not_fit_is_kept_and_wider_points_of_its_kind_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def too_large(target: str, argument: dict[str, Any], _: Limits) -> Any:
        tried.append((target.rpartition(":")[2], argument["d"]))
        raise DidNotFit("needs more than 0.1 GB")

    monkeypatch.setattr(growth, "call_in_process", too_large)
    meter = Growth(ResultStore(tmp_path / "s.json", {}), tmp_path, LIMITS, runs=1, gas=False)
    sweep = Sweep((32, 64, 128), 32, (32,), (0,), (1,))
    meter.measure([Commitment(32), Commitment(64), Commitment(128)])
    assert tried == [("set_up", 32)]
    rows = meter.rows("d", sweep)
    assert [row["x"] for row in rows] == [32, 64, 128] and all("prove_s" not in row for row in rows)
    page = markdown(rows, 32, {})
    assert "needs more than 0.1 GB" in page and "not tried: d = 32 did not fit" in page


def test_rows_are_sums_over_their_windows(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "s.json", {})
    for window in range(3):
        store.put(Step(32, "attention", window).name, step_result(1.0 + window))
    store.put(Step(32, "mlp", 0).name, step_result(1.0, gas=None))
    meter = Growth(store, tmp_path, LIMITS, runs=1, gas=False)
    rows = meter.rows("rows", Sweep((), 32, (32, 96, 128), (), ()))
    found = {(row["series"], row["x"]): row for row in rows}
    assert set(found) == {("attention", 32), ("attention", 96), ("mlp", 32)}
    assert found["attention", 96]["prove_s"] == 6.0 and found["attention", 96]["verify_gas"] == 1_500_000
    assert found["attention", 96]["proof_bytes"] == 18_000 and found["attention", 96]["peak_rss_mb"] == 900
    assert found["mlp", 32]["verify_gas"] is None


def test_every_axis_has_its_points() -> None:
    assert {point.d for point in points("d", FULL)} == {64, 128, 256, 512, 1024, 2048, 4096, 8192}
    assert {p.window for p in points("position", FULL) if isinstance(p, Step)} == set(FULL.windows)
    assert max(FULL.windows) == 511  # 16,384 tokens
    assert {p.window for p in points("rows", FULL) if isinstance(p, Step)} == set(range(8))
    assert [p.layers for p in points("layers", FULL) if isinstance(p, Commitment)] == [1, 2, 4, 8, 16, 30]
    mixtures = points("experts", FULL)
    assert [p.experts for p in mixtures if isinstance(p, Commitment)] == [2, 4, 8, 16, 32, 64, 128]
    assert {p.step for p in mixtures if isinstance(p, Step)} == {"router", "expert_tile", "mlp_close"}
    assert {p.d for axis in growth.AXES for p in points(axis, QUICK)} == {32, 64}
    with pytest.raises(ValueError, match="no axis"):
        points("depth", FULL)


def test_a_mixture_is_another_model_of_the_same_width(tmp_path: Path) -> None:
    """Its points have names of their own, and stand at the number of experts."""
    names = [point.name for axis in growth.AXES for point in points(axis, QUICK)]
    assert len({name for name in names if "experts" in name}) == 2 * (1 + len(growth.OF_MIXTURES))
    store = ResultStore(tmp_path / "s.json", {})
    store.put(Step(32, "router", experts=4).name, step_result(1.0))
    (row,) = Growth(store, tmp_path, LIMITS, runs=1, gas=False).rows("experts", QUICK)
    assert (row["series"], row["x"]) == ("router", 4)
    config = synthetic_config(576, experts=8)
    assert set(growth.OF_MIXTURES) <= set(config.kinds) and "mlp" not in config.kinds
    assert config.steps["expert_tile"].tiles == 8
    assert config.programs["keys_values"] == synthetic_config(576).programs["keys_values"]


def test_exponents_are_those_of_a_power_law() -> None:
    xs = [64, 128, 256, 512]
    assert exponent(xs, [3 * x**1.7 for x in xs]) == pytest.approx(1.7)
    assert exponent([1, 1], [2, 3]) is None and exponent([1, 2], [0, 3]) is None
    rows = [
        {"axis": "d", "series": "mlp", "x": x, "prove_s": y, "verify_gas": None}
        for x, y in zip([1, 2, 4, 8], [1.0, 1.0, 2.0, 4.0], strict=True)
    ]
    assert fits(rows) == [
        {"axis": "d", "series": "mlp", "figure": "prove_s", "exponent": 0.7, "last_three": 1.0}
    ]


def position_rows() -> list[dict[str, Any]]:
    seconds = {"mlp": [2.0, 2.0, 2.1], "attention": [2.0, 7.0, 12.0]}
    return [
        {"axis": "position", "series": series, "x": x, **step_result(value)}
        for series, values in seconds.items()
        for x, value in zip([32, 1024, 2048], values, strict=True)
    ]


def test_the_position_axis_is_judged_against_its_goal() -> None:
    mlp, attention = sorted(verdicts(position_rows()), reverse=True)
    assert mlp == "mlp: 1.05 times the first window at 2,048 tokens."
    assert attention == "attention: 3.50 times the first window at 1,024 tokens (goal: at most 4)."


def test_the_page_has_every_figure_and_a_plot_per_axis(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib (pip install 'gainsay[bench]')")
    written = write_report(position_rows(), 576, {"processor": "P"}, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == ["growth/position.png", "growth.md"]
    page = written[-1].read_text()
    assert "(growth/position.png)" in page and "| 2,048 | 12.0 | 900 | 6,000 | 0.01 | 500,000 |" in page
    assert "processor P" in page and "goal: at most 4" in page
    assert written[0].read_bytes().startswith(b"\x89PNG")


def test_a_page_without_plots_shows_none(tmp_path: Path) -> None:
    (page,) = write_report(position_rows(), 576, {}, tmp_path, plots=False)
    assert ".png" not in page.read_text() and "| 2,048 | 12.0 | 900 |" in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


def test_an_unknown_axis_is_refused_before_measuring(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["growth", "--axis", "depth", "--results", str(tmp_path)])
    assert answer.exit_code == 2 and not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_quick_sweep_runs_to_the_end_and_resumes(tmp_path: Path) -> None:
    command = ["growth", "--quick", "--runs", "1", "--json", "--results", str(tmp_path)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    body = json.loads(first.stdout)
    assert {row["axis"] for row in body["rows"]} == set(growth.AXES)
    assert all(row.get("verify_gas") for row in body["rows"] if row["series"] != "commitment")
    gas = {(r["series"], r["x"]): r["verify_gas"] for r in body["rows"] if r["axis"] == "position"}
    assert gas["attention", 64] > gas["attention", 32]
    assert json.loads(CliRunner().invoke(app, command).stdout) == body
