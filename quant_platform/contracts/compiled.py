"""One typed door to numba, so that every kernel is compiled the same way and stays type-checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import numba

_PART: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}

_WALK: dict[str, Any] = {"nogil": True, "error_model": "numpy", "cache": True, "_nrt": False}

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a kernel to machine code, cached on disk, with the GIL released while it runs.

    Fast-math stays off: kernels must treat NaN as missing and give the same bits everywhere. A kernel that calls
    kernels of another module is made with :func:`compiled_with`.
    """
    return cast(F, numba.njit(cache=True, nogil=True)(function))


def compiled_part(function: F) -> F:
    """Compile a function that only kernels call: without the doors that Python would need, which cost most of the time.

    It is not cached by itself, for it is part of the machine code of the kernels that call it. It must not make arrays:
    nothing in it counts references. A division by zero is infinite or NaN, as in numpy.
    """
    return cast(F, numba.njit(**_PART)(function))


def inlined(function: F) -> F:
    """Compile a part, as :func:`compiled_part`, that is put in the place of each of its calls."""
    return cast(F, numba.njit(forceinline=True, **_PART)(function))


def compiled_with(*modules: ModuleType) -> Callable[[F], F]:
    """Compile a kernel that calls kernels of other modules; a change of theirs compiles it anew.

    Notes
    -----
    The disk cache of numba compares the file a kernel stands in, and not the files of what it calls, whose machine code
    it holds as well. The stamp it compares is therefore widened by the stamps of those files. This reads two private
    attributes of numba; a test changes a called file and expects the new answer.
    """
    return lambda function: _widened(numba.njit(cache=True, nogil=True)(function), modules)


def compiled_walk(*modules: ModuleType) -> Callable[[F], F]:
    """Compile the kernel that parts of other modules make up, as :func:`compiled_with`; it makes no arrays."""
    return lambda function: _widened(numba.njit(**_WALK)(function), modules)


def _widened(kernel: Any, modules: tuple[ModuleType, ...]) -> Any:
    if not hasattr(kernel, "_cache"):  # the function itself, where NUMBA_DISABLE_JIT=1 asks for it
        return kernel
    index = kernel._cache._cache_file
    index._source_stamp = (*index._source_stamp, *(_stamp(module) for module in modules))
    return kernel


def _stamp(module: ModuleType) -> tuple[int, int]:
    state = Path(cast(str, module.__file__)).stat()
    return state.st_mtime_ns, state.st_size
