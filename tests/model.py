"""Random programs on an open file, run on backends and on Django's own storage side by side.

``python -m tests.model BACKEND N [SEED]`` runs N programs and ends at the first that differs;
several backends, joined by commas, share the runs on Django's own.
"""

from __future__ import annotations

import array
import codecs
import contextlib
import hashlib
import io
import mmap
import os
import pickle
import random
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from types import SimpleNamespace
from typing import Any, NamedTuple

import django
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage
from django.core.files.uploadedfile import InMemoryUploadedFile, TemporaryUploadedFile
from django.db.models import FileField
from django.db.models.fields.files import FieldFile

from tests.model_backends import BACKENDS

MODES = ("rb", "r", "wb", "w", "ab", "a", "xb", "x", "r+b", "r+", "w+b", "w+", "a+b", "a+")
WRONG_MODES = ("rw", "rbt", "b", "+", "rr", "z")
TEXT = "one\ntwo\r\nthree\rfour é 漢 😀\n\nlast"
NAME = "file.txt"
STEPS = 12  # of a program at most
#: Bytes of a file being written that stay in memory, so that programs leave it now and then.
IN_MEMORY = 20_000

#: What differs on purpose, and is not tried or not compared.
ON_PURPOSE = {
    "visibility": "What is written shows at close(), all of it or nothing: Django's own storage "
    "shows half-written files. Contents are compared once a file is closed, and a file is closed "
    "before its name is deleted or saved to.",
    "an exception in a with block": "What was written is dropped; Django's file has it.",
    "size": "Django keeps the first answer, which programs drop; here it is always the present "
    "one, of a field that of the stored file.",
    "size of a compressed file": "A field tells that of what is stored.",
    "mode after reopening": "Django's files keep the mode they were first opened in.",
    "reopening what is gone": "Here as open() says it, FileNotFoundError; Django's ValueError.",
    "fileno of a file being read": "Over a network there is none; Pillow and others fall back.",
    "directories": "Opening a file to be written makes its directories here.",
    "reading and appending": "What Python gives where a file in mode a+ is read, written and read "
    "again without a seek between hangs on the size of its buffer. Programs seek to the end first.",
    "secrets": "A pickle holds none, so that a storage that was given some in code has to be "
    "given them again. Fields keep theirs.",
    "two open files": "The second to close raises where Django's mixes or loses what was written.",
}

Step = tuple[str, tuple[Any, ...]]
Outcome = tuple[str, Any]

NUMBERS = (0, 1, 2, 5, 7, 100, 9000, 70_000)
DATA = ("", "x", "line\n", "a\r\nb\r", "é漢😀", "y" * 9000, "z" * 40_000)
CONTENTS = ("bytes", "text", "upload in memory", "upload on disk", "moved", "stream", "stored")
#: What Python's open takes and Django's File.open passes on.
TEXT_OPTIONS: tuple[dict[str, str], ...] = (
    {"newline": ""},
    {"newline": "\n"},
    {"newline": "\r"},
    {"newline": "\r\n"},
    {"encoding": "latin-1"},
    {"encoding": "latin-1", "errors": "replace"},
    {"encoding": "utf-8-sig", "newline": ""},
    {"encoding": "utf-16", "errors": "replace"},
    {"errors": "ignore"},
)
WRONG_CALLS: tuple[tuple[str, Any], ...] = (
    ("read", "x"),
    ("read", 1.5),
    ("read", -5),
    ("readline", "x"),
    ("readlines", "x"),
    ("readinto", b"x"),
    ("seek", "x"),
    ("seek", 1.5),
    ("seek", None),
    ("truncate", "x"),
    ("truncate", -1),
    ("write", None),
    ("write", 5),
    ("writelines", None),
    ("writelines", [5]),
)


def _number(chance: random.Random) -> tuple[int]:
    return (chance.choice(NUMBERS),)


def _data(chance: random.Random) -> tuple[str]:
    return (chance.choice(DATA),)


def _mode(chance: random.Random) -> tuple[str]:
    return (chance.choice(MODES),)


def _fixed(*arguments: Any) -> Callable[[random.Random], tuple[Any, ...]]:
    return lambda _chance: arguments


#: Steps and what draws their arguments; what stands twice is drawn more often.
DRAWN: tuple[tuple[str, Callable[[random.Random], tuple[Any, ...]]], ...] = (
    ("read", _number),
    ("read", _fixed()),
    ("read", lambda chance: (chance.choice((-1, None)),)),
    ("readline", _fixed()),
    ("readline", _number),
    ("readlines", _fixed()),
    ("readlines", _number),
    ("readinto", _number),
    ("iterate", _fixed()),
    ("first lines", lambda chance: (chance.choice((1, 2, 3)),)),
    ("chunks", lambda chance: (chance.choice((1000, 65_536)),)),
    ("write", _data),
    ("write", _data),
    ("write", _data),
    ("writelines", lambda chance: ([chance.choice(DATA), "more\n"],)),
    ("write buffer", _data),
    ("write other", _data),
    ("wrong call", lambda chance: chance.choice(WRONG_CALLS)),
    ("seek", _number),
    ("seek", _fixed(0)),
    ("seek", _fixed(0, 2)),
    ("seek", lambda chance: (chance.choice((0, 3, -2)), chance.choice((1, 2)))),
    ("seek", lambda chance: chance.choice(((-1,), (0, 9)))),
    ("seek data", _fixed()),
    ("back", _fixed()),
    ("tell", _fixed()),
    ("truncate", _fixed()),
    ("truncate", _number),
    ("flush", _fixed()),
    ("descriptor", _data),
    ("map", _fixed()),
    ("zip", _data),
    ("digest", _fixed()),
    ("wrap", _fixed()),
    ("with", _data),
    ("reopen", _mode),
    ("reopen", _fixed()),
    ("reopen", lambda chance: (chance.choice(WRONG_MODES),)),
    ("close", _fixed()),
    ("close and reopen", _mode),
    ("close and reopen", _mode),
    ("reopen as text", lambda chance: (*_mode(chance), chance.choice(TEXT_OPTIONS))),
    ("reopen as text", lambda chance: (chance.choice(("r", "r+")), {"encoding": "none"})),
    ("abilities", _fixed()),
    ("size", _fixed()),
    ("save", lambda chance: (chance.choice(CONTENTS), chance.choice(DATA))),
    ("delete", lambda chance: (*_mode(chance), chance.random() < 0.5)),
    ("fresh", _fixed()),
    ("pickle", _fixed()),
    ("commit", _data),
)


class Program:
    """A content that is there before, whether a field is used, and steps."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.seed = seed
        size = chance.choice((0, 1, 20, 3000, 20_000))
        self.before = chance.choice((None, (TEXT * (size // 30 + 1)).encode()[:size]))
        if self.before is not None:
            # No character is cut in two.
            self.before = self.before.decode(errors="ignore").encode()
        self.by_field = chance.random() < 0.3
        self.steps: list[Step] = [("open", _mode(chance))]
        for name, draw in chance.choices(DRAWN, k=chance.randint(1, STEPS)):
            self.steps.append((name, draw(chance)))

    def __str__(self) -> str:
        kind = "field" if self.by_field else "storage"
        before = "nothing" if self.before is None else f"{len(self.before)} bytes"
        steps = ", ".join(_short(each) for each in self.steps)
        return f"program {self.seed}: {kind}, {before} before: {steps}"


class Run:
    """One program on one storage."""

    def __init__(self, storage: Storage, program: Program, name: str) -> None:
        self.storage = storage
        self.name = name
        self.program = program
        self.file: Any = None
        self.mode = ""
        self.told = 0

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what each step gives or raises, and in the end what is stored."""
        if self.program.before is not None:
            self.storage.save(self.name, ContentFile(self.program.before))
        for name, arguments in self.program.steps:
            yield self._outcome(name, arguments)
        yield self._outcome("close", ())
        yield self._outcome("stored", ())
        self.storage.delete(self.name)

    def _outcome(self, name: str, arguments: tuple[Any, ...]) -> Outcome:
        if self.file is None and name not in {"close", "stored"}:
            # The name was taken, or not there: it is written anew.
            name, arguments = "open", arguments if name == "open" else ("w+b",)
        try:
            value = getattr(self, "_" + name.replace(" ", "_"))(*arguments)
        except Exception as exc:  # noqa: BLE001 - which one it is, is what is compared
            return name, _kind(exc)
        return name, value

    def _data(self, text: str) -> Any:
        return text.encode() if "b" in self.mode else text

    # -- opening and closing ----------------------------------------------------------------------

    def _open(self, mode: str) -> None:
        self.mode, self.told = mode, 0
        if self.program.by_field:
            opened = self._field_file()
            opened.open(mode)
            self.file = opened
        else:
            self.file = self.storage.open(self.name, mode)

    def _field_file(self) -> Any:
        """Return the file of a field that is not open."""
        field = FileField(storage=self.storage)
        field.set_attributes_from_name("file")
        instance: Any = SimpleNamespace()
        return FieldFile(instance, field, self.name)  # type: ignore[arg-type]

    def _reopen(self, mode: str | None = None, **options: str) -> None:
        was_closed, mode = self.file.closed, mode or self.mode
        self.file.open(mode, **options)
        if was_closed:
            self.mode, self.told = mode, 0

    def _close_and_reopen(self, mode: str) -> None:
        self.file.close()
        self._reopen(mode)

    def _reopen_as_text(self, mode: str, options: dict[str, str]) -> None:
        self.file.close()
        # The files of fields take none, nor do those of older Djangos.
        self._reopen(mode, **({} if self.program.by_field or django.VERSION < (5,) else options))

    def _close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _with(self, text: str) -> Any:
        if self.file.closed:
            return None
        with self.file as file, contextlib.suppress(UnicodeError):
            return self._write(text) if file.writable() else file.read(10)

    def _fresh(self) -> None:
        """Go on with a file of a field that opens itself when it is first read."""
        if self.program.by_field:
            self.file.close()
            self.file, self.mode, self.told = self._field_file(), "rb", 0

    def _pickle(self) -> None:
        if self.program.by_field:
            self.file.close()
            self.file, self.mode, self.told = pickle.loads(pickle.dumps(self.file)), "rb", 0
            self.file.storage = self.file.field.storage = self.storage

    # -- reading ----------------------------------------------------------------------------------

    def _read(self, *arguments: int | None) -> Any:
        return self.file.read(*arguments)

    def _readline(self, *arguments: int) -> Any:
        return self.file.readline(*arguments)

    def _readlines(self, *arguments: int) -> Any:
        return self.file.readlines(*arguments)

    def _readinto(self, size: int) -> Any:
        buffer = bytearray(size)
        return self.file.readinto(buffer), bytes(buffer)

    def _iterate(self) -> Any:
        # `list` would ask for a length first, and a field asks the storage for it.
        return [line for line in self.file]  # noqa: C416

    def _first_lines(self, count: int) -> Any:
        return list(islice(self.file, count))

    def _chunks(self, size: int) -> Any:
        return list(self.file.chunks(size))

    def _digest(self) -> str:
        return hashlib.file_digest(self.file, "md5").hexdigest()

    def _wrap(self) -> str:
        wrapper = io.TextIOWrapper(self.file, "utf-8", "replace", "")
        try:
            return wrapper.read()
        finally:
            with contextlib.suppress(ValueError):
                wrapper.detach()

    # -- writing ----------------------------------------------------------------------------------

    def _go_to_end(self) -> None:
        if {"a", "+"} <= set(self.mode):
            self.file.seek(0, 2)

    def _write(self, text: str) -> Any:
        self._go_to_end()
        return self.file.write(self._data(text))

    def _writelines(self, lines: list[str]) -> None:
        self._go_to_end()
        self.file.writelines([self._data(each) for each in lines])

    def _write_buffer(self, text: str) -> Any:
        self._go_to_end()
        first = self.file.write(bytearray(text.encode()))
        return first, self.file.write(array.array("H", range(len(text))))

    def _write_other(self, text: str) -> Any:
        return self.file.write(text if "b" in self.mode else text.encode())

    def _truncate(self, *arguments: int) -> Any:
        return self.file.truncate(*arguments)

    def _flush(self) -> None:
        self.file.flush()

    def _descriptor(self, text: str) -> None:
        if not self.file.writable():
            return
        self.file.flush()
        os.write(self.file.fileno(), text.encode())

    def _map(self) -> int:
        if not {"+", "b"} <= set(self.mode):
            return 0
        self.file.flush()
        with mmap.mmap(self.file.fileno(), 0) as memory:
            memory[-1:] = b"M"
            return len(memory)

    def _zip(self, text: str) -> Any:
        if "b" not in self.mode or not self.file.writable():
            return None
        self._go_to_end()
        with zipfile.ZipFile(self.file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.txt"), text)
        if self.file.readable():
            with zipfile.ZipFile(self.file) as archive:
                return archive.read("a.txt")
        return None

    # -- positions and abilities ------------------------------------------------------------------

    def _seek(self, *arguments: int) -> Any:
        if "b" not in self.mode and arguments[0] > 0:
            return None  # only what tell() gave is a position of a text
        if arguments == (-1,) and "+" in self.mode:
            return None  # where Python's buffer is after that hangs on its size
        return self.file.seek(*arguments)

    def _seek_data(self) -> Any:
        # The files of this machine know more kinds of positions than Python's others. Before
        # Python 3.13 a move that is refused leaves any file with unwritten bytes in disorder.
        self.file.flush()
        with contextlib.suppress(ValueError, OSError):
            self.file.seek(0, 3)
        return self.file.seek(0)

    def _back(self) -> Any:
        return self.file.seek(self.told)

    def _tell(self) -> int:
        self.told = self.file.tell()
        return self.told

    def _abilities(self) -> Any:
        file = self.file
        can = file.closed, file.readable(), file.writable(), file.seekable()
        name = bool(file), os.path.basename(str(file.name)), os.path.basename(str(file))  # noqa: PTH119
        encoding = codecs.lookup(file.encoding).name if "b" not in self.mode else None
        return can, name, encoding, file.isatty()

    def _size(self) -> Any:
        file = self.file
        # A field asks the storage, which knows what is stored alone.
        if self.program.by_field or file.closed:
            self._close_and_reopen("rb")
        if self.program.by_field and getattr(self.storage, "gzip", False):
            file = file.file
        file.flush()
        vars(file).pop("size", None)
        return file.size, len(file), file.multiple_chunks(1000)

    def _wrong_call(self, method: str, argument: Any) -> Any:
        return getattr(self.file, method)(argument)

    # -- the name ---------------------------------------------------------------------------------

    def _stored(self) -> bytes:
        try:
            with self.storage.open(self.name) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return b""

    def _delete(self, mode: str, leaves: bool) -> Any:
        if self.program.by_field:
            self.file.delete(save=False)
            if leaves:
                return self.file.name, bool(self.file), self.file.closed
        else:
            self.file.close()
            self.storage.delete(self.name)
        self.file = None
        return self._open(mode)

    def _save(self, kind: str, text: str) -> Any:
        self._free_name()
        with _content(self.storage, self.name, kind, text) as content:
            if self.program.by_field:
                self.file.save(self.name, content, save=False)
                return self.file.name == self.name, self.file.closed, content.closed
            return self.storage.save(self.name, content) == self.name, content.closed

    def _commit(self, text: str) -> Any:
        """Store what a form has given to a field, as saving the instance does."""
        if not self.program.by_field:
            return None
        self._free_name()
        given = self._field_file()
        given.file = ContentFile(text.encode(), self.name)
        vars(given)["_committed"] = False
        before = given.size, given.read(3), given.closed
        given.instance.file = given
        saved = given.field.pre_save(given.instance, add=True)
        self.file = self._field_file()
        return before, saved.name == self.name, saved.size

    def _free_name(self) -> None:
        self.file.close()
        self.storage.delete(self.name)
        self.mode, self.told = "rb", 0


class _Stream:
    """A content that can be read once, in order."""

    closed = False

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


@contextmanager
def _content(storage: Storage, name: str, kind: str, text: str) -> Iterator[Any]:
    """Give a content to save, of a kind that views and forms give."""
    data = text.encode()
    if kind == "upload on disk":
        with TemporaryUploadedFile("a.txt", "text/plain", len(data), None) as upload:
            upload.write(data)
            upload.flush()
            yield upload
    elif kind == "stored":
        other = storage.save(f"other-{name}", ContentFile(data))
        with storage.open(other) as file:
            file.read(2)
            yield file
        storage.delete(other)
    else:
        stream = io.BytesIO(data)
        stream.seek(len(data) // 2)
        yield {
            "bytes": lambda: ContentFile(data),
            "text": lambda: ContentFile(text),
            "upload in memory": lambda: InMemoryUploadedFile(
                stream, "file", "a.txt", "text/plain", len(data), None
            ),
            "moved": lambda: File(stream, name),
            "stream": lambda: _Stream(data),
        }[kind]()


def _kind(exc: Exception) -> str:
    """Name the kind of an error; what reopening a file that is gone raises counts as one."""
    if isinstance(exc, FileNotFoundError) or "cannot be reopened" in str(exc):
        return "gone"
    kinds = (io.UnsupportedOperation, FileExistsError, TypeError, UnicodeError, OSError, ValueError)
    return next((kind.__name__ for kind in kinds if isinstance(exc, kind)), type(exc).__name__)


class Pair(NamedTuple):
    """Storages under test, by name, and Django's own beside them."""

    ours: dict[str, Storage]
    django_own: Storage


@contextmanager
def opened(*backends: str) -> Iterator[Pair]:
    """Make the storages of backends; raise MissingServer if one cannot run here."""
    with ExitStack() as stack:
        ours = {each: stack.enter_context(BACKENDS[each]()) for each in backends}
        for each in ours.values():
            each.max_memory_size = IN_MEMORY
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        yield Pair(ours, FileSystemStorage(directory))


def difference(pair: Pair, seed: int) -> str | None:
    """Run a program on storages and on Django's own; return where they first differ."""
    program, name = Program(seed), f"{uuid.uuid4().hex}-{NAME}"
    expected = list(Run(pair.django_own, program, name).outcomes())
    for backend, storage in pair.ours.items():
        outcomes = Run(storage, program, name).outcomes()
        for number, (ours, own) in enumerate(zip(outcomes, expected, strict=True)):
            if ours != own:
                where = f"{program}\nstep {number} on {backend}"
                return f"{where}: {_short(ours)}\nDjango: {_short(own)}"
    return None


def _short(step: Step | Outcome) -> str:
    text = repr(step)
    return text if len(text) < 300 else f"{text[:150]} … {text[-100:]} ({len(text)})"


def main(backends: str, count: int, first: int = 0) -> int:
    """Run programs on backends; return 1 if one differs."""
    with opened(*backends.split(",")) as pair:
        for seed in range(first, first + count):
            if found := difference(pair, seed):
                print(found)
                return 1
            if (seed + 1) % 10_000 == 0:
                print(f"{seed + 1 - first} programs", flush=True)
    print(f"{backends}: {count} programs from {first}, no difference")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
