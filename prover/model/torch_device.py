"""torch on the CPU or a GPU as the place where a model runs. Imported by `devices.open_device` only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..word_products import AVAILABLE
from .errors import MissingDeviceError
from .torch_arrays import TorchArrays
from .torch_products import BY, MOST_INPUTS, Digits, Floats, digits_are_exact

_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 25}
"""Entries of what lies between two passes: those that stay in a CPU's cache, and a few hundred megabytes of a GPU's memory."""
_LOGITS_AT_ONCE = 1 << 24
"""Logits of one pass over some rows, at most, unless a single row has more."""


class TorchDevice:
    """One device. digits: whether products are of int8 digits where these are exact; rows_by: of their kernel."""

    def __init__(self, device: torch.device, *, digits: bool, rows_by: int = 1) -> None:
        self._at_once = _AT_ONCE[device.type]
        self.arrays = TorchArrays(device, self._at_once)
        self._digits, self._rows_by = digits, rows_by

    @classmethod
    def open(cls, name: str) -> TorchDevice:
        """`cpu`, `cuda` or `cuda:N`. Raises MissingDeviceError."""
        device = torch.device(name)
        if device.type == "cpu":
            return cls(device, digits=AVAILABLE and digits_are_exact(device, 1))
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise MissingDeviceError(name, torch.__version__, count)
        return cls(device, digits=digits_are_exact(device, BY), rows_by=BY)

    def matrix(self, weights: np.ndarray) -> Digits | Floats:
        """A copy on the device."""
        if self._digits and weights.shape[1] <= MOST_INPUTS:
            return Digits.of(weights, self.arrays.device, self._rows_by, self._at_once)
        return Floats.of(weights, self.arrays.device)

    def passing(self, weights: np.ndarray) -> None:
        """Weights are brought to a device once."""

    def outputs(self, weights: np.ndarray) -> TorchOutputs:
        return TorchOutputs(self.matrix(weights), len(weights))


class TorchOutputs:
    """A head on a device."""

    def __init__(self, whole: Digits | Floats, outputs: int) -> None:
        self._whole, self._rows_at_once = whole, max(1, _LOGITS_AT_ONCE // outputs)

    def multiply(self, x: Tensor) -> Tensor:
        return self._whole.multiply(x)

    def largest(self, x: Tensor) -> Tensor:
        """By row; `argmax` of torch is the first of equal ones."""
        parts = [
            self.multiply(x[row : row + self._rows_at_once]).argmax(1)
            for row in range(0, len(x), self._rows_at_once)
        ]
        return torch.cat(parts)
