"""What is on an FTP server: one file or directory described, or all of a directory listed.

RFC 959 with the extensions of RFC 3659 (MLST, SIZE, MDTM). Paths are absolute, so that nothing
depends on a working directory; listings are of the working directory, because servers differ in
what they make of an argument.
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import posixpath
from contextlib import suppress
from datetime import datetime
from typing import Final

from storages.driver import Entry
from storages.temporaries import PATTERN, notice

from .errors import MISSING, REFUSED, UNKNOWN, Refusal, UnknownCommand, told
from .lister import Lister
from .listings import Listing, parse_facts

NO_FACTS: Final = (
    "This server promises MLST and never answers it: each process waits once for 'timeout' "
    "seconds, then SIZE, MDTM and LIST are asked instead."
)

_DIRECTORY = Entry(0, is_directory=True)


class Lookups(Lister):
    """Looks at the files that a connection leads to."""

    refusals = (*REFUSED, Refusal)
    #: True unless the server knows no CWD.
    can_enter = True

    def path(self, key: str) -> str:
        """Return the absolute path of a key, which may begin where signing in leads to."""
        home = "/" if key.startswith("/") else self.home()
        if not home:
            raise Refusal(
                errno.EPROTO,
                "The FTP server does not tell where a login begins: give 'location' a path",
            )
        return posixpath.join(home, key).rstrip("/") or "/"

    # -- what is there ----------------------------------------------------------------------------

    def describe(self, path: str) -> Entry:
        """Describe what is at a path.

        Raises a refusal that `told` knows as missing only where it is: what a server says of SIZE
        counts if it was asked for facts before, else the listing of the parent decides.
        """
        if path == "/":
            return _DIRECTORY
        if self.has_facts:
            try:
                if (entry := self._by_facts(path)) is not None:
                    return entry
            except UnknownCommand:
                self.has_facts = False
            except REFUSED as exc:
                if told(exc) in MISSING:
                    raise
        with suppress(*REFUSED):
            return self._by_size(path)
        return self._in_parent(path)

    def find(self, path: str) -> Entry | None:
        """Describe what is at a path, None only where nothing is."""
        try:
            return self.describe(path)
        except (*REFUSED, Refusal) as exc:
            if told(exc) in MISSING:
                return None
            raise

    def find_file(self, path: str) -> bool:
        """Return True if a file has a path, False if nothing has; raises for a directory."""
        entry = self.find(path)
        if entry is not None and entry.is_directory:
            raise Refusal(errno.EISDIR, "A directory has this name")
        return entry is not None

    def entries(self, path: str) -> dict[str, Entry]:
        """Return what a directory holds, links followed."""
        listing = self._listing(path)
        return {
            name: entry or self._follow(posixpath.join(path, name))
            for name, entry in listing.items()
            if name not in {".", ".."}
        }

    def list_names(self, path: str) -> list[str]:
        """Return the base names of what is in a directory."""
        return [name for name in self._listing(path) if name not in {".", ".."}]

    def list_like(self, path: str, pattern: str) -> dict[str, Entry]:
        """Return at least what a directory holds with names of a pattern, as far as that is cheap.

        Servers without facts take patterns; to one that does not, nothing matches.
        """
        if self.has_facts:
            return self.entries(path)
        found = self.in_utc(path, self._matching(path, pattern))
        return {name: entry for name, entry in found.items() if entry is not None}

    def _in_parent(self, path: str) -> Entry:
        parent, name = posixpath.split(path)
        entries: dict[str, Entry] = {}
        problem: ftplib.Error = Refusal(errno.ENOENT, "No such file")
        try:
            entries = self.entries(parent)
        except ftplib.Error as exc:
            problem = exc
        if name in entries:
            return entries[name]
        # The parent may only be passed through, and some servers list it as empty then.
        if not entries and self.can_enter and self._enter(path):
            return _DIRECTORY
        raise problem

    def _by_facts(self, path: str) -> Entry | None:
        try:
            lines = self.ask("MLST", path).split("\n")
        except TimeoutError as exc:
            if "facts" in self.traits:
                raise
            self.traits["facts"] = False
            notice(self.traits, NO_FACTS)
            # On another connection the call is made again.
            raise ConnectionAbortedError(errno.ECONNABORTED, "MLST was not answered") from exc
        finally:
            self.traits.setdefault("facts", True)
        return parse_facts(lines[1].removeprefix(" "))[1] if len(lines) > 2 else None

    def _by_size(self, path: str, *, with_time: bool = True) -> Entry:
        size = self.ask("SIZE", path)[4:].strip()
        if not (size.isascii() and size.isdigit()):
            raise ftplib.error_proto("The reply to SIZE is no number")
        return Entry(int(size), self.time_of(path) if with_time else None)

    def _follow(self, path: str) -> Entry:
        """Describe what a link leads to: files have a size; one that leads nowhere is a file."""
        with suppress(*REFUSED):
            return self._by_size(path)
        return _DIRECTORY if self._enter(path) else Entry(0)

    # -- listings ---------------------------------------------------------------------------------

    def _enter(self, path: str) -> bool:
        """Make a directory the working one; return False if that is refused."""
        # Asked for before it cannot be asked for any more.
        self.home()
        try:
            self.ask("CWD", path)
        except UnknownCommand:
            self.can_enter = False
            entry = self.find(path)
            return entry is not None and entry.is_directory
        except REFUSED:
            return False
        return True

    def _listing(self, path: str) -> Listing:
        if not self._enter(path):
            self._insist_on_entering(path)
        # Servers differ in what they make of an argument: none is the surest.
        argument = "" if self.can_enter else path
        if self.has_facts:
            try:
                return dict(map(parse_facts, self._lines("MLSD", argument)))
            except ftplib.error_perm as exc:
                # 501 comes from servers that take it with an argument alone, and from pyftpdlib
                # where the directory has gone since it was entered.
                if str(exc)[:3] not in {*UNKNOWN, "501"}:
                    raise
                if not self._enter(path):
                    self._insist_on_entering(path)
                self.has_facts = False
        found = self._list(argument)
        if not found and self._lists_itself():
            # It has gone since it was entered, or else it may be entered alone.
            if not self._enter(path):
                self._insist_on_entering(path)
            raise Refusal(errno.EACCES, "The directory cannot be listed")
        return self.in_utc(path, found)

    def _nearest(self, path: str) -> str:
        """Return what can be entered: a path, or else the nearest directory above it."""
        while path != "/" and not self._enter(path):
            path = posixpath.dirname(path)
        return path

    def _insist_on_entering(self, path: str) -> None:
        # What is in the nearest directory tells, and asking there goes no further up.
        above = self._nearest(posixpath.dirname(path))
        first = posixpath.join(above, path[len(above) :].lstrip("/").partition("/")[0])
        entry = self.find(first) if path != "/" else _DIRECTORY
        if entry is None:
            raise Refusal(errno.ENOENT, "No such directory")
        if not entry.is_directory:
            raise Refusal(errno.ENOTDIR, "Not a directory")
        # It may have been made meanwhile, or have gone.
        if not self._enter(path):
            is_missing = self._enter(first) if first != path else self.find(path) is None
            code = errno.ENOENT if is_missing else errno.EACCES
            raise Refusal(code, "The directory cannot be entered")

    def _list(self, argument: str) -> Listing:
        """List by LIST, with the names that begin with a dot where the server knows how."""
        found: Listing = {}
        with suppress(*REFUSED):
            found = self._list_with("LIST -a", argument)
        if not found:
            found = self._list_with("LIST", argument)
        if "." in found:
            self.traits["lists itself"] = True
        return found

    def _lists_itself(self) -> bool:
        """Return True if each directory that may be listed is seen in its own listing.

        If none was seen so yet, the listing of the top directory tells.
        """
        if "lists itself" not in self.traits:
            top: Listing = {}
            with suppress(ftplib.Error):
                if self.can_enter and self._enter("/"):
                    top = self._list_with("LIST -a", "")
            self.traits["lists itself"] = "." in top
        return bool(self.traits["lists itself"])

    def _matching(self, path: str, pattern: str) -> Listing:
        """List what has names of a pattern; nothing where that is not known to work."""
        with suppress(ftplib.Error):
            if self._enter(path) and self.can_enter:
                return self._list_with("LIST -a", pattern)
        return {}

    def _listed(self, path: str) -> datetime | None:
        parent, name = posixpath.split(path)
        entry = self._matching(parent, PATTERN).get(name)
        return None if entry is None else entry.modified
