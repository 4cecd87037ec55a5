"""Rotary positions as a config.json has them, in either of two forms, which must mean the same where both are there.

    newer   rope_parameters: {rope_theta, rope_type, factor, …}; in a Gemma 3 one such object per kind of layer
    older   rope_theta beside rope_scaling: {rope_type or type, factor, …}; in a Gemma 3 rope_local_base_freq as well

`transformers` lets rope_scaling win over rope_parameters, and rope_parameters.rope_theta over rope_theta; older loaders
read the older form alone. A file whose forms differ is another model to each of them, so it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import CheckpointError, Finding, MissingMetadataError, UnsupportedModelError
from .facts import (
    float32,
    is_number,
    linear_divisors,
    llama3_divisors,
    refuse_unless,
    stored_divisors,
    yarn_divisors,
    yarn_factor,
)

GLOBAL_LAYERS, LOCAL_LAYERS = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class Rotary:
    """A base, and the number that each pair's frequency is divided by.

    rotated: channels of a head that turn. factor: what they are multiplied with. longest: the longest sequence for
    which this is so, where a longer one would be rotated otherwise.
    """

    base: float
    divisors: tuple[float, ...]
    rotated: int
    factor: float = 1.0
    longest: int | None = None


class RotarySettings:
    """The rotary settings of one config.json.

    partial: whether the family knows heads of which only the first channels turn. kinds: scalings that it knows under
    other names, and no others beside the default; by default all under their own.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        defaults: Mapping[str, Any],
        head_size: int,
        positions: int,
        *,
        partial: bool = False,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self.facts, self.defaults, self.head_size, self.positions = facts, defaults, head_size, positions
        self.partial, self.kinds = partial, kinds
        self.newer, self.older = _object(facts, "rope_parameters"), _object(facts, "rope_scaling")

    def of_all_layers(self) -> Rotary:
        """Of a family whose layers all rotate alike. Raises CheckpointError and UnsupportedModelError."""
        nested = sorted({GLOBAL_LAYERS, LOCAL_LAYERS} & {*self.newer, *self.older})
        refuse_unless(
            not nested, "option", f"rotary settings by kind of layer ({', '.join(nested)})", "one for all"
        )
        return self._agreed(self.newer, self.older, "rope_parameters", "rope_theta")

    def score_factor(self) -> float:
        """What latent attention multiplies scores with beside 1 / sqrt(size): YaRN's factor of all channels, squared.

        Both forms of the settings say the same, where both are there (`of_all_layers`).
        """
        block, name = (self.older, "rope_scaling") if self.older else (self.newer, "rope_parameters")
        weight = _or_none(block, "mscale_all_dim", name)
        if block.get("rope_type", block.get("type", "default")) == "default" or not weight:
            return 1.0
        return float32(yarn_factor(_positive(block, "factor", name), weight) ** 2)

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
        kind: Any = block.get("rope_type", block.get("type", "default"))
        if self.kinds is not None and kind != "default":
            refuse_unless(
                isinstance(kind, str) and kind in self.kinds,
                "option",
                f"rotary scaling {kind!r}",
                f"what this family has: {', '.join(sorted(self.kinds))}",
            )
            kind = self.kinds[kind]
        return self._scaled(block, name, kind, base, self._rotated(block, name))

    def _rotated(self, block: Mapping[str, Any], name: str) -> int:
        """Channels of a head that turn."""
        parts = {
            f"{path}partial_rotary_factor": source["partial_rotary_factor"]
            for source, path in ((block, f"{name}."), (self.facts, ""))
            if source.get("partial_rotary_factor") is not None
        }
        if any(part != next(iter(parts.values())) for part in parts.values()):
            raise CheckpointError(f"config.json says {parts}, which is the same setting; leave one out")
        setting, part = next(iter(parts.items()), ("partial_rotary_factor", 1))
        refuse_unless(self.partial or part == 1, "option", f"{setting} = {part!r}", "a full rotation")
        if not is_number(part) or not 0 < part <= 1:
            raise CheckpointError(f"{setting} of config.json is {part!r:.60}; it must be in (0, 1]")
        rotated = int(self.head_size * part)
        refuse_unless(
            (rotated > 0 and rotated % 2 == 0) or part == 1,
            "option",
            f"{setting} = {part!r}, {rotated} channels of {self.head_size}",
            "an even number of channels that turn",
        )
        return rotated

    def _scaled(self, block: Mapping[str, Any], name: str, kind: Any, base: float, rotated: int) -> Rotary:
        if kind == "default":
            return Rotary(base, (), rotated)
        if kind == "linear":
            return Rotary(base, linear_divisors(_positive(block, "factor", name), rotated), rotated)
        if kind == "dynamic":
            # The base grows with the sequence beyond max_position_embeddings, where no sequence is served.
            _positive(block, "factor", name)
            return Rotary(base, (), rotated)
        if kind == "llama3":
            low, high = _number(block, "low_freq_factor", name), _number(block, "high_freq_factor", name)
            if not 0 < low < high:
                raise CheckpointError(
                    f"{name} of config.json has frequency factors {low:g} and {high:g}; they must rise"
                )
            original = self._original(block, name)
            factor = _positive(block, "factor", name)
            divisors = llama3_divisors(
                base, rotated, factor=factor, low=low, high=high, original=int(original)
            )
            return Rotary(base, divisors, rotated)
        if kind == "yarn":
            return self._yarn(block, name, base, rotated)
        if kind == "longrope":
            return self._longrope(block, name, base, rotated)
        known = "linear, dynamic, llama3, yarn or longrope scaling"
        raise UnsupportedModelError([Finding("option", f"rotary scaling {kind!r}", known)])

    def _yarn(self, block: Mapping[str, Any], name: str, base: float, rotated: int) -> Rotary:
        original = self._original(block, name)
        factor = self._factor(block, name, original)
        weights = [_or_none(block, key, name) for key in ("mscale", "mscale_all_dim")]
        stated = _or_none(block, "attention_factor", name)
        if stated is None:
            above, below = weights if all(weights) else (1.0, 0.0)
            stated = yarn_factor(factor, above or 0.0) / yarn_factor(factor, below or 0.0)
        truncate = block.get("truncate", True)
        if not isinstance(truncate, bool):
            raise CheckpointError(
                f"{name}.truncate of config.json is {truncate!r:.60}; it must be true or false"
            )
        fast, slow = (
            _or_none(block, key, name) or default
            for key, default in (("beta_fast", 32.0), ("beta_slow", 1.0))
        )
        if base <= 1 or not 0 < slow <= fast < 1e6 or original < 1 or stated <= 0:
            raise CheckpointError(
                f"{name} of config.json scales base {base:g} from {original:g} positions with beta_fast {fast:g}, beta_slow "
                f"{slow:g} and attention factor {stated:g}; these are no numbers of a YaRN scaling"
            )
        divisors = yarn_divisors(
            base, rotated, factor=factor, fast=fast, slow=slow, original=original, truncate=truncate
        )
        return Rotary(base, divisors, rotated, float32(stated))

    def _longrope(self, block: Mapping[str, Any], name: str, base: float, rotated: int) -> Rotary:
        """The short factors, for sequences up to the original length; longer ones would have other keys altogether."""
        original = self._original(block, name)
        factor = self._factor({"factor": None} | dict(block), name, original)
        stated = _or_none(block, "attention_factor", name)
        if original <= 1:
            raise CheckpointError(
                f"{name} of config.json scales from {original:g} positions; it must be more"
            )
        if stated is None:
            stated = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
        if stated <= 0:
            raise CheckpointError(
                f"{name}.attention_factor of config.json is {stated:g}; it must be positive"
            )
        if "short_factor" not in block:
            raise MissingMetadataError(f"{name}.short_factor")
        short = block["short_factor"]
        if not isinstance(short, list) or len(short) != rotated // 2 or not all(map(is_number, short)):
            raise CheckpointError(
                f"{name}.short_factor of config.json is {short!r:.60}; it must be a list of {rotated // 2} numbers, one for "
                f"each pair of channels that turns"
            )
        divisors = stored_divisors(np.array(short, dtype=np.float32))
        return Rotary(base, divisors, rotated, float32(stated), int(original))

    def _original(self, block: Mapping[str, Any], name: str) -> float:
        """The length that a scaling starts from: of the file, of the block, else of the family or the model itself."""
        key = "original_max_position_embeddings"
        if self.facts.get(key) is not None:
            return _positive(self.facts, key)
        if key in self.defaults:
            return float(self.defaults[key])
        return _positive(block, key, name) if key in block else float(self.positions)

    def _factor(self, block: Mapping[str, Any], name: str, original: float) -> float:
        """null stands for how much longer the model is than the original."""
        if "factor" in block and block["factor"] is None:
            return self.positions / original
        return _positive(block, "factor", name)


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


def _or_none(block: Mapping[str, Any], key: str, path: str) -> float | None:
    """A number, or None where it is left out or null."""
    return None if block.get(key) is None else _number(block, key, path)


def _positive(block: Mapping[str, Any], key: str, path: str = "") -> float:
    value = _number(block, key, path)
    if value <= 0:
        name = f"{path}.{key}" if path else key
        raise CheckpointError(f"{name} of config.json is {value}; it must be positive")
    return value
