"""Locks that the system takes back when the process ends that holds them, however it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class Locks:
    """Numbered locks between processes: each is a byte of one file, which stays empty.

    They hold between processes, not between threads of one. Where the system has none of them (Windows), every
    process takes itself to be the only one.

    Args:
        path: the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def take(self, number: int, *, wait: bool = False) -> bool:
        """Take a lock; tell whether it was free. With ``wait`` it is, sooner or later."""
        if sys.platform != "win32":
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, number)
            except BlockingIOError:
                return False
        return True

    def release(self, number: int) -> None:
        """Give a lock back."""
        if sys.platform != "win32":
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)

    def is_free(self, number: int) -> bool:
        """Tell whether no other process holds a lock."""
        free = self.take(number)
        if free:
            self.release(number)
        return free

    @contextmanager
    def held(self, number: int) -> Iterator[None]:
        """Wait for a lock and hold it."""
        self.take(number, wait=True)
        while not self._is_there():
            # Removed by the process that held it, so that others would lock another file.
            self._file.close()
            self._file = self._path.open("ab")
            self.take(number, wait=True)
        try:
            yield
        finally:
            self.release(number)

    def remove(self) -> None:
        """Remove the file, in the lock that all wait for, where nobody holds another."""
        with suppress(PermissionError):  # on Windows, while others have it open
            self._path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give all locks back."""
        self._file.close()
