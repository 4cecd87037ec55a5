"""Fitted exponents, tables and plots of a growth sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DevnetError
from .growth import AXES, COMMITMENT, Row

FIGURES = {
    "prove_s": "prove, s",
    "setup_s": "commit weights, s",
    "peak_rss_mb": "peak memory, MB",
    "proof_bytes": "proof, bytes",
    "verify_s": "verify, s",
    "verify_gas": "verify, gas",
}
_EXTRA = {
    "proofs": "proofs",
    "step_keys": "step keys",
    "step_key_bytes": "step keys, bytes",
    "bisection_rounds": "bisection rounds at most",
}
_AXIS_NAMES = {
    "d": "width d",
    "rows": "rows proven",
    "position": "tokens up to and with the window",
    "layers": "layers",
    "experts": "experts",
}
_INTRODUCTIONS = {
    "d": "First window of a layer with f = 8d/3. Every step is one proof of 32 rows; where a layer is wide, attention and MLP are cut "
    "into tiles and closed by a step that rounds once. Committing is done once per model.",
    "rows": "d = {width}. A window is 32 rows and one proof per step; figures are totals, memory that of the largest.",
    "position": "d = {width}. One window of 32 rows behind all windows before it.",
    "layers": "d = {width}. A model commits a key for every step of its schedule. A dispute proves one step of one window, so only "
    "the commitment and the rounds of bisection grow.",
    "experts": "d = {width}. A mixture of experts of 8d/9 hidden channels, of which every row has two. Each expert is a step, so that "
    "only the commitment and the rounds of bisection grow, and the router, which compares all experts' scores.",
}
_TAIL = 3
_DIGITS = 2
_LEAST_SPREAD = 10.0
ATTENTION_GOAL = (1024, 4.0)
"""Attention at so many tokens should take at most so many times the first window."""


class PlottingMissing(DevnetError):
    """Plots are wanted, but matplotlib is not installed."""


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Least-squares a of log y = a log x + b to two digits; None for fewer than two different x or a y that is not positive."""
    if len(set(xs)) < 2 or min(ys) <= 0:
        return None
    slope = np.polyfit(np.log(np.asarray(xs, float)), np.log(np.asarray(ys, float)), 1)[0]
    return round(float(slope), _DIGITS) + 0.0  # no negative zero


def fits(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per axis, series and figure: the exponent over all points, and over the last three, where it has settled."""
    result = []
    for axis, series in dict.fromkeys((row["axis"], row["series"]) for row in rows):
        for figure in FIGURES:
            xs, ys = _curve(rows, axis, series, figure)
            if len(xs) > 1:
                values = {"exponent": exponent(xs, ys), "last_three": exponent(xs[-_TAIL:], ys[-_TAIL:])}
                result.append({"axis": axis, "series": series, "figure": figure, **values})
    return result


def require_plotting() -> Any:
    """matplotlib.pyplot without a display; raises PlottingMissing."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise PlottingMissing(
            "plots need matplotlib, which is not installed; run `pip install 'gainsay[bench]'` or leave out --docs "
            "(growth: take --no-plots)"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def write_report(
    rows: Sequence[Row], width: int, machine: Mapping[str, Any], docs: Path, *, plots: bool = True
) -> list[Path]:
    """docs/growth.md and one plot per measured axis in docs/growth, if plots are wanted; returns what was written."""
    folder = docs / "growth"
    written = []
    for axis in AXES:
        if plots and any(row["axis"] == axis for row in rows):
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{axis}.png")
            _plot(rows, axis, written[-1])
    page = docs / "growth.md"
    page.write_text(markdown(rows, width, machine, plots=plots), encoding="utf-8")
    return [*written, page]


def markdown(rows: Sequence[Row], width: int, machine: Mapping[str, Any], *, plots: bool = True) -> str:
    """The page: machine, then per axis a plot, a table of figures and one of exponents."""
    parts = [
        "# How the cost of a proof grows",
        "Written by `gainsay bench growth`; do not edit. Seeded synthetic models, medians after a warm-up, each point "
        "in a process of its own. An exponent a means cost ~ x^a, from a least-squares line through the logarithms.",
        "Measured on: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".",
    ]
    found = fits(rows)
    for axis in AXES:
        mine = [row for row in rows if row["axis"] == axis]
        if not mine:
            continue
        parts += [f"## {_AXIS_NAMES[axis]}", _INTRODUCTIONS[axis].format(width=width)]
        parts += [f"![{_AXIS_NAMES[axis]}](growth/{axis}.png)"] if plots else []
        for series in _series(mine):
            part = [row for row in mine if row["series"] == series]
            if part:
                parts += [f"### {series}", _table(axis, part)]
        exponents = [fit for fit in found if fit["axis"] == axis]
        if exponents:
            parts += ["### exponents", _exponents(exponents)]
        parts += verdicts(mine) if axis == "position" else []
    return "\n\n".join(parts) + "\n"


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What the position axis must show: an MLP that does not depend on it, and attention within its goal."""
    sentences = []
    for series in _series(rows):
        xs, ys = _curve([row for row in rows if row["axis"] == "position"], "position", series, "prove_s")
        if len(xs) < 2:
            continue
        tokens, goal = ATTENTION_GOAL
        at = xs.index(tokens) if series == "attention" and tokens in xs else len(xs) - 1
        sentence = f"{series}: {ys[at] / ys[0]:.2f} times the first window at {xs[at]:,} tokens"
        sentences.append(sentence + (f" (goal: at most {goal:g})." if xs[at] == tokens else "."))
    return sentences


def _series(rows: Sequence[Row]) -> list[str]:
    """The commitment first, then kinds of step as they appear."""
    found = dict.fromkeys(row["series"] for row in rows)
    return sorted(found, key=lambda name: name != COMMITMENT)


def _curve(rows: Sequence[Row], axis: str, series: str, figure: str) -> tuple[list[int], list[float]]:
    found = sorted(
        (row["x"], row[figure])
        for row in rows
        if row["axis"] == axis and row["series"] == series and row.get(figure) is not None
    )
    return [x for x, _ in found], [y for _, y in found]


def _table(axis: str, rows: Sequence[Row]) -> str:
    shown = [name for name in (*_EXTRA, *FIGURES) if any(row.get(name) is not None for row in rows)]
    titles = [_AXIS_NAMES[axis], *((_EXTRA | FIGURES)[name] for name in shown)]
    lines = [_line(titles), _line(["---:"] * len(titles))]
    for row in sorted(rows, key=lambda row: int(row["x"])):
        if "did_not_fit" in row:
            lines.append(_line([f"{row['x']:,}", row["did_not_fit"], *[""] * (len(shown) - 1)]))
        else:
            lines.append(
                _line([f"{row['x']:,}", *("" if row.get(n) is None else f"{row[n]:,}" for n in shown)])
            )
    return "\n".join(lines)


def _exponents(found: Sequence[Mapping[str, Any]]) -> str:
    lines = [_line(["series", "figure", "all points", "last three"]), _line(["---", "---", "---:", "---:"])]
    for fit in found:
        values = ["" if fit[name] is None else f"{fit[name]:.2f}" for name in ("exponent", "last_three")]
        lines.append(_line([fit["series"], FIGURES[fit["figure"]], *values]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plot(rows: Sequence[Row], axis: str, path: Path) -> None:
    pyplot = require_plotting()
    from matplotlib import ticker

    series = [name for name in _series(rows) if any(r["axis"] == axis and r["series"] == name for r in rows)]
    figures = [f for f in FIGURES if any(_curve(rows, axis, name, f)[0] for name in series)]
    columns = 3 if len(figures) > 2 else max(1, len(figures))
    lines = -(-len(figures) // columns)
    canvas, panels = pyplot.subplots(lines, columns, figsize=(4.2 * columns, 3.3 * lines), squeeze=False)
    colours = dict(
        zip(series, pyplot.get_cmap("tab20" if len(series) > 10 else "tab10").colors, strict=False)
    )
    shown = {}
    for panel, figure in zip(panels.flat, figures, strict=False):
        for name in series:
            xs, ys = _curve(rows, axis, name, figure)
            if xs:
                (shown[name],) = panel.loglog(xs, ys, "o-", markersize=4, color=colours[name])
        ticks = sorted({x for name in series for x in _curve(rows, axis, name, figure)[0]})
        panel.set_xticks(ticks, [f"{x:,}" for x in ticks], rotation=45, fontsize=8)
        low, high = panel.get_ylim()
        spread = max(1.0, (_LEAST_SPREAD * low / high) ** 0.5)  # what hardly grows must not look steep
        panel.set_ylim(low / spread, high * spread)
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:,.10g}"))
        panel.minorticks_off()
        panel.set_xlabel(_AXIS_NAMES[axis])
        panel.set_title(FIGURES[figure], fontsize=10)
        panel.grid(True, alpha=0.3)
    for panel in list(panels.flat)[len(figures) :]:
        panel.set_visible(False)
    below = (
        -(-len(series) // 6) * 0.25 / (3.3 * lines)
    )  # one legend for all panels, so that it covers no point
    canvas.legend(
        shown.values(), shown, loc="lower center", ncols=min(6, len(series)), fontsize=9, frameon=False
    )
    canvas.tight_layout(rect=(0, below, 1, 1))
    canvas.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(canvas)
