"""The graphs that are stored for a user: one file each, named after what the graph was compiled from."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from mindvit.files import delete, replacing
from mindvit.user_cache import private_folder, user_cache_folder

LIMIT_BYTES = 256 * 2**20
"""Size that the stored graphs may grow to. A training step of ViT-B/16 takes about 2 MB."""
_DIGEST = hashlib.sha256().digest_size
_ABANDONED_SECONDS = 24 * 3600.0


class GraphStore:
    """Graphs by their fingerprint. Several processes may use it at once.

    A file holds the SHA-256 hash of a graph, and the graph. Files are written under another name and renamed, so a
    process that is killed leaves none that is half written, and one that was changed later is not taken.

    Args:
        folder: the folder; by default ``graphs`` in the cache folder of the user. It is created.
        limit: size of all files in bytes. Those that were not used for longest are deleted first.

    Raises:
        FileError: if the folder cannot be created or written, or if other users could have written to it.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        self.folder = private_folder(folder or user_cache_folder() / "graphs")
        self.limit = limit

    def read(self, key: str) -> bytes | None:
        """The graph with this fingerprint; None if there is none, or if its file is corrupt, which is then deleted.

        Raises:
            FileError: if a corrupt file cannot be deleted.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        graph = content[_DIGEST:]
        if hashlib.sha256(graph).digest() != content[:_DIGEST]:
            delete(path)
            return None
        with suppress(OSError):
            os.utime(path)
        return graph

    def write(self, key: str, graph: bytes) -> None:
        """Stores a graph, and deletes others if the store has grown beyond its limit.

        Raises:
            FileError: if it cannot be written.
        """
        with replacing(self._path(key)) as temporary:
            temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
        self._prune()

    def delete(self, key: str) -> None:
        """Deletes a graph, if it is there."""
        delete(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.graph"

    def _prune(self) -> None:
        found = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # Another process may have deleted it.
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(size for _, size, path in found if path.suffix == ".graph")
        for used, size, path in sorted(found):
            if path.suffix != ".graph":
                if time.time() - used > _ABANDONED_SECONDS:  # Of a process that was killed.
                    delete(path)
            elif total > self.limit:
                delete(path)
                total -= size
