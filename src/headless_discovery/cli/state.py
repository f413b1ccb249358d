"""`--state FILE`: the set that scripts took last, so that a new process neither repeats nor overlaps what one did.

`FILE.lock` is locked as long as a process watches, and scripts inherit the lock (flock(2) belongs to the open file, not
to the process): one that outlives a watch which was killed keeps the next watch waiting until it has ended. It is a
file of its own because each save puts a new file in the place of the last: one that fails half-way leaves that as it
was.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import suppress

from .. import Peer, PeerSet

_FIELDS = ("address", "port", "hostname", "priority", "weight", "addresses")


class State:
    """Raises `OSError` where there can be no such file, or no lock beside it."""

    def __init__(self, path: str, target: str) -> None:
        self.path = path
        self.peers = PeerSet()  # that the last run which ended well was told
        self.settled = False  # none began after it. Else, or if nothing is known: a run too many, not one too few
        self.began = False  # some run ended well
        self._target = target
        self._file = os.path.realpath(path)
        if os.path.exists(self._file) and not os.path.isfile(self._file):
            raise OSError(errno.EINVAL, "not a regular file", path)
        self._lock = os.open(f"{self._file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def lock(self) -> bool:
        """Take the lock and read what the last process left; false where another one has it. Raises `OSError`."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        with suppress(FileNotFoundError), open(self._file, encoding="utf-8") as file:
            try:
                found = json.load(file)
                if found["target"] == self._target:
                    self.peers = PeerSet((Peer(**peer) for peer in found["peers"]), target=self._target)
                    self.settled, self.began = found["settled"] is True, found["began"] is True
            except (ValueError, KeyError, TypeError, RecursionError):  # empty, or somebody else's
                pass
        return True

    def save(self, peers: PeerSet, *, settled: bool, began: bool) -> None:
        """Before a run, not settled, and after one that ended well. Raises `OSError`; what was saved before stays."""
        written = {
            "target": self._target,
            "settled": settled,
            "began": began,
            "peers": [{field: getattr(peer, field) for field in _FIELDS} for peer in peers],
        }
        new = f"{self._file}.new"
        with open(new, "w", encoding="utf-8") as file:
            json.dump(written, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._file)
        with suppress(OSError):  # some file systems do not sync folders
            folder = os.open(os.path.dirname(self._file), os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def fileno(self) -> int:
        """Of the lock."""
        return self._lock

    def close(self) -> None:
        os.close(self._lock)
