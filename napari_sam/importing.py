"""Importing torch in the worker's thread without holding up the window's."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# In the order, and with the flags, that torch loads them with itself.
LIBRARIES = {
    "linux": (
        ("libtorch_global_deps.so", "RTLD_GLOBAL"),
        ("libtorch_python.so", "RTLD_LOCAL"),
    ),
    "darwin": (
        ("libtorch_global_deps.dylib", "RTLD_GLOBAL"),
        ("libtorch_python.dylib", "RTLD_LOCAL"),
    ),
}


def import_torch() -> None:
    """Import torch; other threads go on meanwhile.

    An import runs the dynamic loader, and now and then a full garbage collection, while it holds
    the interpreter's lock: half a second, and a tenth, in which a window stands still.
    """
    if "torch" in sys.modules:
        return
    _map_libraries()
    with _no_full_collection():
        import torch  # noqa: F401


def _map_libraries() -> None:
    """Have the dynamic loader do its work in a foreign call, which gives the lock away."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None or sys.platform not in LIBRARIES:
        return  # on Windows torch itself loads its libraries by foreign calls
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name, scope in LIBRARIES[sys.platform]:
        path = Path(spec.origin).parent / "lib" / name
        # What cannot be loaded so is loaded by the import, or reported by it.
        load(os.fsencode(path), os.RTLD_NOW | getattr(os, scope))


@contextmanager
def _no_full_collection() -> Iterator[None]:
    """Keep what is made within from being looked through by the garbage collector, then or soon."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # All that is there becomes old: the next collections look at new objects only.
        gc.freeze()
        gc.unfreeze()
        if enabled:
            gc.enable()
