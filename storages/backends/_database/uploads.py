"""Writing one file: one statement, and a way to tell whether a lost one was carried out."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from storages.driver import Entry

from .errors import LostError
from .layout import Session
from .messages import moment, tag
from .statements import Statements


@dataclass
class Upload:
    """A content on its way into the table; each method does all of it, and may be repeated."""

    statements: Statements
    key: str
    content: bytes
    content_type: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: A statement was lost, and may have been carried out.
    is_unsure: bool = False

    @property
    def values(self) -> list[Any]:
        """The value of each column that the table has, the name first."""
        time = f"{self.now:%Y-%m-%d %H:%M:%S.%f}{self.statements.dialect.time_offset}"
        all_values = {
            "name": self.key,
            "blob": self.content,
            "size": len(self.content),
            "modified": time,
            "kind": self.content_type[:255],
        }
        return [all_values[each] for each in self.statements.marks]

    def overwrite(self, session: Session) -> None:
        """Store the content, whether the name is free or not."""
        session.change(self.statements.upsert, self.values)

    def create(self, session: Session) -> None:
        """Store the content under a free name; raises FileExistsError if it is not free."""
        try:
            self._change(session, self.statements.insert, self.values)
        except FileExistsError:
            if not self.is_ours(session):
                raise

    def replace(self, session: Session, expected: Entry) -> None:
        """Store the content in place of that of an entry; raises OSError (ESTALE) for another."""
        rows = session.ask(self.statements.of_name(self.statements.version), (self.key,))
        if rows and tag(rows[0][0], expected.size) == expected.etag:
            _, *values = self.values
            values += (self.key, rows[0][0])
            if self._change(session, self.statements.update, values) or self.is_stored(session):
                return
        elif self.is_ours(session):
            return
        raise OSError(errno.ESTALE, "The file was replaced while it was changed: open it anew")

    def is_ours(self, session: Session) -> bool:
        """Return True if a lost statement of this upload was carried out."""
        return self.is_unsure and self.is_stored(session)

    def is_stored(self, session: Session) -> bool:
        """Return True if the row holds what this upload wrote: by its time, else by its content."""
        if self.statements.is_timed:
            rows = session.ask(self.statements.of_name(self.statements.details), (self.key,))
            return [(row[0], moment(row[1])) for row in rows] == [(len(self.content), self.now)]
        rows = session.ask(self.statements.of_name("{blob}"), (self.key,))
        return [bytes(row[0]) for row in rows] == [self.content]

    def _change(self, session: Session, sql: str, values: list[Any]) -> int:
        try:
            return session.change(sql, values)
        except LostError:
            self.is_unsure = True
            raise
