"""What kind of processor this is: the same kind gives the same bytes, another may not."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

PORTABLE = "GANLIFT_PORTABLE"
_ATEN = "ATEN_CPU_CAPABILITY"
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
# Held before any library is loaded, since each chooses its instructions when it is.
_HELD = {
    _ATEN: "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def portable(environment: Mapping[str, str]) -> bool:
    """Tell whether ``GANLIFT_PORTABLE`` asks for the instructions that every processor has."""
    return environment.get(PORTABLE, "") not in ("", "0")


def hold_instructions() -> None:
    """Start this process anew with PyTorch, oneDNN, MKL and OpenBLAS held at AVX2, if asked for.

    Call it first: each library chooses its instructions when it is loaded. It keeps its number,
    so whoever watches it goes on doing so.
    """
    if portable(os.environ) and not _HELD.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, os.environ | _HELD)


def one_thread() -> None:
    """Settle torch for a fit: one thread, since sums split over more round differently.

    With ``GANLIFT_PORTABLE`` also its deterministic algorithms alone. Freed memory is kept.
    """
    import torch

    torch.set_num_threads(1)
    # setting what is set already would import PyTorch's compiler, in 2 s
    if torch.are_deterministic_algorithms_enabled() != portable(os.environ):
        torch.use_deterministic_algorithms(portable(os.environ))
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: a step would get the same large blocks anew, page by page.

    A tenth to a third of a step at 32 and 64 px (docs/log.md). Other C libraries are left as
    they are.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_MAX, 0)
        set_option(_TRIM_THRESHOLD, -1)


def processor() -> str:
    """Return what decides how this processor rounds: ``x86_64, GenuineIntel, AVX512``.

    Architecture, maker and the widest instructions that PyTorch uses.
    """
    held = " (GANLIFT_PORTABLE)" if portable(os.environ) else ""
    return ", ".join(filter(None, [platform.machine(), _said("vendor_id"), _capability()])) + held


def _capability() -> str:
    """Return what PyTorch calls its widest instructions here, by its own rule where Linux helps.

    Its import would take a quarter of the report's time. The rule is ``compute_cpu_capability``
    of ATen's DispatchStub.cpp.
    """
    has = set(_said("flags").split())
    if platform.machine() == "x86_64" and has:
        if (asked := os.environ.get(_ATEN)) in ("default", "avx2", "avx512"):
            return asked.upper()
        if {"avx512vl", "avx512bw", "avx512dq", "fma"} <= has:
            return "AVX512"
        return "AVX2" if {"avx2", "fma"} <= has else "DEFAULT"
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def reduced_by() -> str:
    """Return the instructions that multiply bfloat16 here, which decide how that rounds.

    Without any, bfloat16 is ``emulated``.
    """
    import torch

    known = torch.cpu.get_capabilities()
    own = [name for name in ("amx_bf16", "avx512_bf16") if known.get(name)]
    return ", ".join(own) or "emulated"


def _said(name: str) -> str:
    """Return what Linux says of the first core under a name; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, "")
