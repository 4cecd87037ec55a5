"""At import: every token and some texts are decoded by us and by the tokenizer's own library, and compared.

We decode from a table of bytes per token, so that text can be streamed; that this is what the library does has to be
seen, token by token, before anybody is served by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .errors import TokenizerError
from .token_models import NORMAL, UNUSED, described_encoder
from .tokenizer import Tokenizer

SAMPLES = (
    "Hello, world!",
    " leading and trailing ",
    "two  spaces,   three,\n\n  and lines\r\n\tand tabs",
    "naïve café — “quotes” …",
    "数字 1234567890 и слова",
    "def f(x):\n    return x ** 2  # 🙂",
)

_AT_ONCE = 10_000


def check_decoding(tokenizer: Tokenizer) -> None:
    """Compare with the library, for a tokenizer that came with its own description.

    Raises TokenizerError naming the first token or text that we would decode otherwise.
    """
    description = tokenizer.specification.description
    if description is None:
        return
    library = described_encoder(description)
    used = [i for i, kind in enumerate(tokenizer.specification.token_types) if kind != UNUSED]
    anchor = next((i for i in used if _plain(tokenizer, i)), used[0])
    for sequences in _blocks([[i] for i in used], [[anchor, i] for i in used]):
        expected = library.decode_batch(sequences, skip_special_tokens=False)
        for ids, text in zip(sequences, expected, strict=True):
            if (found := tokenizer.decode(ids, skip_special=False)) != text:
                token = tokenizer.specification.tokens[ids[-1]]
                place = "at the start of a text" if len(ids) == 1 else "inside a text"
                raise TokenizerError(
                    f"token {ids[-1]} ({token!r}) means {text!r} {place} for the tokenizer's library, but would be "
                    f"decoded as {found!r}; save the tokenizer with a decoder that is supported"
                )
    for sample in SAMPLES:
        ids = library.encode(sample, add_special_tokens=False).ids
        expected_text = library.decode(ids, skip_special_tokens=True)
        if (found := tokenizer.decode(ids)) != expected_text:
            raise TokenizerError(
                f"the text {sample!r} comes back as {expected_text!r} from the tokenizer's library, but as {found!r} "
                f"here; save the tokenizer with a decoder that is supported"
            )


def _plain(tokenizer: Tokenizer, index: int) -> bool:
    """Whether a token is a letter: behind it, another one is inside a text."""
    kind, content = tokenizer.specification.token_types[index], tokenizer.token_bytes(index)
    return kind == NORMAL and len(content) == 1 and content.isalpha()


def _blocks(*lists: Sequence[list[int]]) -> Iterator[Sequence[list[int]]]:
    for sequences in lists:
        for start in range(0, len(sequences), _AT_ONCE):
            yield sequences[start : start + _AT_ONCE]
