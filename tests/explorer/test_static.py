"""The pages' files: colours that can be read in both themes, and nothing that comes from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import explorer
from explorer.site import POLICY

STATIC = Path(explorer.__file__).parent / "static"
FILES = {
    path.relative_to(STATIC).as_posix(): path.read_text() for path in STATIC.rglob("*") if path.is_file()
}
TEXT, SHAPE = 4.5, 3.0  # WCAG 2.2 AA: 1.4.3, 1.4.11
#: What stands on what, as the style sheets have it.
PAIRS = [
    *((ink, ground, TEXT) for ink in ("ink", "soft", "link") for ground in ("ground", "paper", "raised")),
    *((ink, "paper", TEXT) for ink in ("good", "bad", "warn", "plain", "provider", "challenger")),
    ("bad", "ground", TEXT),
    ("ground", "ink", TEXT),
    *((ink, ground, TEXT) for ink in ("ink", "soft") for ground in ("provider-tint", "challenger-tint")),
    *(("on-strong", ground, TEXT) for ground in ("challenger", "good", "bad", "warn")),
    *((line, ground, SHAPE) for line in ("edge", "focus") for ground in ("ground", "paper")),
    *((bar, "raised", SHAPE) for bar in ("provider", "challenger", "bad", "soft")),
]  # fmt: skip


def themes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", FILES["style/base.css"], re.DOTALL)
    colours = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in (light, dark)]
    return {"light": colours[0], "dark": colours[0] | colours[1]}


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_the_standards_own() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast(
        "#777777", "#ffffff"
    ) == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read(theme: str) -> None:
    colours = themes()[theme]
    found = {(a, b): contrast(colours[a], colours[b]) for a, b, _ in PAIRS}
    assert not {pair: round(found[pair[:2]], 2) for pair in PAIRS if found[pair[:2]] < pair[2]}  # type: ignore[index]


def test_the_style_sheets_use_named_colours_only() -> None:
    named = themes()["light"].keys() & themes()["dark"].keys()
    for name in ("style/parts.css", "style/picture.css"):
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?! \{)(?=[;, )])", FILES[name]), name
        assert set(re.findall(r"var\(--([a-z-]+)\)", FILES[name])) <= named | {"share"}, name


def test_nothing_comes_from_elsewhere_and_no_markup_is_parsed() -> None:
    assert "unsafe" not in POLICY and POLICY.startswith("default-src 'none'")
    for name, text in FILES.items():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), name
        assert len(text.splitlines()) < 400, name
    assert not re.search(r"<script(?! type=\"module\" src)|<style|\bstyle=|\bon[a-z]+=", FILES["index.html"])
    for name, text in FILES.items():
        for target in re.findall(r'from "(\.[^"]+)"', text):
            assert (STATIC / name).parent.joinpath(target).resolve().is_file(), (name, target)
