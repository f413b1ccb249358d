"""`--state FILE`: the set that scripts took last, so that a new process neither repeats nor overlaps what one did.

The file is locked as long as a process watches, and scripts inherit the lock (flock(2) belongs to the open file, not to
the process): one that outlives a watch which was killed keeps the next watch waiting until it has ended.
"""

from __future__ import annotations

import fcntl
import json
import os

from .. import Peer, PeerSet

_FIELDS = ("address", "port", "hostname", "priority", "weight", "addresses")


class State:
    """Raises `OSError` where the file cannot be opened for writing."""

    def __init__(self, path: str, target: str) -> None:
        self.path = path
        self.peers = PeerSet()  # that the last run which ended well was told
        self.settled = False  # none began after it. Else, or if nothing is known: a run too many, not one too few
        self.began = False  # some run ended well
        self._target = target
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+", encoding="utf-8")

    def lock(self) -> bool:
        """Take the lock and read what the last process left; false where another one has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._file.seek(0)
        try:
            found = json.load(self._file)
            if found["target"] == self._target:
                self.peers = PeerSet((Peer(**peer) for peer in found["peers"]), target=self._target)
                self.settled, self.began = found["settled"] is True, found["began"] is True
        except (ValueError, KeyError, TypeError):  # empty, cut off, or somebody else's
            pass
        return True

    def save(self, peers: PeerSet, *, settled: bool, began: bool) -> None:
        """Before a run, not settled, and after one that ended well."""
        written = {
            "target": self._target,
            "settled": settled,
            "began": began,
            "peers": [{field: getattr(peer, field) for field in _FIELDS} for peer in peers],
        }
        self._file.seek(0)
        self._file.truncate()
        json.dump(written, self._file)
        self._file.flush()
        os.fsync(self._file.fileno())

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
