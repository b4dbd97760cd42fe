"""Contents on their way there: in one request, or in a session whose parts go side by side."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from dropbox.exceptions import ApiError
from dropbox.files import (
    CommitInfo,
    FileMetadata,
    UploadSessionCursor,
    UploadSessionType,
    WriteMode,
)

from storages.driver import Source
from storages.parts import send_in_parts

from .errors import ERRORS, correct_offset, is_late, is_passing, says
from .session import ATTEMPTS, Client, Patience, patient, pause

#: Bytes of a part: the block of Dropbox's hash ("Content hash"), and what parts of a concurrent
#: session are multiples of. What is larger goes in a session.
PART = 4 * 1024 * 1024
WORKERS = 4  # parts on their way at once
NONCE = 60  # seconds by which the time of a file is put back at most

#: What a session says that is of no more use.
_LOST = ("not_found", "closed", "concurrent_session_not_closed", "concurrent_session_missing_data")


class Upload:
    """One content on its way to one path.

    ``revision`` makes the commit depend on it; without one ``overwrite`` says whether a file there
    is replaced. The time that goes with the content is up to a minute in the past, at random: by it
    and by the hash the upload knows its own file where the answer to the commit was lost.
    """

    def __init__(
        self, client: Client, source: Source, path: str, *, overwrite: bool, revision: str | None
    ) -> None:
        self._client = client
        self._source = source
        self._path = path
        self._revision = revision
        mode = WriteMode.overwrite if overwrite else WriteMode.add
        back = timedelta(seconds=random.randrange(NONCE))  # noqa: S311
        self._moment = datetime.now(UTC).replace(microsecond=0, tzinfo=None) - back
        self._how: dict[str, Any] = {
            "mode": mode if revision is None else WriteMode.update(revision),
            "autorename": False,
            "client_modified": self._moment,
            # Else equal bytes under a taken name would be no conflict, and make no file.
            "strict_conflict": not overwrite or revision is not None,
        }
        self._digests: dict[int, bytes] = {}

    def run(self) -> None:
        """Store the content; raises OSError if Dropbox says that it holds another one."""
        with patient(Patience(self._client.max_wait)):
            found = self._send()
        if (found.size, found.content_hash) != (self._source.size, self._hash()):
            raise OSError(errno.EIO, "Dropbox stored other bytes than it was sent")

    def _send(self) -> FileMetadata:
        if self._source.size <= PART:
            return self._send_at_once(self._source.read())
        lost: ApiError | None = None
        for _ in range(ATTEMPTS):
            self._source.seek(0)
            try:
                return self._send_in_session()
            except ApiError as exc:
                if not says(exc, *_LOST):
                    raise
                lost = exc
        raise OSError(errno.EIO, "Dropbox loses every upload session: try again later") from lost

    def _hash(self) -> str:
        """Return Dropbox's hash of what was sent: that of the digests of its blocks."""
        return _joined(self._digests)

    # -- committing -------------------------------------------------------------------------------

    def _send_at_once(self, content: bytes) -> FileMetadata:
        if content:
            self._digests[0] = sha256(content).digest()

        def commit() -> FileMetadata:
            return self._client.files_upload(
                content, self._path, content_hash=self._hash(), **self._how
            )

        return self._committed(commit)

    def _committed(self, commit: Callable[[], FileMetadata]) -> FileMetadata:
        """Call ``commit``; where its answer is lost, find out what became of it."""
        for attempt in range(ATTEMPTS):
            try:
                return commit()
            except ERRORS as exc:
                passing = is_passing(exc) or says(exc, "content_hash_mismatch")
                # Equal bytes in the place of a revision are a conflict too.
                equal = self._revision is not None and says(exc, "conflict")
                # Refused at the first try, it met another's file; later perhaps its own.
                if not (passing or equal or is_late(exc)) and attempt == 0:
                    raise
                if (found := self._own()) is not None:
                    return found
                if not passing or attempt == ATTEMPTS - 1:
                    raise
            pause(attempt)
        raise AssertionError

    def _own(self) -> FileMetadata | None:
        """Return what is at the path if this upload has put it there, or need not."""
        try:
            found = self._client.files_get_metadata(self._path)
        except ApiError as exc:
            if not says(exc, "not_found"):
                raise
            return None
        if not isinstance(found, FileMetadata) or found.content_hash != self._hash():
            return None
        is_own = found.client_modified == self._moment or found.rev == self._revision
        return found if is_own else None

    # -- sessions ---------------------------------------------------------------------------------

    def _send_in_session(self) -> FileMetadata:
        kind = UploadSessionType.concurrent
        session = self._client.files_upload_session_start(b"", session_type=kind).session_id
        end = UploadSessionCursor(session, self._source.size)
        commit = CommitInfo(self._path, **self._how)
        send: Callable[[str], None] = self._send_parts
        for attempt in range(ATTEMPTS):
            try:
                send(session)
                return self._committed(
                    lambda: self._client.files_upload_session_finish(b"", end, commit)
                )
            except ApiError as exc:
                offset = correct_offset(exc)
                if offset is None or attempt == ATTEMPTS - 1:
                    raise
                send = self._rest(offset)
        raise AssertionError

    def _send_parts(self, session: str) -> None:
        """Send all parts but the last side by side, and then the last, which closes the session."""
        last = (self._source.size - 1) // PART * PART
        closing: list[bytes] = []
        context = copy_context()

        def send(number: int, part: bytes) -> None:
            offset = (number - 1) * PART
            if offset == last:
                closing.append(part)
            else:
                context.copy().run(self._append, session, offset, part, False)

        send_in_parts(self._source, PART, WORKERS, send)
        self._append(session, last, closing[0], True)

    def _rest(self, offset: int) -> Callable[[str], None]:
        """Return what sends the parts from an offset one after the other."""

        def send(session: str) -> None:
            # Parts that begin elsewhere are no blocks of the hash.
            self._source.seek(0)
            for start in range(0, self._source.size, PART):
                self._digests[start] = sha256(self._source.read(PART)).digest()
            position = min(offset, self._source.size)
            self._source.seek(position)
            while True:
                part = self._source.read(PART)
                position += len(part)
                is_last = position == self._source.size
                self._append(session, position - len(part), part, is_last)
                if is_last:
                    return

        return send

    def _append(self, session: str, offset: int, part: bytes, close: bool) -> None:
        """Send one part; what of it the session has already is not sent again."""
        digest = sha256(part).digest()
        if part and offset % PART == 0:
            self._digests[offset] = digest
        done = 0
        for attempt in range(ATTEMPTS):
            piece = part[done:]
            cursor = UploadSessionCursor(session, offset + done)
            digests = {0: sha256(piece).digest() if done else digest} if piece else {}
            try:
                self._client.files_upload_session_append_v2(
                    piece, cursor, close, content_hash=_joined(digests)
                )
            except ApiError as exc:
                if close and says(exc, "closed"):
                    # By this very request, whose first answer was lost.
                    return
                resent = says(exc, "content_hash_mismatch")
                position = offset + done if resent else correct_offset(exc)
                if position is None or position < offset or attempt == ATTEMPTS - 1:
                    raise
                done = min(position - offset, len(part))
                if done == len(part) and not close:
                    return
            else:
                return


def _joined(digests: dict[int, bytes]) -> str:
    return sha256(b"".join(digests[offset] for offset in sorted(digests))).hexdigest()
