"""Text to ids and back, whole and streamed, and the chat template's sandbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prover.model.errors import ChatTemplateError, TokenizerError
from prover.model.tiny import tiny_tokenizer
from prover.model.token_models import byte_alphabet
from prover.model.tokenizer import Tokenizer, TokenizerSpecification

TEXTS = [
    "",
    "Hello, world!",
    "  leading and trailing  ",
    "line\nbreaks\r\n\ttabs",
    "naïve café — “quotes”",
    "数字 1234567890 и слова",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 flags 🇫🇷",
    "\x00\x01\x7f control",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def specification(tokenizer: Tokenizer) -> TokenizerSpecification:
    return tokenizer.specification


@pytest.mark.parametrize("text", TEXTS)
def test_decode_inverts_encode(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_streaming_yields_whole_characters_that_add_up(tokenizer: Tokenizer, text: str) -> None:
    stream = tokenizer.stream()
    pieces = [stream.push(index) for index in tokenizer.encode(text)]
    assert "�" not in "".join(pieces)
    assert "".join(pieces) + stream.flush() == text


def test_an_unfinished_character_is_replaced_at_the_end_as_in_decode(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("ok 🙂")[:-1]
    stream = tokenizer.stream()
    assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids) == "ok �"


def test_control_tokens_are_one_id_and_invisible(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a<|im_end|>b")
    assert ids == [ord("a"), 258, ord("b")]
    assert tokenizer.decode(ids) == "ab"
    assert tokenizer.decode(ids, skip_special=False) == "a<|im_end|>b"


def test_end_tokens_are_sorted_and_include_all_that_end_a_turn(tokenizer: Tokenizer) -> None:
    assert tokenizer.end_ids == (256, 258)


def test_merges_apply_and_digits_stay_apart() -> None:
    alphabet = byte_alphabet()
    tokens = (*(alphabet[byte] for byte in range(256)), "12", "th", "the", "Ġthe")
    merges = ("1 2", "t h", "th e", "Ġ the")
    digits = TokenizerSpecification(tokens, (1,) * len(tokens), merges, pre_tokenizer="smollm")
    assert Tokenizer(digits).encode("the the12") == [258, 259, ord("1"), ord("2")]
    assert Tokenizer(replace(digits, pre_tokenizer="gpt-2")).encode("the the12") == [258, 259, 256]


def test_unknown_ids_and_lone_surrogates_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="259"):
        tokenizer.decode([259])
    with pytest.raises(TokenizerError):
        tokenizer.encode("\ud800")


def test_a_conversation_is_rendered_by_the_template(tokenizer: Tokenizer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = tokenizer.render_chat(messages)
    assert (
        text
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer.encode_chat(messages)
    assert ids.count(257) == 3
    assert ids.count(258) == 2
    assert not tokenizer.render_chat(messages, add_generation_prompt=False).endswith("assistant\n")


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user"}], [{"role": "user", "content": None}], [{"role": 1, "content": "x"}]]
)
def test_malformed_conversations_are_refused(tokenizer: Tokenizer, messages: list[dict[str, object]]) -> None:
    with pytest.raises(ChatTemplateError):
        tokenizer.render_chat(messages)


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{% for %}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ 1 / 0 }}",
        "{% set _ = messages.append(1) %}",
    ],
)
def test_absent_broken_and_hostile_templates_are_typed_errors(
    specification: TokenizerSpecification, template: str | None
) -> None:
    changed = Tokenizer(replace(specification, chat_template=template))
    with pytest.raises(ChatTemplateError):
        changed.render_chat([{"role": "user", "content": "Hi"}])


def test_the_template_may_use_what_templates_use(specification: TokenizerSpecification) -> None:
    template = "{% for m in messages %}\n    {% if m.role %}\n{{ m | tojson }}{{ strftime_now('%Y')[:2] }}\n    {% endif %}\n{% endfor %}"
    text = Tokenizer(replace(specification, chat_template=template)).render_chat(
        [{"role": "user", "content": "é"}]
    )
    assert text == '{"role": "user", "content": "é"}20\n'


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": ("a", "a"), "token_types": (1, 1)},
        {"token_types": (1,)},
        {"eos_id": 259},
        {"merges": ("a",)},
        {"merges": ("a zz",)},
        {"pre_tokenizer": "unheard-of"},
        {"tokens": ("a", "b"), "token_types": (1, 1), "bos_id": None, "eos_id": None},
    ],
)
def test_parts_that_do_not_fit_are_refused(
    specification: TokenizerSpecification, change: dict[str, object]
) -> None:
    with pytest.raises(TokenizerError):
        Tokenizer(replace(specification, **change))


def test_the_digest_is_pinned_and_covers_everything(specification: TokenizerSpecification) -> None:
    digest = Tokenizer(specification).digest
    assert digest.hex() == "6c79f33702676c21fe79dab8bdade25473ffd35e952795885b75407dbce11e17"
    assert Tokenizer(TokenizerSpecification.from_json(specification.to_json())).digest == digest
    changes = [
        {"chat_template": "x"},
        {"pre_tokenizer": "gpt-2"},
        {"eos_id": 256},
        {"bos_id": None},
        {"add_bos": True},
    ]
    digests = {Tokenizer(replace(specification, **change)).digest for change in changes}
    assert len(digests | {digest}) == len(changes) + 1
