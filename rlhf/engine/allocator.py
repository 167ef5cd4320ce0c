"""The C library's allocator, told to keep freed memory: a training step frees and asks for the same sizes again."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT = 2**30  # bytes


def keep_freed_memory() -> None:
    """Keep up to a GiB of freed memory in this process, where glibc would hand it back and page it in, zeroed, anew.

    Costs nothing but that memory, and changes no byte; does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
        library.mallopt(M_MMAP_THRESHOLD, KEPT)


def hand_back() -> None:
    """Hand freed memory back once: after models were read and tried, what that took is not asked for again."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
