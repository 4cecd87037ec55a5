"""`gainsay monitor` sees from the chain alone what somebody must do something about; every alert has a rule and a runbook entry."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

import ops
from contracts.bindings.deployment import Deployment, ProtocolContracts
from contracts.bindings.provider_stake import VaultTotals
from contracts.protocol.game import Game, Phase, Side
from contracts.protocol.parameters import DEVNET
from contracts.protocol.response import ResponseFields
from devnet.anvil import free_port
from node.metrics import Metrics
from ops import monitor as module
from ops.forecasts import Forecast, forecast, moves_left
from ops.monitor import (
    Account,
    Alert,
    Demand,
    Monitor,
    Node,
    Observation,
    OpenGame,
    Watched,
    alerts_of,
    ask_node,
    new_and_over,
)
from ops.monitor_metrics import MonitorMetrics
from tests.contracts.chain_game import Arena
from tests.contracts.local_chain import LocalChain
from tests.contracts.synthetic import SyntheticModel

from .started import start

FILES = Path(ops.__path__[0]) / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"][0]["rules"]
MARGINS = {"game": 100, "ask": 100, "receipt": 100}
ME, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
#: Nothing to say; each case below makes one thing wrong.
CALM = Observation(
    head=9, head_age_s=1.0, games=(), demands=(), ended={}, batches=1, overdue_batches=0, providers=(Account(ME, balance_wei=10**18),),
    others=(), totals=VaultTotals(1, 2, 3, 4), surplus_wei=0, disagreements=(), nodes=(Node("http://node", None, {}),),
)  # fmt: skip
SHORT = {"gainsay_stake_shortfall_ether": 1.5, "gainsay_posting_seconds_left": 40.0}


@pytest.mark.parametrize(
    ("seen", "name", "sentence"),
    [
        (replace(CALM, games=(OpenGame(3, ME, OTHER, Side.PROVIDER, 99),)), "GameNearDeadline", "provider 0x1.* has 99 s"),
        (replace(CALM, games=(OpenGame(3, OTHER, ME, Side.CHALLENGER, -1),)), "GameNearDeadline", "is out of time"),
        (replace(CALM, demands=(Demand("ask", "response 0 of batch 1", ME, 5),)), "AskNearDeadline", "5 s left to show"),
        (replace(CALM, demands=(Demand("receipt", "0xab", ME, 5),)), "ClaimNearDeadline", "loses a lock"),
        (replace(CALM, providers=(replace(CALM.providers[0], paused=True),)), "ProviderPaused", "gainsay provider resume"),
        (replace(CALM, providers=(Account(ME, balance_wei=7),)), "EtherLow", "0.000000000000000007 ETH"),
        (
            replace(CALM, providers=(replace(CALM.providers[0], operator=OTHER, operator_balance_wei=7),)),
            "EtherLow", f"^{OTHER} holds",
        ),
        (replace(CALM, others=(Account(OTHER, balance_wei=7),)), "EtherLow", OTHER),
        (replace(CALM, nodes=(Node("http://node", "its disk is full", {}),)), "NodeNotReady", "its disk is full"),
        (replace(CALM, nodes=(Node("http://node", None, SHORT),)), "CannotPost", "1.5 ETH .* with 40 s left"),
        (replace(CALM, head_age_s=61.0), "ChainSilent", "61 s old"),
        (replace(CALM, surplus_wei=-1), "VaultShort", "owes"),
        (replace(CALM, disagreements=("this differs",)), "BooksDisagree", "this differs"),
    ],
)  # fmt: skip
def test_each_fault_is_one_alert(seen: Observation, name: str, sentence: str) -> None:
    watched = Watched()
    assert alerts_of(CALM, watched, MARGINS) == []
    (alert,) = alerts_of(seen, watched, MARGINS)
    assert alert.name == f"Gainsay{name}" and re.search(sentence, alert.sentence), alert
    came, went = new_and_over([], [alert])
    assert (came, went) == ([alert], []) and new_and_over([alert], []) == ([], [alert])
    assert new_and_over([alert], [replace(alert, sentence="98 s left")]) == ([], [])


def test_only_who_is_watched_is_warned_about() -> None:
    watched = Watched(providers=(ME.upper().replace("0X", "0x"),))
    of_others = replace(
        CALM, games=(OpenGame(3, OTHER, ME, Side.PROVIDER, 9), OpenGame(4, ME, OTHER, Side.CHALLENGER, 9))
    )
    assert alerts_of(of_others, watched, MARGINS) == []
    mine = replace(CALM, games=(OpenGame(3, ME, OTHER, Side.PROVIDER, 9),))
    assert len(alerts_of(mine, watched, MARGINS)) == 1


def test_every_alert_has_a_rule_a_runbook_entry_and_figures_that_exist() -> None:
    rules = {rule["alert"]: rule for rule in RULES}
    raised = set(
        re.findall(
            r"\"(Gainsay\w+)\"",
            "".join(
                (FILES.parent / f"{name}.py").read_text()
                for name in ("monitor", "monitor_cli", "canary", "replaying")
            ),
        )
    )
    assert raised and raised <= set(rules), raised - set(rules)
    entries = re.findall(r"^## (\w+)$", (FILES / "runbook.md").read_text(), re.MULTILINE)
    assert entries == list(rules)
    assert all(rule["annotations"]["runbook"] == f"runbook.md#{name.lower()}" for name, rule in rules.items())

    monitor, node = MonitorMetrics(), Metrics()
    monitor.show(replace(CALM, ended={("a", "b"): 1}), [])
    known = set(
        re.findall(
            r"# TYPE (\w+)", (generate_latest(monitor.registry) + generate_latest(node.registry)).decode()
        )
    )
    known |= set(
        re.findall(
            r'"(gainsay_\w+)"', (Path(module.__file__).parents[1] / "node" / "provider.py").read_text()
        )
    )
    known |= {f"{name}{end}" for name in known for end in ("_total", "_bucket")}
    asked = [rule["expr"] for rule in RULES]
    board = json.loads((FILES / "dashboard.json").read_text())
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used = {name for expression in asked for name in re.findall(r"gainsay_\w+", expression)}
    assert used <= known, used - known


def test_a_real_deployment_is_seen_and_believed(
    local_chain: LocalChain, contracts: ProtocolContracts
) -> None:
    sender = local_chain.sender(3)
    sender.send(contracts.stake.deposit(3 * 10**18), "deposit")
    seen = Monitor(contracts, Watched(providers=(sender.address,), accounts=(sender.address,))).look()
    assert (
        seen.providers[0].stake_wei >= 3 * 10**18
        and seen.providers[0].free_wei > 0
        and seen.others[0].balance_wei > 0
    )
    assert seen.surplus_wei == 0 and seen.disagreements == () and seen.games == ()

    chain, vault = local_chain.chain, contracts.stake.address
    held = chain.balance_wei(vault)
    chain.request("anvil_setBalance", [vault, hex(held - 5)])
    try:
        short = Monitor(contracts, Watched()).look()
    finally:
        chain.request("anvil_setBalance", [vault, hex(held)])
    assert short.surplus_wei == -5


def test_a_game_is_followed_from_its_opening_to_the_pause_of_the_loser(
    local_chain: LocalChain, contracts: ProtocolContracts
) -> None:
    model, prompt = SyntheticModel(step_count=6), [(7 * position) % 20 for position in range(40)]
    arena = Arena.prepare(local_chain, contracts, model)
    batch = arena.post([ResponseFields.of(prompt, model.generate(prompt, 8), 8, 0)] * 2)
    provider, challenger = arena.provider.address, arena.challenger.address
    watched = Watched(providers=(provider,), accounts=(challenger,))
    monitor = Monitor(contracts, watched)

    def names(margin_s: int) -> list[str]:
        margins = {"game": margin_s, "ask": margin_s, "receipt": margin_s}
        return sorted(
            alert.name
            for alert in alerts_of(monitor.look(), watched, margins)
            if alert.name != "GainsayChainSilent"
        )

    game_id = arena.open(batch, 0)
    ask = contracts.ledger.ask(batch.batch_id, 1, DEVNET.ask_price)
    arena.challenger.send(ask, key="ask")
    (game,) = monitor.look().games
    assert (game.game_id, game.mover_address) == (game_id, provider) and 0 < game.seconds_left <= DEVNET.clock
    assert names(1) == [] and names(1_000) == ["GainsayAskNearDeadline", "GainsayGameNearDeadline"]

    local_chain.pass_time(DEVNET.clock + 1)
    assert names(1) == ["GainsayAskNearDeadline", "GainsayGameNearDeadline"]
    arena.challenger.send(contracts.game.timeout(game_id), key="timeout")
    assert names(1) == ["GainsayAskNearDeadline", "GainsayProviderPaused"]
    seen = monitor.look()
    assert (
        seen.ended == {("challenger_won", "timed_out"): 1} and seen.games == () and seen.disagreements == ()
    )
    assert seen.surplus_wei == 0 and seen.totals.burned > 0


@contextmanager
def node_that_says(status: int, body: str, metrics: str = "") -> Iterator[str]:
    """A node's HTTP API, or what stands in its place."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = self.path == "/readyz"
            self.send_response(status if ready else 200)
            self.end_headers()
            self.wfile.write((body if ready else metrics).encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_what_a_node_says_is_taken_with_care() -> None:
    page = "# HELP x y\ngainsay_posting_seconds_left 12.5\ngainsay_stake_shortfall_ether 0.0\nother 1\n"
    with node_that_says(200, "{}", page) as url:
        node = ask_node(url)
        assert node.reason is None and node.figures == {
            "gainsay_posting_seconds_left": 12.5, "gainsay_stake_shortfall_ether": 0.0,
        }  # fmt: skip
    with node_that_says(503, '{"reason": "no stake"}', page) as url:
        assert ask_node(url).reason == "no stake"
    with node_that_says(503, "[" * 100_000) as url:
        assert ask_node(url).reason == "HTTP status 503"
    with node_that_says(200, "{}", "gainsay_posting_seconds_left many\n") as url:
        assert "does not answer" in (ask_node(url).reason or "")
    assert "does not answer" in (ask_node("http://127.0.0.1:9").reason or "")


@pytest.mark.long
def test_the_command_tells_alerts_once_posts_them_and_shows_figures(
    tmp_path: Path, local_chain: LocalChain, deployment: Deployment
) -> None:
    (tmp_path / "record.json").write_text(json.dumps(deployment.as_json()))
    posted: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    port, poor = free_port(), "0x" + "0a" * 20
    process = start(
        tmp_path, "monitor", "--json", "--rpc-url", local_chain.chain.rpc_url, "--deployment", "record.json", "--port", str(port),
        "--watch-account", poor, "--webhook", f"http://127.0.0.1:{hook.server_port}", GAINSAY_LONGEST_SILENCE_S="1e9", GAINSAY_POLL_S="0.2",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert [alert["name"] for alert in first["alerts"]] == ["GainsayEtherLow"]
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        assert (
            'gainsay_monitor_alert{alert="GainsayEtherLow"' in page
            and "gainsay_monitor_vault_surplus_ether 0.0" in page
        )
        time.sleep(1)
        local_chain.chain.request("anvil_setBalance", [poor, hex(10**18)])
        assert [alert["name"] for alert in json.loads(process.stdout.readline())["over"]] == [
            "GainsayEtherLow"
        ]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0 and len(posted) == 2 and posted[0] == first
    finally:
        process.kill()
        hook.shutdown()


def test_an_alert_is_known_by_name_and_subject() -> None:
    one = Alert("A", "critical", "x", "first")
    assert new_and_over([one], [replace(one, subject="y")]) == ([replace(one, subject="y")], [one])


def test_a_game_is_forecast_from_its_pace() -> None:
    """Three moves may be left (two cuts of 20 steps by 10, proof); at 40 s each so far, 100 s are too few."""
    fields = {f.name: 0 for f in dataclass_fields(Game)}
    game = Game(**fields | {  # type: ignore[arg-type]
        "phase": Phase.AWAIT_BOUNDARIES, "range_start": 0, "range_end": 20, "round": 2, "deadline": 1_100,
    })  # fmt: skip
    assert moves_left(game, Side.PROVIDER, 10) == 3 and moves_left(game, Side.CHALLENGER, 10) == 2
    ahead = forecast(game, 180, 10, now=1_000)
    assert ahead == Forecast(Side.PROVIDER, 3, 40.0, 100) and ahead.is_short
    assert not replace(ahead, pace_s=20.0).is_short
    proving = replace(game, phase=Phase.AWAIT_PROOF)
    assert (moves_left(proving, Side.PROVIDER, 10), moves_left(proving, Side.CHALLENGER, 10)) == (1, 0)
    assert forecast(replace(game, phase=Phase.RESOLVED), 180, 10, now=1_000) is None
    seen = replace(CALM, games=(OpenGame(3, ME, OTHER, Side.PROVIDER, 100, ahead),))
    assert [alert.name for alert in alerts_of(seen, Watched(), MARGINS)] == ["GainsayGameTooSlow"]


def test_receipts_that_are_not_posted_in_time_are_told() -> None:
    def alerts(left: float) -> list[str]:
        node = Node("http://n", None, {"gainsay_posting_seconds_left": left})
        return [
            a.name for a in alerts_of(replace(CALM, nodes=(node,)), Watched(), {**MARGINS, "posting": 15})
        ]

    assert alerts(14) == ["GainsayPostingNearDeadline"] and alerts(16) == [] and alerts(float("nan")) == []
