"""How a server gives a name to one client alone, found out once for each server."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from storages import temporaries
from storages.temporaries import NO_EXCLUSION, beside, notice

from .messages import Attributes
from .session import CREATE_NEW, Session

Way = Literal["rename", "link", "create", "nothing"]


def take(session: Session, temporary: str, path: str) -> None:
    """Give a temporary file a name; raises FileExistsError if that is taken."""
    way = session.traits.setdefault("exclusive", "") or _learn(session, path)
    if way == "rename":
        session.move(temporary, path)
    elif way == "link":
        _link(session, temporary, path)
    elif way == "create":
        _create(session, temporary, path)
    else:
        with temporaries.alone:
            if session.is_there(path):
                raise FileExistsError(errno.EEXIST, "The name is taken")
            session.move(temporary, path)


def _link(session: Session, temporary: str, path: str) -> None:
    if _takes(session.link, temporary, path, session):
        # The name is taken, whatever comes of this.
        with suppress(*session.refusals):
            session.remove_file(temporary)
        return
    if session.is_there(path):
        raise FileExistsError(errno.EEXIST, "The name is taken")
    # The server may have several file systems, and not all of them have links.
    session.move(temporary, path)


def is_linked(session: Session, temporary: str, path: str) -> bool:
    """Return True if two names are one file: a time that is set by one is told by the other."""
    try:
        time, other = (session.lookup(each).modified for each in (temporary, path))
        if time is None or time != other:
            return False
        _set_time(session, temporary, time - 1)
        is_one = session.lookup(path).modified == time - 1
        _set_time(session, temporary, time)
    except session.refusals:
        return False
    return is_one


def _set_time(session: Session, path: str, seconds: int) -> None:
    session.set_attributes(path, Attributes(accessed=seconds, modified=seconds))


def _create(session: Session, temporary: str, path: str) -> None:
    """Hold the name with an empty file for an instant."""
    session.close(session.open(path, CREATE_NEW))
    try:
        session.move(temporary, path)
    except session.refusals:
        with suppress(*session.refusals):
            session.remove_file(path)
        raise


def _learn(session: Session, path: str) -> Way:
    found: Way = "rename" if "OpenSSH" in session.server else _probe(session, path)
    if found == "nothing":
        notice(session.traits, NO_EXCLUSION)
    session.traits["exclusive"] = found
    return found


def _probe(session: Session, path: str) -> Way:
    names = [beside(path, "part") for _ in range(3)]
    try:
        return _way(session, *names)
    finally:
        for each in names:
            with suppress(*session.refusals):
                session.remove_file(each)


def _way(session: Session, first: str, second: str, third: str) -> Way:
    for path in (first, second):
        session.close(session.open(path, CREATE_NEW))
    # A system links in one step. Servers that refuse to rename to a taken name may look for it
    # first and rename then: two clients can get the name between the steps (ProFTPD's mod_sftp).
    has_links = "hardlink@openssh.com" in session.extensions
    is_linked_once = has_links and _takes(session.link, first, third, session)
    if is_linked_once and not _takes(session.link, second, third, session):
        return "link"
    if not _takes(session.move, first, second, session):
        return "rename"
    try:
        session.close(session.open(second, CREATE_NEW))
    except session.refusals:
        return "create"
    return "nothing"


def _takes(rename: Callable[[str, str], None], path: str, target: str, session: Session) -> bool:
    try:
        rename(path, target)
    except session.refusals:
        return False
    except OSError as exc:
        if exc.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True
