"""Rotary positions as a config.json has them, in either of two forms, which must mean the same where both are there.

    newer   rope_parameters: {rope_theta, rope_type, factor, …}; in a Gemma 3 one such object per kind of layer
    older   rope_theta beside rope_scaling: {rope_type or type, factor, …}; in a Gemma 3 rope_local_base_freq as well

`transformers` lets rope_scaling win over rope_parameters, and rope_parameters.rope_theta over rope_theta; older loaders
read the older form alone. A file whose forms differ is another model to each of them, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import CheckpointError, Finding, MissingMetadataError, UnsupportedModelError
from .facts import is_number, linear_divisors, llama3_divisors, refuse_unless

GLOBAL_LAYERS, LOCAL_LAYERS = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Rotary:
    """A base, and the number that each pair's frequency is divided by."""

    base: float
    divisors: tuple[float, ...]


class RotarySettings:
    """The rotary settings of one config.json."""

    def __init__(
        self, facts: Mapping[str, Any], defaults: Mapping[str, Any], head_size: int, positions: int
    ) -> None:
        self.facts, self.defaults, self.head_size, self.positions = facts, defaults, head_size, positions
        self.newer, self.older = _object(facts, "rope_parameters"), _object(facts, "rope_scaling")

    def of_all_layers(self) -> Rotary:
        """Of a family whose layers all rotate alike. Raises CheckpointError and UnsupportedModelError."""
        nested = sorted({GLOBAL_LAYERS, LOCAL_LAYERS} & {*self.newer, *self.older})
        refuse_unless(
            not nested, "option", f"rotary settings by kind of layer ({', '.join(nested)})", "one for all"
        )
        return self._agreed(self.newer, self.older, "rope_parameters", "rope_theta")

    def of_global_layers(self) -> Rotary:
        """Of the layers that attend everywhere, where local ones rotate otherwise."""
        return self._agreed(
            self._nested(GLOBAL_LAYERS), self.older, f"rope_parameters.{GLOBAL_LAYERS}", "rope_theta"
        )

    def of_local_layers(self) -> Rotary:
        """Of the layers that attend to a window."""
        where = f"rope_parameters.{LOCAL_LAYERS}"
        return self._agreed(self._nested(LOCAL_LAYERS), {}, where, "rope_local_base_freq")

    def _nested(self, kind: str) -> Mapping[str, Any]:
        flat = sorted(set(self.newer) - {GLOBAL_LAYERS, LOCAL_LAYERS})
        refuse_unless(
            not flat, "option", f"rope_parameters with {', '.join(flat)}", "an object for each kind of layer"
        )
        return _object(self.newer, kind, "rope_parameters.")

    def _agreed(
        self, newer: Mapping[str, Any], older: Mapping[str, Any], where: str, base_name: str
    ) -> Rotary:
        for block, name in ((newer, where), (older, "rope_scaling")):
            if "rope_theta" in block and self.facts.get(base_name) is not None:
                inside, outside = _number(block, "rope_theta", name), _number(self.facts, base_name)
                if inside != outside:
                    raise CheckpointError(
                        f"config.json says {name}.rope_theta = {inside:g} and {base_name} = {outside:g}; "
                        f"leave out the one that the model was not trained with"
                    )
        meanings = [
            self._meaning(block, name, base_name)
            for block, name in ((older, "rope_scaling"), (newer, where))
            if block
        ]
        if len(meanings) == 2 and meanings[0] != meanings[1]:
            raise CheckpointError(
                f"config.json says {where} = {dict(newer)} and rope_scaling = {dict(older)}, which are different "
                f"models; leave out the one that the model was not trained with"
            )
        return meanings[0] if meanings else self._meaning({}, where, base_name)

    def _meaning(self, block: Mapping[str, Any], name: str, base_name: str) -> Rotary:
        if "rope_theta" in block:
            base = _number(block, "rope_theta", name)
        elif self.facts.get(base_name) is not None:
            base = _number(self.facts, base_name)
        else:
            base = float(self.defaults[base_name])
        part = block.get("partial_rotary_factor", 1)
        refuse_unless(
            part in (None, 1), "option", f"{name}.partial_rotary_factor = {part!r}", "a full rotation"
        )
        kind = block.get("rope_type", block.get("type", "default"))
        return Rotary(base, self._divisors(block, name, kind, base))

    def _divisors(self, block: Mapping[str, Any], name: str, kind: Any, base: float) -> tuple[float, ...]:
        if kind == "default":
            return ()
        if kind == "linear":
            return linear_divisors(_positive(block, "factor", name), self.head_size)
        if kind == "llama3":
            low, high = _number(block, "low_freq_factor", name), _number(block, "high_freq_factor", name)
            if not 0 < low < high:
                raise CheckpointError(
                    f"{name} of config.json has frequency factors {low:g} and {high:g}; they must rise"
                )
            if self.facts.get("original_max_position_embeddings") is not None:
                original = _positive(self.facts, "original_max_position_embeddings")
            elif "original_max_position_embeddings" in block:
                original = _positive(block, "original_max_position_embeddings", name)
            else:
                original = self.positions
            factor = _positive(block, "factor", name)
            return llama3_divisors(
                base, self.head_size, factor=factor, low=low, high=high, original=int(original)
            )
        raise UnsupportedModelError(
            [Finding("option", f"rotary scaling {kind!r}", "linear or llama3 scaling")]
        )


def _object(facts: Mapping[str, Any], name: str, path: str = "") -> Mapping[str, Any]:
    value = facts.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}{name} of config.json is {value!r}; it must be an object")
    return value


def _number(block: Mapping[str, Any], key: str, path: str = "") -> float:
    name = f"{path}.{key}" if path else key
    if key not in block:
        raise MissingMetadataError(name)
    value = block[key]
    if not is_number(value):
        raise CheckpointError(f"{name} of config.json is {value!r:.60}; it must be a number")
    return float(value)


def _positive(block: Mapping[str, Any], key: str, path: str = "") -> float:
    value = _number(block, key, path)
    if value <= 0:
        name = f"{path}.{key}" if path else key
        raise CheckpointError(f"{name} of config.json is {value}; it must be positive")
    return value
