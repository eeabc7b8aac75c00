"""Fetches files from the Hugging Face hub into its cache, which other programs share; every byte is checked.

Layout of the cache, as the hub documents it: ``blobs/DIGEST`` holds the files, ``snapshots/COMMIT/NAME`` are links to
them, ``refs/main`` names the newest commit. A file is in ``blobs`` when it is whole and its digest right; before that
it is ``DIGEST.incomplete``, from which a later download goes on. Only who holds ``.locks/.../DIGEST.lock`` writes it.

The variables HF_HUB_CACHE, HF_HUB_OFFLINE and those of :mod:`~jackdaw.engine.weights.hub_http` mean what they mean to
the hub's own tools.
"""

import errno
import fcntl
import hashlib
import http
import http.client
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jackdaw.engine.weights.hub_http import Broken, Client, HubError, home_folder, read_block

__all__ = ["Hub", "HubError", "Listing", "RemoteFile"]

_BLOCK = 1 << 18
_TRIES = 4
"""Attempts on end that bring nothing, before a download gives up."""

_SPARE = 64 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

Progress = Callable[[int], object]
"""Is told how many bytes of a file are there."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file on the hub: its name there, its size in bytes, and its SHA-256, or, 40 digits long, git's SHA-1."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files of one commit, by name."""

    commit: str
    files: Mapping[str, RemoteFile]


class Hub:
    """One repository of the hub, and its place in the cache.

    Parameters
    ----------
    repository
        ``owner/name``.
    environment
        The variables; those of the process by default.
    pause_s
        Before the second try of a broken download; each further one waits twice as long.
    """

    def __init__(self, repository: str, environment: Mapping[str, str] | None = None, *, pause_s: float = 1.0) -> None:
        variables = os.environ if environment is None else environment
        self.repository, self._pause_s = repository, pause_s
        self._client = Client(repository, variables)
        self.endpoint = self._client.endpoint
        self.cache = Path(variables.get("HF_HUB_CACHE") or home_folder(variables) / "hub").expanduser()
        self.folder = self.cache / f"models--{repository.replace('/', '--')}"
        self._offline = variables.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}

    # ---- what the hub says -----------------------------------------------------------------------------------

    def listing(self, names: tuple[str, ...]) -> Listing:
        """Ask which commit is the newest, and for sizes and digests of some files of it.

        Raises
        ------
        HubError
            If the hub can't be reached, refuses, or has no such file.
        """
        if self._offline:
            raise HubError("HF_HUB_OFFLINE is set, so nothing is downloaded: unset it, or name a folder with --from")
        url = f"{self.endpoint}/api/models/{self.repository}/revision/main?blobs=true"
        last: Exception | None = None
        for attempt in range(_TRIES):
            self._wait(attempt)
            try:
                with self._client.open(url) as reply:
                    told = json.load(reply)
                break
            except (Broken, http.client.HTTPException, OSError) as error:
                last = error
            except ValueError as error:
                raise HubError(f"{url} answered something other than JSON; is HF_ENDPOINT right?") from error
        else:
            raise HubError(f"{self.endpoint} doesn't answer ({last}): try again later") from last
        try:
            entries = {entry["rfilename"]: entry for entry in told["siblings"]}
            found = {name: _remote(entries[name]) for name in names if name in entries}
            commit = str(told["sha"])
        except (KeyError, TypeError, ValueError) as error:
            raise HubError(f"{url} answered something unknown ({error!r}); is HF_ENDPOINT right?") from error
        if missing := [name for name in names if name not in found]:
            raise HubError(f"{self.repository} has no {', '.join(missing)} any more: a newer jackdaw may know why")
        if not _DIGEST.fullmatch(commit):
            raise HubError(f"{url} names no commit; is HF_ENDPOINT right?")
        return Listing(commit=commit, files=found)

    # ---- what is there ---------------------------------------------------------------------------------------

    def _blob(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / file.digest

    def _part(self, file: RemoteFile) -> Path:
        return self.folder / "blobs" / f"{file.digest}.incomplete"

    def left(self, file: RemoteFile) -> int:
        """Return how many bytes of a file are still to be fetched."""
        if self._blob(file).is_file():
            return 0
        part = self._part(file)
        return max(file.size - part.stat().st_size, 0) if part.is_file() else file.size

    def check_space(self, listing: Listing) -> None:
        """Raise HubError if the disk has no room for what is still to be fetched."""
        needed = sum(self.left(file) for file in listing.files.values())
        place = self.folder
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed and needed + _SPARE > free:
            raise HubError(
                f"{self.cache} has {free / 1e9:.1f} GB free, the files need {needed / 1e9:.1f}: make room, or set "
                f"HF_HUB_CACHE to a folder on another disk"
            )

    # ---- fetching --------------------------------------------------------------------------------------------

    def fetch(self, listing: Listing, name: str, progress: Progress = lambda _: None) -> Path:
        """Return where a file lies; download it first unless it is there.

        Ctrl-C leaves the part that is there, and the next call goes on from it.

        Raises
        ------
        HubError
            If it can't be downloaded, arrives damaged, or somebody else downloads it now.
        """
        file = listing.files[name]
        blob = self._blob(file)
        try:
            with self._locked(file):
                if not blob.is_file():
                    self._download(listing.commit, file, progress)
                link = self.folder / "snapshots" / listing.commit / name
                _link(link, blob)
                _write(self.folder / "refs" / "main", listing.commit)
        except OSError as error:
            if error.errno in _FULL:
                self._part(file).unlink(missing_ok=True)
                raise HubError(
                    f"no room for {name} in {self.cache} ({error.strerror}): what there was of it is removed; make "
                    f"room, or set HF_HUB_CACHE to a folder on another disk"
                ) from error
            raise HubError(f"{name} can't be kept in {self.cache}: {error}") from error
        progress(file.size)
        return link

    @contextmanager
    def _locked(self, file: RemoteFile) -> Iterator[None]:
        path = self.cache / ".locks" / self.folder.name / f"{file.digest}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HubError(f"another program downloads {file.name} now: wait until it is done") from error
            yield

    def _download(self, commit: str, file: RemoteFile, progress: Progress) -> None:
        part, url = self._part(file), f"{self.endpoint}/{self.repository}/resolve/{commit}/{quote(file.name)}"
        part.parent.mkdir(parents=True, exist_ok=True)
        digest, done, vain = _Digest(file), 0, 0
        if part.is_file() and part.stat().st_size <= file.size:
            done = digest.feed_file(part, progress)
        else:
            part.unlink(missing_ok=True)
        while done < file.size:
            before, why = done, "it ended early"
            try:
                with self._client.open(url, done) as reply, part.open("ab") as kept:
                    if reply.status != http.HTTPStatus.PARTIAL_CONTENT and done:  # all of it comes again
                        digest, done = _Digest(file), 0
                        kept.truncate(0)
                    while block := read_block(reply):
                        kept.write(block)
                        digest.update(block)
                        done += len(block)
                        progress(min(done, file.size))
            except Broken as error:
                why = str(error)
            vain = 0 if done > before else vain + 1
            if done < file.size and vain >= _TRIES:
                raise HubError(
                    f"the download of {file.name} broke at {done} of {file.size} bytes ({why}): run the same command "
                    f"again, and it goes on from there"
                )
            self._wait(vain)
        if done != file.size or not digest.right():
            part.unlink()
            raise HubError(f"{file.name} arrived damaged (its checksum is wrong) and is removed: download it again")
        part.replace(self._blob(file))

    def _wait(self, vain: int) -> None:
        if vain:
            time.sleep(self._pause_s * 2 ** (vain - 1))


class _Digest:
    """The digest of a file as it comes in: SHA-256, or git's, which is SHA-1 over its size and itself."""

    def __init__(self, file: RemoteFile) -> None:
        self._expected = file.digest
        self._hash = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.size)
        self.update = self._hash.update

    def feed_file(self, path: Path, progress: Progress) -> int:
        """Take in what is there of a file; return its size."""
        with path.open("rb") as part:
            while block := part.read(_BLOCK):
                self.update(block)
                progress(part.tell())
            return part.tell()

    def right(self) -> bool:
        """Return whether it is what the hub says."""
        return self._hash.hexdigest() == self._expected


def _remote(entry: Mapping[str, Any]) -> RemoteFile:
    lfs = entry.get("lfs")
    size, digest = (lfs["size"], lfs["sha256"]) if lfs else (entry["size"], entry["blobId"])
    if not _DIGEST.fullmatch(str(digest)):
        raise ValueError(f"{digest!r} is no digest")
    return RemoteFile(name=str(entry["rfilename"]), size=int(size), digest=str(digest))


def _link(link: Path, blob: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(blob, link.parent))
    fresh.replace(link)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
