"""Where a model runs: NumPy and the compiled kernels of this process, or torch on a device, which give the same integers.

torch is imported by `open_device` only, when somebody names a device.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..arrays import Arrays
from ..operators.host_arrays import HOST
from .errors import MissingTorchError, UnknownDeviceError
from .exact_gemm import Matrix, Outputs


class Product(Protocol):
    """Weights that rows are multiplied with."""

    def multiply(self, x: Any) -> Any:
        """x · weightsᵀ, (rows, outputs) int64, of x (rows, inputs) int64."""


class Largest(Product, Protocol):
    """Those of many outputs of which the largest is wanted: the head."""

    def largest(self, x: Any) -> Any:
        """argmax of x · weightsᵀ by row, (rows,) int64, ties to the smaller output."""


class Device(Protocol):
    """What runs a model's steps."""

    @property
    def arrays(self) -> Arrays:
        """Where rows lie."""

    def matrix(self, weights: np.ndarray) -> Product:
        """Of weights (outputs, inputs) int16 or int32 that are used again and again."""

    def passing(self, weights: np.ndarray) -> Product | None:
        """Of a copy of weights that nobody wants to keep; None: the device has its own copies of all, and keeps this one, too."""

    def outputs(self, weights: np.ndarray) -> Largest:
        """Of a head."""


class HostDevice:
    """This process: NumPy arrays, kernels that Numba compiled, BLAS."""

    arrays = HOST

    def matrix(self, weights: np.ndarray) -> Matrix:
        return Matrix.of(weights)

    def passing(self, weights: np.ndarray) -> Matrix:
        return Matrix(weights)

    def outputs(self, weights: np.ndarray) -> Outputs:
        return Outputs(weights)


HOST_DEVICE: Device = HostDevice()


def open_device(name: str | None) -> Device:
    """torch on `cpu`, `cuda` or `cuda:N`; None: this process without torch.

    Raises UnknownDeviceError for another name, MissingTorchError, MissingDeviceError.
    """
    if name is None:
        return HOST_DEVICE
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and (kind == "cpu" or not _is_number(number))):
        raise UnknownDeviceError(name)
    try:
        from .torch_device import TorchDevice
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingTorchError(name) from error
    return TorchDevice.open(name)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
