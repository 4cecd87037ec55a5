"""docs/settings.md is what the settings' classes say."""

from __future__ import annotations

import pytest

from challenger.settings import ChallengerSettings

from . import settings_reference
from .settings_reference import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.cli.settings_reference`"


def test_a_setting_without_a_comment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_reference, "_comments", lambda _settings: {})
    with pytest.raises(ValueError, match="say in a comment"):
        settings_reference._rows(ChallengerSettings, ())
