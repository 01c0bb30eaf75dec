"""A Windows job object: limits that count a body and its children, and an end that nothing escapes.

A body starts suspended, is put into the job, and only then runs.  The job closes with the handle,
and that ends everything in it, also when the runner is killed.

Sources: winnt.h, jobapi2.h (JOBOBJECT_EXTENDED_LIMIT_INFORMATION).  It was never run on Windows;
the structures' sizes and the order of the calls are tested.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

from farhand_protocol.manifest import Manifest

__all__ = ["ExtendedLimits", "JobObject", "job_limits", "kernel"]

_EXTENDED_LIMIT_INFORMATION: Final = 9
_PER_JOB_TIME: Final = 0x0004
_ACTIVE_PROCESS: Final = 0x0008
_JOB_MEMORY: Final = 0x0200
_DIE_ON_UNHANDLED_EXCEPTION: Final = 0x0400
_KILL_ON_JOB_CLOSE: Final = 0x2000
_PROCESS_SET_QUOTA_AND_TERMINATE: Final = 0x0101
_MIB: Final = 1024 * 1024
# FILETIME counts in these.
_TICKS_PER_S: Final = 10_000_000
_SPARE_CPU_S: Final = 60


class _BasicLimits(ctypes.Structure):
    _fields_ = [
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    ]


class _IoCounters(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("reads", "writes", "others", "read_bytes", "written_bytes", "other_bytes")
    ]


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("basic", _BasicLimits),
        ("io", _IoCounters),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    ]


def job_limits(manifest: Manifest) -> ExtendedLimits:
    """Return a manifest's limits as Windows takes them; it has none for files."""
    wanted = ExtendedLimits()
    cpu_s = manifest.limits.cpu_s or manifest.timeout_s + _SPARE_CPU_S
    wanted.basic.per_job_user_time = cpu_s * _TICKS_PER_S
    wanted.basic.active_processes = manifest.limits.processes
    wanted.job_memory = manifest.limits.memory_mib * _MIB
    wanted.basic.flags = (
        _PER_JOB_TIME
        | _ACTIVE_PROCESS
        | _JOB_MEMORY
        | _DIE_ON_UNHANDLED_EXCEPTION
        | _KILL_ON_JOB_CLOSE
    )
    return wanted


def kernel() -> Any:
    """Return kernel32 with the types that its handles need."""
    library: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009 - only there
    library.CreateJobObjectW.restype = ctypes.c_void_p
    library.CreateJobObjectW.argtypes = [ctypes.c_void_p, ctypes.c_wchar_p]
    library.SetInformationJobObject.argtypes = [
        ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32,
    ]  # fmt: skip
    library.OpenProcess.restype = ctypes.c_void_p
    library.OpenProcess.argtypes = [ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32]
    library.AssignProcessToJobObject.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.TerminateJobObject.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.CloseHandle.argtypes = [ctypes.c_void_p]
    return library


class JobObject:
    """One job.

    Args:
        manifest: with the limits.
        library: kernel32, or in tests what writes its calls down.

    Raises:
        OSError: Windows refuses it; nothing is left.
    """

    def __init__(self, manifest: Manifest, library: Any) -> None:
        self._library = library
        self._job = library.CreateJobObjectW(None, None)
        if not self._job:
            raise OSError("no job object could be made")
        limits = job_limits(manifest)
        if not library.SetInformationJobObject(
            self._job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        ):
            self.close()
            raise OSError("the job object takes no limits")

    def take(self, pid: int) -> None:
        """Put a suspended process into the job.

        Raises:
            OSError: Windows refuses it.
        """
        handle = self._library.OpenProcess(_PROCESS_SET_QUOTA_AND_TERMINATE, 0, pid)
        if not handle:
            raise OSError("the script's process cannot be opened")
        try:
            if not self._library.AssignProcessToJobObject(self._job, handle):
                raise OSError("the script's process cannot be put into its job")
        finally:
            self._library.CloseHandle(handle)

    def close(self) -> None:
        """End every process in the job, and the job."""
        if self._job:
            self._library.TerminateJobObject(self._job, 1)
            self._library.CloseHandle(self._job)
            self._job = None
