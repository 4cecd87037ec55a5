"""Settings: a name that nobody knows is an error with the nearest one; money is exact from the text to the chain."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bindings.setting_names import require_known_settings
from contracts.bindings.settings import SettingsError
from contracts.protocol.ether import AmountError, parse_wei, show_ether

from .test_command import run


@pytest.mark.parametrize(
    ("variables", "nearest"),
    [
        ({"GAINSAY_PROT": "8001"}, "GAINSAY_PORT"),
        *(
            pytest.param(variables, nearest, marks=pytest.mark.long)
            for variables, nearest in (
                ({"GAINSAY_MODELS_DIR": '["tiny"]'}, "GAINSAY_MODELS"),
                ({"GAINSAY_KEYSTORE_PASWORD_FILE": "x"}, "GAINSAY_KEYSTORE_PASSWORD_FILE"),
                ({"GAINSAY_SRC": "x"}, "GAINSAY_SRS"),
                ({"GAINSAY_MODELS": ".gainsay/models"}, "GAINSAY_MODELS_DIR"),
            )
        ),
    ],
)
def test_a_misspelt_variable_ends_every_command(
    tmp_path: Path, variables: dict[str, str], nearest: str
) -> None:
    for command in (("verify", "proof.json"), ("challenger", "list")):
        answer = run(*command, cwd=tmp_path, **variables)
        assert answer.returncode == 2, answer.stderr
        assert next(iter(variables)) in answer.stderr and nearest in answer.stderr


@pytest.mark.parametrize(
    ("text", "named", "nearest"),
    [
        ("rpc_ulr = 'x'\n", "rpc_ulr", "rpc_url"),
        ("[provder]\nport = 1\n", "provder", "provider"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (
                ("[challenger]\npolcy = 'all'\n", "polcy", "policy"),
                ("[provider]\nfee_we = 1\n", "fee_we", "fee_wei"),
                ("provider = 1\n", "provider", "[provider]"),
            )
        ),
    ],
)
def test_a_misspelt_key_or_table_ends_every_command(
    tmp_path: Path, text: str, named: str, nearest: str
) -> None:
    (tmp_path / "gainsay.toml").write_text(text)
    answer = run("verify", "proof.json", cwd=tmp_path)
    assert answer.returncode == 2 and named in answer.stderr and nearest in answer.stderr


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8545",
        *(
            pytest.param(url, marks=pytest.mark.long)
            for url in ("", "ftp://127.0.0.1:8545", "ws://127.0.0.1:8545")
        ),
    ],
)
def test_an_endpoint_that_is_no_url_is_one_sentence(tmp_path: Path, url: str) -> None:
    for command in (("provider", "status", "--rpc-url", url), ("dispute", "list", "--rpc-url", url)):
        answer = run(*command, cwd=tmp_path)
        assert answer.returncode == 2 and "rpc_url" in answer.stderr, answer.stderr
        assert answer.stderr.count("\n") == 1


def test_every_setting_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from challenger.settings import ChallengerSettings
    from node.settings import ProviderSettings

    monkeypatch.chdir(tmp_path)
    programs = (ProviderSettings, ChallengerSettings)
    for program in programs:
        for name in program.model_fields:
            value = '["tiny"]' if name == "models" else "1"
            require_known_settings(programs, {f"GAINSAY_{name.upper()}": value, "HOME": "/"})
    require_known_settings(programs, {"GAINSAY_DEBUG": "1", "GAINSAY_SOLC": "x", "GAINSAY_TEST_CHAIN": "x"})
    with pytest.raises(SettingsError, match="GAINSAY_ZZZZ"):
        require_known_settings(programs, {"GAINSAY_ZZZZ": ""})


@pytest.mark.parametrize(
    ("text", "unit", "wei"),
    [
        ("1.1", "ether", 1_100_000_000_000_000_000),
        ("0.000000000000000001", "ether", 1),
        ("1.1 ether", "wei", 1_100_000_000_000_000_000),
        ("25gwei", "ether", 25 * 10**9),
        ("1.000000001 gwei", "ether", 10**9 + 1),
        ("7", "wei", 7),
        ("1.50000000000000000000000", "ether", 15 * 10**17),
    ],
)
def test_amounts_are_exact(text: str, unit: str, wei: int) -> None:
    assert parse_wei(text, unit) == wei


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1e18",
        "1.1234567890123456789",
        "1.5 wei",
        "1 finney",
        "0x10",
        "inf",
        "nan",
        "1,5",
        "١",
        "1" * 90,
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_wei(text)


@given(st.integers(-(2**255), 2**255))
def test_what_is_shown_is_the_amount(wei: int) -> None:
    shown = show_ether(wei)
    assert Fraction(shown.removesuffix(" ETH")) * 10**18 == wei
    if wei >= 0:
        assert parse_wei(shown) == wei


def test_money_on_the_command_line_and_in_settings(tmp_path: Path) -> None:
    bad = run("provider", "deposit", "1.1234567890123456789", cwd=tmp_path)
    assert bad.returncode == 2 and "18 decimals" in bad.stderr
    fee = run("provider", "run", cwd=tmp_path, GAINSAY_FEE_WEI="1.5 wei")
    assert fee.returncode == 2 and "fee_wei" in fee.stderr
    (tmp_path / "gainsay.toml").write_text("[provider]\nfee_wei = 1.1e18\n")
    table = run("provider", "status", cwd=tmp_path)
    assert table.returncode == 2 and "fee_wei" in table.stderr and "whole number of wei" in table.stderr


def test_an_unreadable_list_says_its_form(tmp_path: Path) -> None:
    answer = run("challenger", "list", cwd=tmp_path, GAINSAY_PROVIDERS="http://127.0.0.1:8000")
    assert answer.returncode == 2 and "GAINSAY_PROVIDERS must be a JSON list" in answer.stderr
