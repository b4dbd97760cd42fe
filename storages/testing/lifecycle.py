"""Items 111 to 116: threads, processes, tasks and connections."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from .case import ContractCase, Impossible, NotTried, item
from .parallel import in_threads, own_connections

THREADS: Final = 16
ROUNDS: Final = 5  # of six operations each, in every thread, child or task
CHILDREN: Final = 4
TASKS: Final = 20
LIMIT: Final = 60  # seconds after which a call is taken to hang
SPARE_DESCRIPTORS: Final = 8  # that logs, pools and other threads may open meanwhile

#: Where the system lists the open file descriptors of the process that looks.
DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))


#: Every method that asks the service, as it is called.
CALLS: Final[Mapping[str, Callable[[Storage], object]]] = {
    "open": lambda storage: storage.open("a.txt").close(),
    "save": lambda storage: storage.save("b.txt", ContentFile(b"content")),
    "exists": lambda storage: storage.exists("a.txt"),
    "size": lambda storage: storage.size("a.txt"),
    "listdir": lambda storage: storage.listdir(""),
    "get_modified_time": lambda storage: storage.get_modified_time("a.txt"),
    "delete": lambda storage: storage.delete("a.txt"),
}


class LifeCycleContract(ContractCase):
    """Items 111 to 116."""

    #: How often a storage is used while its file descriptors are counted.
    operations: ClassVar[int] = 300

    def drop_connections(self) -> None:
        """Close, from the other side, all connections of this test's storages."""
        raise NotTried("no drop_connections()")

    def silent_storage(self) -> Storage:
        """Return a storage whose server accepts and says nothing, with time limits of a second."""
        raise NotTried("no silent_storage()")

    # -- threads, processes, tasks ----------------------------------------------------------------

    @item(111)
    def test_one_storage_serves_many_threads(self) -> None:
        in_threads(THREADS, lambda index: self.work(f"thread {index}"))
        self.assertEqual(list(self.raw().names()), [])

    @item(111)
    def test_many_threads_may_make_the_first_use_of_a_storage(self) -> None:
        self.save("a.txt")
        storage = self.make_storage()
        getattr(storage, "close", lambda: None)()
        found = in_threads(THREADS, lambda _: self.read("a.txt", storage))
        self.assertEqual(set(found), {b"content"})

    @item(112)
    def test_parent_and_forked_children_all_work(self) -> None:
        if not hasattr(os, "fork"):
            raise Impossible("this system does not fork")
        self.save("parent.txt", b"parent")
        self.assertEqual(self.read("parent.txt"), b"parent")
        children = [self.forked(f"child {index}") for index in range(CHILDREN)]
        self.work("parent")
        self.assertEqual([wait_for(child) for child in children], [""] * CHILDREN)
        self.assertEqual(self.read("parent.txt"), b"parent")

    @item("112b")
    def test_parent_sees_what_its_forked_children_saved(self) -> None:
        if not hasattr(os, "fork"):
            raise Impossible("this system does not fork")
        self.save("parent.txt")
        child = forked(lambda: self.save("child.txt", b"child"))
        self.assertEqual(wait_for(child), "")
        self.assertEqual(self.read("child.txt"), b"child")

    @item("112c")
    def test_file_open_across_a_fork_is_read_in_both_processes(self) -> None:
        if not hasattr(os, "fork"):
            raise Impossible("this system does not fork")
        content = os.urandom(3 << 20)
        self.save("a.bin", content)
        for count in (1000, 2 << 20):
            with self.subTest(read=count), self.storage.open("a.bin") as file:
                head = file.read(count)
                child = forked(lambda: self.assert_same(file.read(), content[count:], "child"))  # noqa: B023
                self.assertEqual(wait_for(child), "")
                self.assert_same(head + file.read(), content, "parent")

    @item(116)
    def test_tasks_may_use_a_storage_in_any_thread(self) -> None:
        for sensitive in (True, False):
            with self.subTest(thread_sensitive=sensitive):
                asyncio.run(self.tasks(thread_sensitive=sensitive))
        self.assertEqual(list(self.raw().names()), [])

    # -- connections ------------------------------------------------------------------------------

    @item(113)
    def test_connection_lost_while_idle_is_replaced(self) -> None:
        self.drop_connections()
        self.raw().put("a.txt", b"content")
        for name, call in CALLS.items():
            if name == "get_modified_time" and not self.has_modified_time:
                continue
            with self.subTest(call=name):
                self.storage.exists("a.txt")
                self.drop_connections()
                call(self.storage)

    @item("113b")
    def test_save_after_a_lost_connection_makes_one_file(self) -> None:
        self.drop_connections()
        self.unique.exists("a.txt")
        self.drop_connections()
        name = self.save("a.txt", b"content", self.unique)
        self.assertEqual(list(self.raw().names()), [name])

    @item(114)
    def test_every_call_ends_when_the_server_is_silent(self) -> None:
        storage = self.silent_storage()
        for name, call in CALLS.items():
            with self.subTest(call=name):
                self.assertIsInstance(error_of(partial(call, storage)), OSError)

    @item(115)
    def test_use_leaves_no_descriptor_open(self) -> None:
        name = self.save("a.txt")
        for _ in range(5):
            self.use(name)
        before = open_descriptors()
        for _ in range(self.operations):
            self.use(name)
        self.assertLessEqual(open_descriptors(), before + SPARE_DESCRIPTORS)

    @item("115b")
    def test_closed_storage_holds_no_connection_and_works_again(self) -> None:
        if not hasattr(self.storage, "close"):
            raise Impossible("it has nothing to close")
        name = self.save("a.txt")
        self.storage.close()
        before = open_descriptors()
        with self.make_storage() as storage:  # type: ignore[attr-defined]
            in_threads(4, lambda _: self.read(name, storage))
        self.assertTrue(eventually(lambda: open_descriptors() <= before))
        self.assertEqual(self.read(name, storage), b"content")

    # -- what the tests do ------------------------------------------------------------------------

    def work(self, directory: str) -> None:
        """Use the storage in a directory of one's own, see only one's own files, and clean up."""
        for number in range(ROUNDS):
            content = f"{directory} {number} ".encode() * 500
            name = self.save(f"{directory}/{number}.txt", content)
            self.assert_same(self.read(name), content, name)
            self.assertTrue(self.storage.exists(name))
            self.assertEqual(self.storage.size(name), len(content))
            self.assertEqual(self.storage.listdir(directory), ([], [f"{number}.txt"]))
            self.storage.delete(name)

    def use(self, name: str) -> None:
        """Read and look up a file, and fail to find another."""
        self.read(name)
        self.storage.size(name)
        self.storage.exists("missing.txt")
        with self.assertRaises(FileNotFoundError):
            self.storage.open("missing.txt")

    def forked(self, directory: str) -> Child:
        """Work in a forked process."""

        def job() -> None:
            self.assertEqual(self.read("parent.txt"), b"parent")
            self.work(directory)

        return forked(job)

    async def tasks(self, *, thread_sensitive: bool) -> None:
        """Work in many tasks at once."""
        work = sync_to_async(own_connections()(self.work), thread_sensitive=thread_sensitive)
        await asyncio.gather(*(work(f"task {index}") for index in range(TASKS)))


Child = tuple[int, int]  # process, and where it says what went wrong


def forked(job: Callable[[], object]) -> Child:
    """Do a job in a forked process."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of other threads; that forking servers have them is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    try:
        signal.alarm(LIMIT)
        job()
    except BaseException:  # noqa: BLE001 - the child may not go on as if it were the parent
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(0)


def wait_for(child: Child) -> str:
    """Return what went wrong in a forked process, ``""`` for nothing."""
    process, reading = child
    with os.fdopen(reading, "rb") as said:
        text = said.read().decode()
    _, status = os.waitpid(process, 0)
    return text if os.waitstatus_to_exitcode(status) == 0 else f"{text} ended with {status}"


def error_of(call: Callable[[], object]) -> BaseException | None:
    """Return what a call raises, None for nothing; a call that does not end is a failure."""
    errors: list[BaseException | None] = []

    def run() -> None:
        try:
            with own_connections():
                call()
        except Exception as exc:  # noqa: BLE001 - the test tells which are right
            errors.append(exc)
        else:
            errors.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    if not errors:
        raise AssertionError(f"The call did not end within {LIMIT} seconds.")
    return errors[0]


def open_descriptors() -> int:
    """Return how many file descriptors this process has open."""
    for directory in DESCRIPTORS:
        if directory.is_dir():
            return len(list(directory.iterdir()))
    raise Impossible("this system does not list open descriptors")


def eventually(condition: Callable[[], bool]) -> bool:
    """Return True if a condition comes true, which another process or thread may have to see to."""
    end = time.monotonic() + LIMIT / 6
    while not (found := condition()) and time.monotonic() < end:
        threading.Event().wait(0.01)
    return found
