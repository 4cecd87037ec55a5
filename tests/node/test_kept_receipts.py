"""Receipts as a client verifies and keeps them: what holds, and everything that a hostile provider can send instead."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import uvicorn
from typer.testing import CliRunner

from contracts.bindings.receipt_body import parse_receipt
from contracts.bindings.receipts import receipt_id, sign_receipt
from contracts.protocol.response import LEAF_FIELDS
from contracts.protocol.token_ids import token_ids_hash
from devnet.anvil import free_port
from gainsay.client import AsyncClient, Client, ReceiptFolder, ReceiptNotValidError
from node.errors import ReceiptNotValidError as NotValid
from node.receipt_cli import app
from node.receipt_offline import Expected, Tokenizing, verify_offline
from node.store import Journal
from prover.errors import BadInputError, EnvironmentMissingError, NotFoundError
from prover.model.weights import IntegerModel
from tests.docs.receipt_schemas import DOCS, pages

from .conftest import CHAIN_ID, LEDGER, MODEL_ID, LocalNode, LocalSigner, build_node

PROMPT, TOKENS = "hello", 4


@pytest.fixture(scope="module")
def provider(tiny: IntegerModel, tmp_path_factory: pytest.TempPathFactory) -> LocalNode:
    from node.store import open_engine

    folder = tmp_path_factory.mktemp("provider")
    return build_node(tiny, Journal(open_engine(f"sqlite:///{folder}/node.db")), capacity=8)


@pytest.fixture(scope="module")
def url(provider: LocalNode) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(provider.app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


@dataclass
class Answered:
    """An honest answer: the receipt's body, the response's, and the text."""

    body: dict[str, Any]
    response: dict[str, Any]
    text: str
    tokenizing: Tokenizing

    def verify(self, **changes: Any) -> Any:
        expected = Expected(CHAIN_ID, LEDGER, LEDGER, model_id=MODEL_ID, text=self.text)
        return verify_offline(self.body, replace(expected, **changes), self.response, self.tokenizing)


@pytest.fixture(scope="module")
def honest(url: str, tiny: IntegerModel) -> Answered:
    request = {"model": "tiny", "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0}
    answer = httpx.post(f"{url}/completions", json=request, timeout=60)
    named = answer.headers["x-gainsay-receipt"]
    body, response = (httpx.get(f"{url}/{kind}/{named}").json() for kind in ("receipts", "responses"))
    return Answered(body, response, answer.json()["choices"][0]["text"], Tokenizing(tiny.tokenizer))


@pytest.fixture
def given(honest: Answered) -> Answered:
    """To be spoilt by one test."""
    return replace(honest, body=copy.deepcopy(honest.body), response=copy.deepcopy(honest.response))


def test_an_honest_receipt_holds(honest: Answered) -> None:
    found = honest.verify(prompt_ids=honest.tokenizing.prompt_ids({"prompt": PROMPT}), most_tokens=TOKENS)
    assert (
        found.checked == ["signature", "dates", "leaf", "model", "ids", "prompt", "text"]
        and not found.unchecked
    )
    alone = verify_offline(honest.body)
    assert alone.receipt_id == found.receipt_id and {"leaf", "model", "ids", "text"} <= set(alone.unchecked)


def test_the_schemas_in_the_docs_are_those_of_the_code_and_fit_real_receipts(honest: Answered) -> None:
    for name, text in pages().items():
        assert (DOCS / name).read_text() == text, "run `python -m tests.docs.receipt_schemas`"
    schemas = {name: jsonschema.Draft202012Validator(json.loads(text)) for name, text in pages().items()}
    for schema in schemas.values():
        schema.check_schema(schema.schema)
    receipt, leaf = schemas["receipt.schema.json"], schemas["leaf.schema.json"]
    receipt.validate(honest.body)
    signed = honest.body["receipt"]
    for name in ("signer", "index"):
        spoilt = honest.body | {"receipt": {key: value for key, value in signed.items() if key != name}}
        assert not receipt.is_valid(spoilt)
    assert not receipt.is_valid(honest.body | {"signature": "0x1"})
    names = {"chainId": CHAIN_ID, "ledger": LEDGER}
    for name in leaf.schema["properties"]:
        snake = "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
        names.setdefault(name, signed.get(snake))
    leaf.validate(names)
    assert not leaf.is_valid(names | {"signer": signed["signer"]})
    assert list(names) == [field.split(" ")[1] for field in LEAF_FIELDS.split(",")]


_HUGE = "9" * 4000
_FIELDS = ("provider", "model_id", "index", "prompt_hash", "output_length", "fee_wei", "issued_at", "signer")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((("receipt", name), None) for name in _FIELDS),
        *((("receipt", name), ...) for name in _FIELDS),
        (("receipt", "index"), -1), (("receipt", "index"), 2**256), (("receipt", "output_length"), 1.5),
        (("receipt", "issued_at"), 2**64), (("receipt", "signer"), "0x12"), (("receipt", "model_id"), ["0x"]),
        (("receipt", "prompt_hash"), "0x" + 62 * "0"), (("receipt",), []), (("receipt",), None),
        (("signature",), ...), (("signature",), "0x"), (("signature",), "0x" + 10_000 * "00"), (("signature",), 7),
        (("domain",), []), (("domain", "chainId"), True), (("domain", "chainId"), "31337"), (("domain", "chainId"), -1),
        (("domain", "verifyingContract"), "0x" + 39 * "0"), (("domain", "verifyingContract"), None),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_malformed_receipt_is_named(given: Answered, place: tuple[str, ...], value: Any) -> None:
    holder: Any = given.body
    for name in place[:-1]:
        holder = holder[name]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    with pytest.raises(BadInputError) as told:
        given.verify()
    assert place[-1] in str(told.value) and len(str(told.value)) < 500


@pytest.mark.parametrize(
    "response", [None, [], {}, {"prompt_ids": [1]}, {"prompt_ids": "x", "output_ids": []},
                 {"prompt_ids": [True], "output_ids": [1]}, {"prompt_ids": [2**32], "output_ids": [1]},
                 {"prompt_ids": [int(_HUGE)], "output_ids": [1]}, {"prompt_ids": [0] * (2**20 + 1), "output_ids": [1]}],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_malformed_ids_are_named(given: Answered, response: Any) -> None:
    given.response = [] if response is None else response
    with pytest.raises(BadInputError) as told:
        given.verify()
    assert len(str(told.value)) < 500


def _resigned(given: Answered, signer: LocalSigner | None = None, **changes: Any) -> None:
    """A valid signature over other content, as only the provider can make it."""
    key = signer or LocalSigner()
    receipt, _ = parse_receipt(given.body)
    receipt = replace(receipt, signer=key.address, provider=key.address, **changes)
    plain = {
        name: "0x" + value.hex() if isinstance(value, bytes) else value
        for name, value in vars(receipt).items()
    }
    given.body |= {
        "receipt": plain,
        "signature": "0x" + sign_receipt(key, receipt, CHAIN_ID, LEDGER).hex(),
        "receipt_id": "0x" + receipt_id(receipt, CHAIN_ID, LEDGER).hex(),
        "leaf": "0x" + receipt.leaf(CHAIN_ID, LEDGER).hex(),
    }


def _high_s(signature: str) -> str:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytes.fromhex(signature[2:])
    mirrored = order - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + mirrored.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()


# The fixtures' ledger stands for the contract that receipts are signed for, too.
LIES: dict[str, tuple[Callable[[Answered], Any], dict[str, Any], str]] = {
    "another key": (lambda g: g.body["receipt"].update(signer=LocalSigner().address), {}, "another key signed"),
    "a flipped bit": (lambda g: g.body.update(signature=g.body["signature"][:40] + "0000" + g.body["signature"][44:]), {}, "does not hold"),
    "the malleable form": (lambda g: g.body.update(signature=_high_s(g.body["signature"])), {}, "form that the contract refuses"),
    "a short form": (lambda g: g.body.update(signature=g.body["signature"][:-2]), {}, "64 bytes"),
    "another contract": (lambda g: g.body["domain"].update(verifyingContract="0x" + 40 * "1"), {}, "not for this deployment"),
    "another chain": (lambda g: g.body["domain"].update(chainId=1), {}, "is for chain 1"),
    "another protocol": (lambda g: g.body["domain"].update(name="Elsewhere"), {}, "another protocol"),
    "another id": (lambda g: g.body.update(receipt_id="0x" + 64 * "1"), {}, "receipt's id is"),
    "another leaf": (lambda g: g.body.update(leaf="0x" + 64 * "1"), {}, "leaf that was signed"),
    "another place": (lambda g: g.body.update(index=7), {}, "not the signed one"),
    "another model": (lambda g: _resigned(g, model_id=bytes(32)), {}, "not promised to be of the model"),
    "a model that the answer does not name": (lambda g: None, {"named_model_id": "0x00"}, "the answer says that model"),
    "another provider": (lambda g: _resigned(g), {"provider": "0x" + 40 * "1"}, "not of 0x1"),
    "no payer": (lambda g: None, {"payer": "0x" + 40 * "1"}, "pay this provider no more"),
    "dated tomorrow": (lambda g: _resigned(g, issued_at=2**40, posting_deadline=2**40), {}, "ahead of this machine's clock"),
    "promised before its date": (lambda g: _resigned(g, posting_deadline=1), {}, "before its own date"),
    "no such sampling": (lambda g: _resigned(g, sampling_hash=b"\xff" * 32), {}, "would be void"),
    "signed over other ids": (lambda g: _resigned(g, output_hash=token_ids_hash([1])), {}, "another answer"),
    "other ids": (lambda g: g.response["output_ids"].__setitem__(0, (g.response["output_ids"][0] + 1) % 250), {}, "another answer"),
    "more tokens than allowed": (lambda g: _resigned(g, max_tokens=1), {}, "under a limit of 1"),
    "more tokens than asked": (lambda g: None, {"most_tokens": 1}, "asked for at most"),
    "another prompt": (lambda g: None, {"prompt_ids": [1, 2, 3]}, "another prompt"),
    "another text": (lambda g: None, {"text": "surely not this"}, "not what the signed ids decode to"),
    "a cut text": (lambda g: setattr(g, "text", g.text[:-1]), {}, "not what the signed ids decode to"),
    "ids outside the vocabulary": (
        lambda g: (g.response.update(output_ids=[10**6]), _resigned(g, output_hash=token_ids_hash([10**6]), output_length=1)),
        {}, "vocabulary"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_named(given: Answered, name: str) -> None:
    spoil, changes, says = LIES[name]
    spoil(given)
    with pytest.raises(NotValid, match=says):
        given.verify(**changes)


def test_the_text_ends_with_its_stop_string_and_nothing_behind_it(given: Answered) -> None:
    ids = list(b"abcSTOPd")
    _resigned(given, output_hash=token_ids_hash(ids[:7]), output_length=7, max_tokens=7)
    given.response["output_ids"] = ids[:7]
    for shown in ("abc", "abcSTOP"):
        assert "stop" in given.verify(text=shown, stop=("STOP",)).checked
    with pytest.raises(NotValid, match="decode to"):
        given.verify(text="ab", stop=("STOP",))
    _resigned(given, output_hash=token_ids_hash(ids), output_length=8, max_tokens=8)
    given.response["output_ids"] = ids
    with pytest.raises(NotValid, match="behind a stop string"):
        given.verify(text="abc", stop=("STOP",))
    assert "stop" not in given.verify(text="abcSTOPd", stop=("nowhere",)).checked


def test_the_client_keeps_every_kind_of_answer(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": TOKENS}
    plain = {"model": "tiny", "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0}
    with Client(url, receipts=tmp_path / "kept", model="tiny", model_id="0x" + MODEL_ID.hex()) as client:
        whole = client.chat.completions.create(**chat)
        text = client.completions.create(**plain)
        chunks = list(client.chat.completions.create(**chat, stream=True))
        streamed = client.completions.create(**plain, stream=True, stream_options={"include_usage": True})
        said = "".join(chunk.choices[0].text for chunk in streamed if chunk.choices)
    assert said == text.choices[0].text
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content

    async def asked() -> list[str]:
        async with AsyncClient(url, receipts=tmp_path / "kept", model="tiny") as other:
            answers = await asyncio.gather(*(other.completions.create(**plain) for _ in range(3)))
            stream = await other.chat.completions.create(**chat, stream=True)
            last = [chunk async for chunk in stream][-1]
            return [answer.x_gainsay_receipt for answer in answers] + [last.x_gainsay_receipt]

    later = asyncio.run(asked())
    folder = ReceiptFolder(tmp_path / "kept", create=False)
    entries = folder.entries()
    assert len(entries) == len(folder.receipts()) == 8 and {entry.state for entry in entries} == {"kept"}
    assert all({"prompt", "text", "ids"} <= set(entry.checked) for entry in entries)
    assert {whole.x_gainsay_receipt, text.x_gainsay_receipt, *later} <= {
        file.stem for file in folder.receipts()
    }
    file = folder.path / f"{text.x_gainsay_receipt}.json"
    assert file.stat().st_mode & 0o077 == 0
    verified = CliRunner().invoke(
        app, ["verify", str(file), "--model", "tiny", "--json"], catch_exceptions=False
    )
    assert json.loads(verified.stdout)["checked"] == ["signature", "dates", "ids", "prompt", "text"]
    spoilt = CliRunner().invoke(app, ["verify", str(file), "--model", "tiny", "--text", "other"])
    assert isinstance(spoilt.exception, NotValid)
    listed = CliRunner().invoke(app, ["list", str(folder.path)], catch_exceptions=False).stdout
    assert listed.count(" kept ") == 8


class Relay:
    """A provider whose answers are honest until a test spoils one of the records."""

    def __init__(self, target: str) -> None:
        relay = self
        self.spoil: Callable[[str, bytes], tuple[int, bytes] | None] = lambda path, content: None
        self.without_receipt = False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._forward(httpx.get(target + self.path.removeprefix("/v1"), timeout=60))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._forward(
                    httpx.post(
                        target + self.path.removeprefix("/v1"),
                        content=body,
                        timeout=60,
                        headers={"Content-Type": "application/json"},
                    )
                )

            def _forward(self, answer: httpx.Response) -> None:
                status, content = relay.spoil(self.path, answer.content) or (
                    answer.status_code,
                    answer.content,
                )
                self.send_response(status)
                for name in ("content-type", "x-gainsay-receipt"):
                    if name in answer.headers and not (relay.without_receipt and name.startswith("x-")):
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_the_client_refuses_what_does_not_hold_and_keeps_the_evidence(url: str, tmp_path: Path) -> None:
    relay, plain = Relay(url), {"model": "tiny", "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0}
    folder = ReceiptFolder(tmp_path / "kept")

    def spoilt(kind: str, change: Callable[[Any], Any]) -> Callable[[str, bytes], tuple[int, bytes] | None]:
        def spoil(path: str, content: bytes) -> tuple[int, bytes] | None:
            if f"/{kind}" not in path or path.endswith("completions") != (kind == "completions"):
                return None
            body = json.loads(content)
            return 200, json.dumps(change(body) or body).encode()

        return spoil

    raw: list[tuple[Callable[[str, bytes], tuple[int, bytes] | None], str]] = [
        (spoilt("completions", lambda body: body["choices"][0].update(text="a lie")), "signed ids decode to"),
        (spoilt("completions", lambda body: body.update(system_fingerprint="0x11")), "the answer says that model"),
        (spoilt("receipts", lambda body: body["receipt"].update(max_tokens=99)), "another key signed it"),
        (spoilt("receipts", lambda body: ["no receipt"]), "must be an object"),
        (spoilt("responses", lambda body: body.update(output_ids=[1])), "another answer"),
        (lambda path, _: (404, b"{}") if "/receipts/" in path else None, "answers 404"),
        (lambda path, _: (200, b"[" * 10**5) if "/receipts/" in path else None, "nests more than"),
        (lambda path, _: (200, b" " * (9 * 2**20)) if "/responses/" in path else None, "more than 8388608 bytes"),
        (lambda path, _: (302, b"") if "/receipts/" in path else None, "answers 302"),
    ]  # fmt: skip
    with Client(relay.url, receipts=folder.path, model="tiny", max_retries=0) as client:
        client.completions.create(**plain)
        for spoil, says in raw:
            relay.spoil = spoil
            with pytest.raises(ReceiptNotValidError, match=says):
                client.completions.create(**plain)
        relay.spoil, relay.without_receipt = lambda *_: None, True
        with pytest.raises(ReceiptNotValidError, match="no receipt came"):
            client.completions.create(**plain)
        relay.without_receipt = False
        relay.spoil = lambda path, content: (
            (200, content.replace(b"x_gainsay_receipt", b"x_other")) if "completions" in path else None
        )
        with pytest.raises(ReceiptNotValidError, match="no receipt came"):
            list(client.completions.create(**plain, stream=True))
        relay.spoil = spoilt("responses", lambda body: body.update(output_ids=[1]))
        seen = []
        with pytest.raises(ReceiptNotValidError, match="another answer"):
            for chunk in client.completions.create(**plain, stream=True):
                seen.append(chunk)
        assert seen and all(chunk.choices[0].finish_reason is None for chunk in seen)
    relay.close()
    states = [entry.state for entry in folder.entries()]
    assert states == ["kept"] + ["refused"] * (len(raw) + 3) and len(folder.receipts()) == 1
    refused = json.loads((folder.path / str(folder.entries()[1].file)).read_text())
    assert refused["answer"]["text"] == "a lie" and refused["signature"] and folder.entries()[1].problem


def test_a_folder_is_read_strictly(tmp_path: Path) -> None:
    folder = ReceiptFolder(tmp_path / "kept")
    for name in ("../../etc/passwd", "0x12", "0x" + 64 * "G"):
        with pytest.raises(BadInputError, match="no receipt id"):
            folder.read(name)
    with pytest.raises(NotFoundError):
        folder.read("0x" + 64 * "0")
    with pytest.raises(NotFoundError, match="no folder"):
        ReceiptFolder(tmp_path / "none", create=False)
    folder.keep("0x" + 64 * "0", {}, ["ids"], [])
    journal = folder.path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"at": 1')  # a kill in the middle of a line
    assert [entry.checked for entry in folder.entries()] == [["ids"]]
    journal.write_text('{"at": 1, "other": 2}\n')
    with pytest.raises(BadInputError, match="line 1"):
        folder.entries()


def test_without_openai_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(EnvironmentMissingError, match=r"gainsay\[client\]"):
        Client("http://127.0.0.1:1/v1", receipts=tmp_path)
