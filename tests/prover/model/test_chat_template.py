"""Chat templates: rendered as `transformers` renders them, and stopped whatever they do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from prover.model import chat_template
from prover.model.errors import ChatTemplateError, UnusableTemplateError
from prover.model.tiny import tiny_tokenizer
from prover.model.tokenizer import Tokenizer, usable_chat

MESSAGES = [
    {"role": "system", "content": "Be <brief> & «nice»."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yo ü"},
    {"role": "user", "content": " x\n"},
]

# What templates in use are written with; the right text is whatever the library renders.
TEMPLATES = [
    "{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
    "{% if tools is not none %}TOOLS{% endif %}{% if documents is none %}N{% endif %}{{ tools }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}",
    "{%- generation -%} {{ messages[1].content }} {%- endgeneration -%}",
    *(
        "{% for m in messages %}{{ m | tojson(" + arguments + ") }}{% endfor %}"
        for arguments in (
            "",
            "ensure_ascii=True",
            "ensure_ascii=False",
            "separators=(',', ':')",
            "sort_keys=True",
            "indent=2, sort_keys=True",
            "indent='\t'",
        )
    ),
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% if loop.index == 3 %}{% break %}{% endif %}{% endfor %}",
    "    {% if true %}\n  a\n    {% endif %}\n\t{{ bos_token }}{{ eos_token }}{{ pad_token }}|{% if unk_token is defined %}U{% endif %}",
    "{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content | length %}{% endfor %}{{ ns.n }}{{ ns.found }}",
    "{{ dict(a=1, **{'b': 2}) | tojson }}{{ dict.fromkeys('ab', 0) }}",
    "{% macro turn(m, name='x') %}<{{ name }}>{{ m.content }}{{ caller() if caller }}{% endmacro %}{{ turn(messages[0], name='y') }}",
    "{{ messages | map(attribute='role') | join(',') }}{{ messages[1:] | length }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ strftime_now('%Y')[:2] }}{{ 'a' is string }}{{ messages is iterable }}{{ none }}{{ messages[-1]['content'].split('x')[0] }}",
    "{{ messages[0].content.upper() }}{{ '%s-%d' % ('a', 3) }}{{ '{:>4}'.format(7) }}{{ undefined_name }}",
    "{{ messages[0].missing }}{{ messages[0].missing | default('d') }}{{ 7 // 2 }}{{ [1, 2] + [3] }}",
    # Refused by the library, so refused here.
    "{{ raise_exception('roles must alternate') }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(a=1) }}",
    "{{ ''.__class__.__mro__ }}",
    "{% set ns = namespace(_x=1) %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__class__ }}",
    "{% include 'x' %}",
    "{{ undefined_name.attribute }}",
    "{{ '{}{}'.format(1) }}",
    "{{ 1 / 0 }}",
    "{{ messages | sort(attribute='nothing.at.all') }}",
    "{% for %}",
    "{{ nofilter | nofilter }}",
]


def rendered(text: str) -> str:
    """By the model's tokenizer, whose special tokens it sees."""
    specification = replace(
        tiny_tokenizer().specification,
        chat_template=text,
        template_tokens=(("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<p>")),
    )
    return Tokenizer(specification).render_chat(MESSAGES)


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_means_what_it_means_to_the_library(text: str) -> None:
    try:
        (expected,), _ = render_jinja_template(
            [MESSAGES],
            chat_template=text,
            add_generation_prompt=True,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<p>",
        )
    except Exception:
        with pytest.raises(ChatTemplateError):
            rendered(text)
    else:
        assert rendered(text) == expected


def test_the_templates_own_words_are_passed_on() -> None:
    with pytest.raises(ChatTemplateError, match="Only user and assistant roles are supported!"):
        rendered("{{ raise_exception('Only user and assistant roles are supported!') }}")


HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "recurses": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recurses over itself": "{% for m in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "nests": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a long text": "{{ messages[0].content * 10**8 }}",
    "a longer text": "{% set x = 'a' * 10**9 %}{{ x }}",
    "a padded text": "{{ '%0999999999d' % 1 }}",
    "many texts": "{% set x = 'a' * 1000 %}{% for i in range(99999) %}{{ x }}{% endfor %}",
    "a wide range": "{% for i in range(10**9) %}{% endfor %}",
    "a number": "{{ 10 ** (messages[0].content | length * 10**8) }}",
    "a growing list": "{% set ns = namespace(x=['a']) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a deep list": "{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
    "a deep JSON": "{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
    "a slow filter": "{% for i in range(99999) %}{{ range(99999) | list | sort | length }}{% endfor %}",
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long if i % 2 else ()) for i, n in enumerate(HOSTILE)]
)
def test_no_template_takes_more_than_its_time_and_memory(name: str) -> None:
    start = time.process_time()
    with pytest.raises(ChatTemplateError):
        rendered(HOSTILE[name])
    assert time.process_time() - start < 1  # of this process: the work is done by one that can be ended
    assert rendered("{{ messages[1].content }}") == "hi"


def test_conversations_go_on_while_a_template_loops() -> None:
    ended: list[BaseException] = []

    def loop() -> None:
        try:
            rendered(HOSTILE["loops"])
        except ChatTemplateError as error:
            ended.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    assert [rendered("{{ messages[1].content }}") for _ in range(5)] == ["hi"] * 5
    assert not ended, "the short conversations waited for the looping one"
    thread.join(timeout=60)
    assert "longer than" in str(ended[0])


@pytest.fixture
def fresh_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    workers = chat_template._Workers()
    monkeypatch.setattr(chat_template, "_workers", workers)
    yield
    workers.close()


def test_a_worker_that_somebody_ended_is_replaced(fresh_workers: None) -> None:
    assert rendered("{{ messages[1].content }}") == "hi"
    (worker,) = chat_template._workers.idle
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    assert rendered("{{ messages[1].content }}") == "hi"


def test_more_conversations_than_workers_all_get_their_text(fresh_workers: None) -> None:
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(rendered("{{ messages[1].content }}")))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert texts == ["hi"] * 12
    assert len(chat_template._workers.idle) <= chat_template.MOST_WORKERS


@pytest.mark.parametrize(
    "text", ["{% for %}", "{% unheard_of %}", HOSTILE["recurses"], "{{ raise_exception('no') }}"]
)
def test_an_unusable_template_means_no_chat_and_a_note(text: str) -> None:
    specification = replace(tiny_tokenizer().specification, chat_template=text)
    tokenizer, notes = usable_chat(specification)
    assert tokenizer.specification.chat_template is None
    assert len(notes) == 1 and "no chat" in notes[0]
    with pytest.raises(ChatTemplateError, match="no chat template"):
        tokenizer.render_chat(MESSAGES)


def test_what_does_not_parse_is_told_from_what_refuses() -> None:
    with pytest.raises(UnusableTemplateError):
        rendered("{% for %}")
    with pytest.raises(ChatTemplateError) as caught:
        rendered("{{ raise_exception('no') }}")
    assert not isinstance(caught.value, UnusableTemplateError)
