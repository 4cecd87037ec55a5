"""The process that renders chat templates: a template is a program from a file, and only a process can be stopped.

Started by path, so that it imports nothing but Jinja. It reads one JSON object a line, {"template", "variables",
"seconds"}, and answers with one: {"text"} or {"error", "parses"}. Memory is limited for good, processor time anew
for every request; what the limits end, the parent sees as the end of the process.

The environment is that of `transformers` (`render_jinja_template`), to which templates are written: its extensions,
filters and functions, trimmed blocks, and its sandbox.
"""

from __future__ import annotations

import datetime
import json
import math
import resource
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MEMORY_BYTES = 1 << 29
LONGEST_TEXT = 1 << 24  # characters
DEEPEST_CALLS = 1000  # frames of Python: about 300 calls of a macro


class GenerationTag(Extension):
    """{% generation %} … {% endgeneration %} marks what an assistant wrote, for training; its body is rendered."""

    tags = {"generation"}  # noqa: RUF012 - as the base class declares it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return str(caller())


class PlainNamespace(Namespace):
    """A namespace without names that begin with an underscore."""

    def __init__(*arguments: Any, **attributes: Any) -> None:
        self, *rest = arguments  # so that a template can have an attribute called "self"
        content = dict(*rest, **attributes)
        for name in content:
            _refuse_private(name)
        Namespace.__init__(self, content)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        Namespace.__setitem__(self, name, value)


class PlainDict:
    """What templates call as `dict`, without the class behind it."""

    def __call__(self, *arguments: Any, **entries: Any) -> dict[Any, Any]:
        return dict(*arguments, **entries)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}; names must not begin with an underscore")


def _raise_exception(message: Any) -> NoReturn:
    raise TemplateError(str(message))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=8)
def compiled(template: str) -> Template:
    """The template in its environment. Raises whatever Jinja raises."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": lambda pattern: datetime.datetime.now().strftime(pattern),
        "dict": PlainDict(),
        "namespace": PlainNamespace,
    }
    return environment.from_string(template)


def answer(template: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The rendered text, or why there is none and whether the template is sound in itself."""
    parses = False
    try:
        program = compiled(template)
        parses = True
        pieces, length = [], 0
        for piece in program.generate(variables):
            length += len(piece)
            if length > LONGEST_TEXT:
                return {"error": f"it writes more than {LONGEST_TEXT} characters", "parses": True}
            pieces.append(piece)
        return {"text": "".join(pieces)}
    except TemplateSyntaxError as error:
        return {"error": f"{error.message} (line {error.lineno})", "parses": parses}
    except RecursionError:
        return {"error": "it calls itself without an end", "parses": parses}
    except MemoryError:
        return {"error": f"it needs more than {MEMORY_BYTES >> 20} MiB of memory", "parses": parses}
    except Exception as error:  # a template can raise whatever Python can
        return {"error": str(error) or type(error).__name__, "parses": parses}


def main() -> None:
    """Answer requests until there are no more."""
    sys.setrecursionlimit(DEEPEST_CALLS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        end = math.ceil(used.ru_utime + used.ru_stime + request["seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (end, hard))
        sys.stdout.buffer.write(
            json.dumps(answer(request["template"], request["variables"])).encode() + b"\n"
        )
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
