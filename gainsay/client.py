"""OpenAI's client that keeps receipts: every answer's receipt is fetched, verified and written down when the answer arrives.

    from gainsay.client import Client

    client = Client("http://127.0.0.1:8000/v1", receipts="receipts", model="tiny")
    answer = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hello"}])
    print(answer.choices[0].message.content, answer.x_gainsay_receipt)

`chat.completions.create` and `completions.create` take and give what the `openai` package takes and gives, streams included;
`AsyncClient` is the same with `await`. An answer whose receipt is missing or does not hold raises ReceiptNotValidError, after
what came was written to the folder. `client.openai` is the plain client: what is asked through it keeps no receipt.

What is verified is in `node.receipt_offline`; without `model` (for its tokenizer) the text is not, and the journal says so.
Whether the provider's key is registered, and what became of the answer, the chain says: `gainsay receipt check | status FILE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from node.errors import ReceiptNotValidError
from node.receipt_folder import ReceiptFolder, ReceiptFolderError
from node.receipt_offline import NOTHING_KNOWN, Expected, Tokenizing, verify_offline
from prover.errors import BadInputError, EnvironmentMissingError, GainsayError
from prover.foreign_json import read_json

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["AsyncClient", "Client", "ReceiptFolder", "ReceiptFolderError", "ReceiptNotValidError"]

RECEIPT_HEADER = "x-gainsay-receipt"
RECEIPT_FIELD = "x_gainsay_receipt"
_LARGEST_BODY = 8 * 2**20
_LONGEST_ID = 200
_FETCH_S = 30.0


@dataclass
class _Part:
    """One choice of an answer: its text so far, and the receipt that came with it."""

    text: str = ""
    receipt: str | None = None


@dataclass
class _Answer:
    """What a provider said to one request."""

    request: Mapping[str, Any]
    system_fingerprint: str | None = None
    parts: dict[int, _Part] = field(default_factory=dict)

    def part(self, index: int) -> _Part:
        return self.parts.setdefault(index, _Part())


class ReceiptKeeper:
    """Fetches, verifies and writes down the receipts of one provider's answers. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        folder: ReceiptFolder,
        expected: Expected = NOTHING_KNOWN,
        tokenizing: Tokenizing | None = None,
        api_key: str | None = None,
    ) -> None:
        """`url`: base URL of the provider's API (…/v1)."""
        self._url, self.folder, self._expected, self._tokenizing = (
            url.rstrip("/"),
            folder,
            expected,
            tokenizing,
        )
        headers = {"Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx.Client(headers=headers, timeout=_FETCH_S, follow_redirects=False, trust_env=False)

    def keep(self, answer: _Answer, index: int) -> str:
        """Verify and keep the receipt of one choice; its id. What does not hold is written down, too.

        Raises ReceiptNotValidError and ReceiptFolderError.
        """
        part = answer.part(index)
        shown = {"text": part.text, "system_fingerprint": answer.system_fingerprint, "index": index}
        request = {
            name: answer.request[name] for name in _KEPT_OF_REQUEST if answer.request.get(name) is not None
        }
        content: dict[str, Any] = {
            "answer": shown,
            "request": request,
            "url": self._url,
            "kept_at": int(time.time()),
        }
        try:
            if part.receipt is None:
                raise ReceiptNotValidError(
                    "no receipt came with the answer: nothing was promised, and nothing can be claimed"
                )
            body, ids = self._fetch("receipts", part.receipt), self._fetch("responses", part.receipt)
            if not isinstance(body, dict):
                raise BadInputError("the receipt must be an object")
            content = body | content | {"response": ids}
            found = verify_offline(body, self._expected_of(answer, part), ids, self._tokenizing)
            identity = "0x" + found.receipt_id.hex()
            if part.receipt.lower() != identity:
                raise ReceiptNotValidError(
                    f"the answer names the receipt {part.receipt[:80]!r}, and {identity} was given out"
                )
        except (GainsayError, httpx.HTTPError, httpx.InvalidURL) as error:
            problem = " ".join(str(error).split())[:1000] or type(error).__name__
            file = self.folder.refuse(problem, content)
            raise ReceiptNotValidError(f"{problem} (what came is in {file})") from error
        self.folder.keep(identity, content, found.checked, found.unchecked)
        return identity

    def refresh(self, receipt_id: str) -> dict[str, Any]:
        """Get a kept receipt again, for its path once its batch is sealed. Raises ReceiptNotValidError for another one."""
        kept = self.folder.read(receipt_id)
        body = self._fetch("receipts", receipt_id)
        if not isinstance(body, dict) or (body.get("receipt"), body.get("signature")) != (
            kept.get("receipt"),
            kept.get("signature"),
        ):
            raise ReceiptNotValidError(
                "the provider gives another receipt now than then; the kept one counts"
            )
        verify_offline(body, self._expected)
        self.folder.replace(receipt_id, kept | body)
        return kept | body

    def close(self) -> None:
        self._http.close()

    def _expected_of(self, answer: _Answer, part: _Part) -> Expected:
        request = answer.request
        stop = request.get("stop") or ()
        most = request.get("max_completion_tokens") or request.get("max_tokens")
        return replace(
            self._expected,
            text=part.text,
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            prompt_ids=None if self._tokenizing is None else self._tokenizing.prompt_ids(request),
            most_tokens=most if isinstance(most, int) else None,
            named_model_id=answer.system_fingerprint,
        )

    def _fetch(self, kind: str, key: str) -> Any:
        """The JSON of a record, within a bound of bytes. Raises BadInputError and httpx's errors."""
        if len(key) > _LONGEST_ID or not key.isascii() or not key.replace("-", "").replace("_", "").isalnum():
            raise BadInputError(f"{key[:80]!r} is no name of a receipt")  # it becomes part of a URL
        content, until = bytearray(), time.monotonic() + _FETCH_S
        with self._http.stream("GET", f"{self._url}/{kind}/{key}") as reply:
            if reply.status_code != 200:
                raise ReceiptNotValidError(
                    f"the provider answers {reply.status_code} when asked for its {kind[:-1]} {key[:80]}"
                )
            for block in reply.iter_raw():
                content += block
                if len(content) > _LARGEST_BODY or time.monotonic() > until:
                    raise BadInputError(
                        f"the provider's {kind[:-1]} has more than {_LARGEST_BODY} bytes, or takes longer than {_FETCH_S:.0f} s"
                    )
        return read_json(bytes(content), what=f"the provider's {kind[:-1]}")


#: What of a request is needed to verify its answer again.
_KEPT_OF_REQUEST = (
    "model",
    "prompt",
    "messages",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "temperature",
)


class _Resource:
    """`create` of one of the two kinds of completions."""

    def __init__(self, raw: Any, keeper: ReceiptKeeper) -> None:
        self._raw, self._keeper = raw, keeper

    def create(self, **request: Any) -> Any:
        """As in the `openai` package; the object has `x_gainsay_receipt`. Raises ReceiptNotValidError, too."""
        raw = self._raw.create(**request)
        if request.get("stream"):
            return ReceiptStream(raw.parse(), _Answer(request), self._keeper)
        parsed = raw.parse()
        return _kept(
            parsed, [self._keeper.keep(answer, i) for answer, i in _choices(parsed, raw.headers, request)]
        )


class _AsyncResource:
    """The same, awaited; receipts are verified in a thread."""

    def __init__(self, raw: Any, keeper: ReceiptKeeper) -> None:
        self._raw, self._keeper = raw, keeper

    async def create(self, **request: Any) -> Any:
        raw = await self._raw.create(**request)
        parsed = raw.parse()
        if asyncio.iscoroutine(parsed):
            parsed = await parsed
        if request.get("stream"):
            return AsyncReceiptStream(parsed, _Answer(request), self._keeper)
        kept = [
            await asyncio.to_thread(self._keeper.keep, answer, i)
            for answer, i in _choices(parsed, raw.headers, request)
        ]
        return _kept(parsed, kept)


def _choices(
    parsed: Any, headers: Mapping[str, str], request: Mapping[str, Any]
) -> list[tuple[_Answer, int]]:
    """Every choice of a whole answer, with the receipt that the header names for it."""
    answer = _Answer(request, getattr(parsed, "system_fingerprint", None))
    named = [each.strip() for each in headers.get(RECEIPT_HEADER, "").split(",") if each.strip()]
    for place, choice in enumerate(parsed.choices or ()):
        part = answer.part(place)
        part.text = _text(getattr(choice, "message", None)) or getattr(choice, "text", None) or ""
        part.receipt = named[place] if place < len(named) else None
    if not answer.parts:
        answer.part(0)  # an answer without choices has no receipt either
    return [(answer, place) for place in answer.parts]


def _text(message: Any) -> str:
    return (getattr(message, "content", None) or "") if message is not None else ""


def _kept(parsed: Any, identities: list[str]) -> Any:
    """OpenAI's models take further attributes, as those of a stream's last chunk."""
    setattr(parsed, RECEIPT_FIELD, ",".join(identities))
    return parsed


class _Collecting:
    """What a stream said so far."""

    def __init__(self, stream: Any, answer: _Answer, keeper: ReceiptKeeper) -> None:
        self._stream, self._answer, self._keeper = stream, answer, keeper
        self._kept: set[int] = set()

    def _take(self, chunk: Any) -> list[int]:
        """Add a chunk; the choices whose receipt is in it and not kept yet."""
        self._answer.system_fingerprint = (
            getattr(chunk, "system_fingerprint", None) or self._answer.system_fingerprint
        )
        named, due = getattr(chunk, RECEIPT_FIELD, None), []
        for choice in chunk.choices or ():
            part = self._answer.part(choice.index)
            part.text += _text(getattr(choice, "delta", None)) or getattr(choice, "text", None) or ""
            if isinstance(named, str) and choice.index not in self._kept:
                part.receipt = named
                self._kept.add(choice.index)
                due.append(choice.index)
        return due

    def _left(self) -> list[int]:
        """Choices that ended without a receipt."""
        self._answer.part(0)
        return [index for index in self._answer.parts if index not in self._kept]


class ReceiptStream(_Collecting):
    """OpenAI's stream; the chunk with the receipt is handed on only when the receipt is verified and kept.

    Iterating raises ReceiptNotValidError where the answer ends without a receipt that holds. Who stops before the end gets
    none: such an answer is not committed.
    """

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._stream:
            for index in self._take(chunk):
                self._keeper.keep(self._answer, index)
            yield chunk
        for index in self._left():
            self._keeper.keep(self._answer, index)

    def __enter__(self) -> ReceiptStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()


class AsyncReceiptStream(_Collecting):
    """The same for `async for`."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for chunk in self._stream:
            for index in self._take(chunk):
                await asyncio.to_thread(self._keeper.keep, self._answer, index)
            yield chunk
        for index in self._left():
            await asyncio.to_thread(self._keeper.keep, self._answer, index)

    async def __aenter__(self) -> AsyncReceiptStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        with contextlib.suppress(AttributeError):
            await self._stream.close()


@dataclass(frozen=True)
class _Chat:
    completions: Any


class Client:
    """Answers with receipts from one provider."""

    openai: OpenAI

    def __init__(
        self,
        url: str,
        *,
        receipts: Path | str = "receipts",
        model: str | None = None,
        deployment: Path | str | None = None,
        provider: str | None = None,
        model_id: str | None = None,
        payer: str | None = None,
        api_key: str = "none",
        **options: Any,
    ) -> None:
        """url: base URL of the API (…/v1). receipts: the folder that keeps them.

        model: a model on this machine, whose tokenizer checks that text and ids are the same. deployment: JSON file with the
        contracts' addresses that receipts must be for. provider, model_id, payer: what every receipt must name.
        options: those of `openai.OpenAI`. Raises EnvironmentMissingError without the `openai` package, and what reading
        the model and the deployment raise.
        """
        self.keeper = _keeper(url, receipts, model, deployment, provider, model_id, payer, api_key)
        self.openai = _openai().OpenAI(base_url=url, api_key=api_key, **options)
        self.receipts = self.keeper.folder
        self.chat = _Chat(_Resource(self.openai.chat.completions.with_raw_response, self.keeper))
        self.completions = _Resource(self.openai.completions.with_raw_response, self.keeper)
        self.models = self.openai.models

    def refresh(self, receipt_id: str) -> dict[str, Any]:
        """Get a kept receipt again for its path, which `gainsay receipt status` needs."""
        return self.keeper.refresh(receipt_id)

    def close(self) -> None:
        self.keeper.close()
        self.openai.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio: `await client.chat.completions.create(…)`, `async for` over streams."""

    openai: AsyncOpenAI

    def __init__(
        self,
        url: str,
        *,
        receipts: Path | str = "receipts",
        model: str | None = None,
        deployment: Path | str | None = None,
        provider: str | None = None,
        model_id: str | None = None,
        payer: str | None = None,
        api_key: str = "none",
        **options: Any,
    ) -> None:
        """As `Client`."""
        self.keeper = _keeper(url, receipts, model, deployment, provider, model_id, payer, api_key)
        self.openai = _openai().AsyncOpenAI(base_url=url, api_key=api_key, **options)
        self.receipts = self.keeper.folder
        self.chat = _Chat(_AsyncResource(self.openai.chat.completions.with_raw_response, self.keeper))
        self.completions = _AsyncResource(self.openai.completions.with_raw_response, self.keeper)
        self.models = self.openai.models

    async def refresh(self, receipt_id: str) -> dict[str, Any]:
        """Get a kept receipt again for its path, which `gainsay receipt status` needs."""
        return await asyncio.to_thread(self.keeper.refresh, receipt_id)

    async def close(self) -> None:
        self.keeper.close()
        await self.openai.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _openai() -> Any:
    try:
        import openai
    except ModuleNotFoundError as error:
        raise EnvironmentMissingError(
            "gainsay.client wraps the Python package `openai`, which is not installed; run `pip install 'gainsay[client]'`"
        ) from error
    return openai


def _keeper(
    url: str,
    receipts: Path | str,
    model: str | None,
    deployment: Path | str | None,
    provider: str | None,
    model_id: str | None,
    payer: str | None,
    api_key: str,
) -> ReceiptKeeper:
    from node.keys import checksum
    from node.receipt_cli import tokenizing

    _openai()  # before anything is loaded
    known: dict[str, Any] = {}
    if deployment is not None:
        from contracts.bindings.deployment import Deployment

        record = Deployment.load(Path(deployment))
        known = {"chain_id": record.chain_id, "receipts": record.receipts, "ledger": record.ledger}
    expected = Expected(
        **known,
        provider=None if provider is None else checksum(provider),
        payer=None if payer is None else checksum(payer),
        model_id=None if model_id is None else bytes.fromhex(model_id.removeprefix("0x")),
    )
    text_of = None if model is None else tokenizing(model)
    return ReceiptKeeper(url, ReceiptFolder(receipts), expected, text_of, api_key)
