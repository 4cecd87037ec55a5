"""The turns of a chat, as a chat template takes them.

What a server sends, it must take back: an answer's message, with every field that OpenAI's clients keep, is a turn of
the next request. So null means absent, fields that no template reads are passed over, and whatever a template cannot say
becomes text:

    turn                                     where the template knows tools     elsewhere
    assistant with tool_calls                its tool_calls, arguments parsed   its text, then one JSON object per call and line
    tool (or the older function)             role "tool"                        role "user"
    developer                                role "system"                      role "system"

Refused, by its real path, is what would be lost silently: parts that are no text, fields with a meaning that nobody reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .problems import ApiProblem

_ROLES = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "function": "tool",
}  # fmt: skip
# Part type -> the field that holds its text.
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_READ = frozenset({"role", "content", "refusal", "tool_calls", "function_call"})
# What clients keep beside the text: names, thoughts, places of citations, instructions to a cache.
_PASSED_OVER = frozenset(
    {
        "id", "name", "tool_call_id", "annotations", "cache_control", "reasoning", "reasoning_content",
        "thinking_blocks", "provider_specific_fields", "status", "type", "prefix",
    }
)  # fmt: skip
_PASSED_OVER_IN_PARTS = frozenset({"type", "cache_control", "annotations", "logprobs"})


def conversation(messages: Sequence[object], template: str | None) -> list[dict[str, Any]]:
    """{"role", "content", and "tool_calls" where `template` reads them} of every turn. Raises ApiProblem (400)."""
    knows_tool_turns = template is not None and re.search(r"""['"]tool['"]""", template) is not None
    knows_tool_calls = template is not None and "tool_calls" in template
    turns = []
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        fields = _fields(message, path)
        _refuse_unread(fields, _READ | _PASSED_OVER, path)
        role = _role(fields.get("role"), path)
        text, calls = _text(fields, path), _tool_calls(fields, path)
        turn: dict[str, Any] = {"role": role, "content": text}
        if role == "tool" and not knows_tool_turns:
            turn["role"] = "user"
        if calls and knows_tool_calls:
            turn["tool_calls"] = calls
        elif calls:
            written = (json.dumps(call["function"], ensure_ascii=False) for call in calls)
            turn["content"] = "\n".join([*([text] if text else []), *written])
        turns.append(turn)
    return turns


def _fields(value: object, path: str) -> dict[str, Any]:
    """The fields of an object that say something."""
    if not isinstance(value, Mapping):
        raise _wrong(path, "an object is needed here")
    return {name: field for name, field in value.items() if field is not None}


def _role(role: object, path: str) -> str:
    if not isinstance(role, str) or role not in _ROLES:
        raise _wrong(f"{path}.role", f"the role is one of {', '.join(_ROLES)}, not {role!r}")
    return _ROLES[role]


def _text(fields: Mapping[str, Any], path: str) -> str:
    content = fields.get("content", fields.get("refusal", ""))
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping) or not isinstance(content, Sequence):
        raise _wrong(f"{path}.content", "the content is a text or a list of parts")
    return "".join(_part(part, f"{path}.content.{place}") for place, part in enumerate(content))


def _part(part: object, path: str) -> str:
    if isinstance(part, str):
        return part
    fields = _fields(part, path)
    kind = fields.get("type")
    field = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if field is None:
        raise _wrong(path, f"this model reads text only, not a part of type {kind!r}")
    _refuse_unread(fields, _PASSED_OVER_IN_PARTS | {field}, path)
    if not isinstance(fields.get(field), str):
        raise _wrong(f"{path}.{field}", "a text is needed here")
    return str(fields[field])


def _tool_calls(fields: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
    """[{"type": "function", "function": {"name", "arguments"}}], arguments as an object where they are one."""
    calls = fields.get("tool_calls", [])
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise _wrong(f"{path}.tool_calls", "a list is needed here")
    functions = []
    for place, call in enumerate(calls):
        inner = f"{path}.tool_calls.{place}"
        function = _fields(call, inner).get("function")
        functions.append((_fields(function, f"{inner}.function"), f"{inner}.function"))
    if "function_call" in fields:
        functions.append((_fields(fields["function_call"], f"{path}.function_call"), f"{path}.function_call"))
    return [{"type": "function", "function": _function(function, inner)} for function, inner in functions]


def _function(function: Mapping[str, Any], path: str) -> dict[str, Any]:
    name, arguments = function.get("name"), function.get("arguments", "")
    if not isinstance(name, str):
        raise _wrong(f"{path}.name", "a text is needed here")
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments) if arguments else {}
        except (ValueError, RecursionError):
            parsed = None  # models write arguments that are no JSON; they are what they are
        arguments = parsed if isinstance(parsed, dict) else arguments
    if not isinstance(arguments, str | dict):
        raise _wrong(f"{path}.arguments", "the arguments are JSON in a text")
    return {"name": name, "arguments": arguments}


def _refuse_unread(fields: Mapping[str, Any], read: frozenset[str], path: str) -> None:
    for name, value in fields.items():
        if name not in read and value not in ([], {}, ""):
            raise _wrong(f"{path}.{name}", f"this provider does not read the field {name!r}; leave it out")


def _wrong(path: str, why: str) -> ApiProblem:
    return ApiProblem(400, "invalid_request", f"{path}: {why}", param=path)
