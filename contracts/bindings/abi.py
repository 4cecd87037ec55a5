"""Between Python dataclasses and ABI bytes, driven by the compiled ABI."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak
from eth_utils.address import to_checksum_address

from .compiler import Artifact
from .errors import BindingsMismatch, ContractError

Entry = dict[str, Any]
_PANICS = {
    0x01: "an assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "a value outside its enum",
    0x32: "array index out of range",
    0x41: "too much memory asked for",
}


def snake_case(name: str) -> str:
    """camelCase -> snake_case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match.group(1), name).lower()


def type_string(parameter: Entry) -> str:
    """The canonical type, tuples expanded: `(address,uint256)[]`."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(type_string(component) for component in parameter["components"])
    return f"({inner}){kind[len('tuple') :]}"


def signature(entry: Entry) -> str:
    return f"{entry['name']}({','.join(type_string(parameter) for parameter in entry['inputs'])})"


class Interface:
    """Functions, events and errors of one contract."""

    def __init__(self, artifact: Artifact) -> None:
        self.name = artifact.name
        self.functions = {entry["name"]: entry for entry in artifact.abi if entry["type"] == "function"}
        self.events = {entry["name"]: entry for entry in artifact.abi if entry["type"] == "event"}
        self.constructor = next((entry for entry in artifact.abi if entry["type"] == "constructor"), None)
        self.topics = {name: keccak(signature(entry).encode()) for name, entry in self.events.items()}

    def encode_call(self, function: str, arguments: Sequence[object]) -> bytes:
        entry = self._function(function)
        return keccak(signature(entry).encode())[:4] + encode_values(entry["inputs"], arguments)

    def decode_result(self, function: str, data: bytes, record: type | None = None) -> Any:
        """The result, a struct as `record`; several results as a tuple."""
        outputs = self._function(function)["outputs"]
        values = decode_values(outputs, data)
        if len(values) == 1:
            return from_abi(values[0], outputs[0], record)
        return tuple(from_abi(value, output) for value, output in zip(values, outputs, strict=True))

    def decode_event(self, name: str, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """Event arguments by Solidity name; indexed values of dynamic type stay hashes."""
        entry = self.events[name]
        indexed = [parameter for parameter in entry["inputs"] if parameter["indexed"]]
        plain = [parameter for parameter in entry["inputs"] if not parameter["indexed"]]
        values = {
            parameter["name"]: from_abi(decode([type_string(parameter)], topic)[0], parameter)
            for parameter, topic in zip(indexed, topics[1:], strict=True)
        }
        for parameter, value in zip(plain, decode_values(plain, data), strict=True):
            values[parameter["name"]] = from_abi(value, parameter)
        return values

    def encode_constructor(self, arguments: Sequence[object]) -> bytes:
        return encode_values(self.constructor["inputs"] if self.constructor else [], arguments)

    def _function(self, name: str) -> Entry:
        if name not in self.functions:
            raise BindingsMismatch(f"{self.name} has no function {name}; rebuild the contracts.")
        return self.functions[name]


def encode_values(parameters: Sequence[Entry], values: Sequence[object]) -> bytes:
    if len(parameters) != len(values):
        raise BindingsMismatch(f"{len(values)} values were given for {len(parameters)} parameters.")
    types = [type_string(parameter) for parameter in parameters]
    try:
        return encode(types, [to_abi(v, p) for v, p in zip(values, parameters, strict=True)])
    except EncodingError as error:
        raise BindingsMismatch(f"Values do not fit {', '.join(types)}: {error}") from error


def decode_values(parameters: Sequence[Entry], data: bytes) -> tuple[Any, ...]:
    types = [type_string(parameter) for parameter in parameters]
    try:
        return tuple(decode(types, data))
    except DecodingError as error:
        raise BindingsMismatch(
            f"The answer is not {', '.join(types)}: {error}; is the contract deployed at this address?"
        ) from error


def to_abi(value: Any, parameter: Entry) -> Any:
    """A dataclass becomes the tuple of the struct's fields, found by name."""
    kind: str = parameter["type"]
    if kind.endswith("]"):
        element = {**parameter, "type": kind[: kind.rindex("[")]}
        return [to_abi(item, element) for item in value]
    if kind == "tuple" and is_dataclass(value):
        names = [snake_case(component["name"]) for component in parameter["components"]]
        if missing := [name for name in names if not hasattr(value, name)]:
            raise BindingsMismatch(f"{type(value).__name__} lacks {', '.join(missing)}.")
        return tuple(
            to_abi(getattr(value, name), component)
            for name, component in zip(names, parameter["components"], strict=True)
        )
    return int(value) if isinstance(value, IntEnum) else value


def from_abi(value: Any, parameter: Entry, record: type | None = None) -> Any:
    """Addresses get their checksum, lists become tuples, structs become `record` (or a dict)."""
    kind: str = parameter["type"]
    if kind.endswith("]"):
        element = {**parameter, "type": kind[: kind.rindex("[")]}
        return tuple(from_abi(item, element, record) for item in value)
    if kind == "address":
        return to_checksum_address(value)
    if kind == "tuple":
        named = {
            component["name"]: from_abi(item, component)
            for component, item in zip(parameter["components"], value, strict=True)
        }
        return build_record(record, named) if record else named
    return value


def build_record(record: type, named: Mapping[str, Any]) -> Any:
    """A dataclass from Solidity names; enums, nested records and tuples of them by the field's type hint."""
    hints = typing.get_type_hints(record)
    values = {snake_case(name): value for name, value in named.items()}
    arguments = {}
    for field in fields(record):
        if not field.init or field.kw_only:
            continue
        if field.name not in values:
            raise BindingsMismatch(f"{record.__name__}.{field.name} is not in the contract's answer.")
        value, hint = values[field.name], hints[field.name]
        if isinstance(hint, type) and issubclass(hint, IntEnum):
            value = hint(value)
        elif is_dataclass(hint) and isinstance(value, dict):
            value = build_record(hint, value)  # type: ignore[arg-type]
        elif isinstance(value, tuple) and is_dataclass(element := _element(hint)):
            value = tuple(build_record(element, item) for item in value)  # type: ignore[arg-type]
        arguments[field.name] = value
    return record(**arguments)


def _element(hint: Any) -> Any:
    """What a tuple of any length holds."""
    arguments = typing.get_args(hint)
    return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None


class ErrorDecoder:
    """From revert data to a `ContractError`, over the custom errors of many contracts."""

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self._known: dict[bytes, tuple[Entry, str]] = {}
        for artifact in artifacts:
            for entry in artifact.abi:
                if entry["type"] != "error":
                    continue
                text = signature(entry)
                selector = keccak(text.encode())[:4]
                notice = artifact.error_notices.get(text, "")
                if notice or selector not in self._known:
                    self._known[selector] = (entry, notice)

    def decode(self, data: bytes, call: str = "") -> ContractError:
        selector, body = data[:4], data[4:]
        if selector in self._known:
            entry, notice = self._known[selector]
            values = decode_values(entry["inputs"], body)
            arguments = {
                parameter["name"]: from_abi(value, parameter)
                for parameter, value in zip(entry["inputs"], values, strict=True)
            }
            return ContractError(entry["name"], arguments, notice, call)
        if selector == keccak(b"Error(string)")[:4]:
            return ContractError("Error", {}, decode(["string"], body)[0], call)
        if selector == keccak(b"Panic(uint256)")[:4]:
            code = decode(["uint256"], body)[0]
            return ContractError("Panic", {"code": code}, _PANICS.get(code, "an internal error"), call)
        shown = "0x" + data.hex()
        return ContractError("Reverted", {"data": shown}, "the contract gave no known reason", call)
