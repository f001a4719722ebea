"""View other libraries' arrays as NumPy arrays, without a copy."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

# DLPack devices whose memory the CPU can read: kDLCPU and kDLCUDAHost (pinned).
_CPU_DEVICES = (1, 3)
# Where a DLTensor has its type (code, bits, lanes): behind a pointer, a device and the axes.
_TYPE_AT = ctypes.sizeof(ctypes.c_void_p) + 12
_BFLOAT16, _UINT16 = bytes([4, 16, 1, 0]), bytes([1, 16, 1, 0])


def asarray(x: Any) -> NDArray[Any]:
    """Return x as a NumPy array that views the same memory; never copy.

    Parameters
    ----------
    x : object
        A NumPy array, anything with the buffer protocol (memoryview, array.array, ctypes arrays, a
        memory map), ``__array_interface__``, or DLPack (PyTorch, JAX and pyarrow on the CPU).

    Returns
    -------
    ndarray
        With the type and shape of x, read-only if x is; it keeps x alive. Other libraries can view
        NumPy arrays through all three protocols in turn.

    Raises
    ------
    TypeError
        x supports none of them (a list, a pandas Series), is not on the CPU, or has a type that
        NumPy does not have. bfloat16 needs the package ml_dtypes, which adds that type.
    BufferError, RuntimeError
        Its owner refuses to export it: detach a PyTorch tensor that requires a gradient first.

    Examples
    --------
    >>> fastnn.asarray(memoryview(np.float32([1, 2])))
    array([1., 2.], dtype=float32)
    """
    if isinstance(x, np.ndarray):
        return x
    try:
        view = memoryview(x)
    except TypeError:
        pass
    else:
        return np.asarray(view)
    if hasattr(x, "__dlpack__"):
        device = x.__dlpack_device__()[0]
        if device not in _CPU_DEVICES:
            raise TypeError(f"asarray: this {type(x).__name__} is on another device than the CPU")
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError) as error:
            if "dtype" not in str(error):
                raise
            if (found := _bfloat16(x)) is not None:
                return found
            raise TypeError(
                f"asarray: NumPy does not have the type {getattr(x, 'dtype', '')} of this "
                f"{type(x).__name__}: convert it to float32 first, such as by x.float() in PyTorch "
                "or x.astype('float32') in JAX"
            ) from error
    if hasattr(x, "__array_interface__"):
        return np.asarray(x)
    raise TypeError(
        f"asarray: {type(x).__name__} offers no memory to view (buffer protocol, DLPack or "
        "__array_interface__); numpy.asarray would copy it"
    )


class _AsCodes:
    """A tensor of bfloat16 as DLPack hands it out, but with the type uint16."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor

    def __dlpack__(self, **_: Any) -> Any:
        capsule = self.tensor.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        at = pointer(capsule, b"dltensor") + _TYPE_AT
        if ctypes.string_at(at, 4) != _BFLOAT16:
            raise BufferError("not of bfloat16")
        ctypes.memmove(at, _UINT16, 4)
        return capsule

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


def _bfloat16(x: Any) -> NDArray[Any] | None:
    """Return the view of a tensor of bfloat16; None for another type, or without ml_dtypes."""
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return None
    try:
        found: NDArray[Any] = np.from_dlpack(_AsCodes(x)).view(ml_dtypes.bfloat16)
    except (BufferError, RuntimeError):
        return None
    return found
