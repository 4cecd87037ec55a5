"""docs/economics.md says what the formulas and the simulation give, and its plot is theirs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from economics.document import DOCUMENT, PLOT, plot, rewritten
from economics.plots import Line, Panel, svg


def test_the_tables_are_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == rewritten(text), "run `python -m economics.document`"


def test_the_plot_is_current() -> None:
    drawn = PLOT.read_text(encoding="utf-8")
    assert drawn == plot(), "run `python -m economics.document`"
    lines = [e for e in ElementTree.fromstring(drawn).iter() if e.tag.endswith("polyline")]
    assert len(lines) == 8 and all(len(line.get("points", "").split()) >= 4 for line in lines)


def test_what_has_no_place_on_an_axis_is_left_out() -> None:
    line = Line("a", [(0.0, 1.0), (1.0, 1.0), (10.0, 2.0), (10.0, float("inf")), (1000.0, 1.0)])
    drawn = svg([Panel("t", "x", "y", [line], (1, 100), (0, 4))])
    (polyline,) = [e for e in ElementTree.fromstring(drawn).iter() if e.tag.endswith("polyline")]
    assert len(polyline.get("points", "").split()) == 2
