"""API keys: who gets answers, how many, and what nobody is told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from contracts.bindings.settings import SettingsError
from node.api_keys import ApiKey, KeyRing, draw_key, hash_of
from node.errors import KeyLimitError
from node.store import Journal
from prover.model.weights import IntegerModel

from .conftest import LocalNode, build_node
from .test_queue import HeldExecutor, until

ALICE, BOB = draw_key(), draw_key()
BODY = {"model": "tiny", "prompt": "a", "max_tokens": 2}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stanza(name: str, key: str, **limits: int) -> str:
    lines = [f"[keys.{name}]", f'sha256 = "{hash_of(key).hex()}"', *(f"{k} = {v}" for k, v in limits.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text(
        stanza("alice", ALICE, requests_per_minute=6, tokens_per_minute=12, concurrent=2) + stanza("bob", BOB)
    )
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def node(tiny: IntegerModel, journal: Journal, file: Path, clock: Clock) -> LocalNode:
    return build_node(tiny, journal, keys=KeyRing(file, clock), cors_origins=("https://page.example",))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_there_is_no_answer(client: TestClient, node: LocalNode) -> None:
    headers: list[dict[str, str]] = [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {BOB}"},
        {"Authorization": BOB}, bearer(BOB[:-1]), bearer(BOB + "x"), bearer(BOB.upper()), bearer("x" * 60_000),
        bearer(hash_of(BOB).hex()), bearer("\xff"), {"X-Api-Key": BOB},
    ]  # fmt: skip
    for wrong in headers:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in wrong.items()]
        for path in ("/v1/completions", "/v1/chat/completions"):
            answer = client.post(path, json=BODY, headers=raw)
            assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/v1/models", headers=raw).status_code == 401
        assert client.get("/v1/models/tiny", headers=raw).status_code == 401
    # Refused before the body is read: this one would be too long.
    assert client.post("/v1/completions", content=b"x" * (3 * 2**20)).status_code == 401
    assert node.journal.response_count() == 0
    # What challengers and operators need stays open, and a browser may ask before it sends a key.
    for path in ("/healthz", "/readyz", "/metrics", "/v1/payment-terms"):
        assert client.get(path).status_code == 200
    assert client.get("/v1/receipts/none").status_code == 404
    preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/v1/completions", headers=preflight).status_code == 200
    refused = client.post("/v1/completions", json=BODY, headers={"Origin": "https://page.example"})
    assert (
        refused.status_code == 401 and refused.headers["access-control-allow-origin"] == preflight["Origin"]
    )
    for right in (bearer(BOB), {"authorization": f"bearer  {BOB} "}):
        assert client.post("/v1/completions", json=BODY, headers=right).status_code == 200
    assert client.get("/v1/models", headers=bearer(BOB)).status_code == 200


def test_no_log_and_no_metric_knows_a_key(client: TestClient, file: Path, clock: Clock) -> None:
    with capture_logs() as logs:
        for key in (BOB, ALICE, "gainsay-guess"):
            client.post("/v1/completions", json=BODY, headers=bearer(key))
        file.write_text("keys = 3")
        clock.now += 2
        client.post("/v1/completions", json=BODY, headers=bearer(BOB))
    told = json.dumps(logs, default=str) + client.get("/metrics").text
    assert 'gainsay_api_key_refusals_total{reason="unknown"} 1.0' in told
    for secret in (BOB, ALICE, "guess", hash_of(BOB).hex(), hash_of(ALICE).hex()):
        assert secret not in told


def test_requests_per_minute(client: TestClient, clock: Clock) -> None:
    clock_free = [client.post("/v1/completions", json={}, headers=bearer(ALICE)) for _ in range(7)]
    # A malformed request counts: it is work all the same.
    assert [answer.status_code for answer in clock_free] == [400] * 6 + [429]
    last = clock_free[-1]
    assert last.json()["error"]["code"] == "rate_limit_exceeded" and last.headers["retry-after"] == "11"
    assert last.json()["error"]["type"] == "rate_limit_error"
    assert client.post("/v1/completions", json=BODY, headers=bearer(BOB)).status_code == 200
    clock.now += 10
    assert client.post("/v1/completions", json={}, headers=bearer(ALICE)).status_code == 400
    assert client.post("/v1/completions", json={}, headers=bearer(ALICE)).status_code == 429


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_per_minute_count_what_was_used(client: TestClient, clock: Clock, stream: bool) -> None:
    def ask(**change: Any) -> Any:
        return client.post("/v1/completions", json=BODY | {"stream": stream} | change, headers=bearer(ALICE))

    assert ask(max_tokens=12).json()["error"]["code"] == "request_too_large"  # and no Retry-After
    assert ask(n=3).json()["error"]["code"] == "request_too_large"  # more than it may have at a time
    assert ask(max_tokens=200).status_code == 400
    assert ask(max_tokens=11, stop="").status_code == 200  # 12 of 12, however they are counted
    refused = ask()
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 1
    clock.now += 20
    # A model's answer that ends early gives back what it did not use.
    first = client.post("/v1/completions", json=BODY | {"max_tokens": 1}, headers=bearer(BOB)).json()
    stop = first["choices"][0]["text"]
    if stop:
        assert ask(max_tokens=3, stop=stop).status_code == 200  # used 2 of 4
        clock.now += 60
        assert ask(max_tokens=2).status_code == 200


def test_answers_at_a_time(tiny: IntegerModel, journal: Journal, file: Path) -> None:
    held = HeldExecutor(tiny)
    file.write_text(stanza("alice", ALICE, concurrent=2))
    node = build_node(tiny, journal, generator=held, keys=KeyRing(file))
    with TestClient(node.app) as client:
        assert client.post("/v1/completions", json=BODY | {"n": 3}, headers=bearer(ALICE)).status_code == 400
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(
                client.post("/v1/completions", json=BODY | {"n": 2}, headers=bearer(ALICE)).status_code
            )

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: node.service.queue.running and node.service.queue.waiting == 1)
        refused = client.post("/v1/completions", json=BODY, headers=bearer(ALICE))
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        held.go.set()
        thread.join(20)
        assert statuses == [200]
        assert client.post("/v1/completions", json=BODY | {"n": 2}, headers=bearer(ALICE)).status_code == 200


def test_a_failed_or_abandoned_request_gives_its_place_back() -> None:
    key = ApiKey("a", b"", tokens_per_minute=10, concurrent=1, clock=Clock())
    with pytest.raises(ZeroDivisionError), key.lease(1, 10) as lease:
        lease.tokens = 4
        raise ZeroDivisionError
    with key.lease(1, 6) as lease, pytest.raises(KeyLimitError):
        lease.tokens = 6
        key.lease(1, 0).__enter__()
    with pytest.raises(KeyLimitError), key.lease(1, 1):
        pass


def test_keys_are_added_and_revoked_while_it_runs(file: Path, clock: Clock) -> None:
    ring = KeyRing(file, clock)
    alice = ring.find(ALICE)
    assert alice is not None and alice.name == "alice"
    alice.take_request()
    file.write_text(file.read_text().split("[keys.bob]")[0] + stanza("carol", "carol's"))
    assert ring.find(BOB) is not None  # looked at once a second
    clock.now += 1.5
    assert ring.find(BOB) is None and ring.find("carol's") is not None
    assert ring.find(ALICE) is alice  # with what it has used
    for broken in ("[keys", "", "[keys.x]\nsha256 = 'abc'\n"):
        file.write_text(broken)
        clock.now += 1.5
        assert ring.find(ALICE) is alice
    file.unlink()
    clock.now += 1.5
    assert ring.find(ALICE) is alice


def files() -> Iterator[tuple[str, str]]:
    digest = hashlib.sha256(b"x").hexdigest()
    yield "", "keys"
    yield "[keys]", "keys"
    yield "keys = [", "TOML"
    yield f'[keys.a]\nsha256 = "{digest}"\nrpm = 3', "keys.a.rpm"
    yield f'[keys.a]\nsha256 = "{digest[:-1]}"', "keys.a.sha256"
    yield f'[keys.a]\nsha256 = "{digest}"\nconcurrent = 0', "keys.a.concurrent"
    yield f'[keys.a]\nsha256 = "{digest}"\nconcurrent = 1.5', "keys.a.concurrent"
    yield f'[keys.a]\nsha256 = "{digest}"\n[keys.b]\nsha256 = "{digest}"', "two names"
    yield f'[keys."a b"]\nsha256 = "{digest}"', "keys.a b"
    yield '[keys.a]\nkey = "secret"', "keys.a"


@pytest.mark.parametrize(("text", "where"), list(files()))
def test_a_wrong_file_is_refused_at_the_start(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "keys.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        KeyRing(tmp_path / "keys.toml")
    assert where in str(caught.value) and "secret" not in str(caught.value)
    with pytest.raises(SettingsError):
        KeyRing(tmp_path / "none.toml")
