"""What DatabaseStorage does where server, network, table or rights are bad."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.db import connections
from django.test import override_settings
from django.views.debug import ExceptionReporter

from storages.backends.database import DatabaseStorage
from tests.backends.database.server import COLUMNS, MORE, Place, RawTable
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

CONTENT = os.urandom(400_000)
#: The words with which each server ends the session that has another's number.
ENDINGS = {
    "postgresql": "SELECT pg_terminate_backend({0})",
    "mariadb": "KILL {0}",
}
#: Triggers that make the next so many changes fail in a certain way.
FAILING = {
    "postgresql": """
        CREATE FUNCTION "{0}_fail"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('"{0}_count"') <= {1} THEN RAISE EXCEPTION 'x' USING ERRCODE = '{2}'; END IF;
        RETURN NEW; END $$;
        CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON "{0}"
        FOR EACH ROW EXECUTE FUNCTION "{0}_fail"()
        """,
    "mariadb": """
        CREATE TRIGGER `{0}_fail` BEFORE INSERT ON `{0}` FOR EACH ROW
        IF NEXTVAL(`{0}_count`) <= {1} THEN
        SIGNAL SQLSTATE '{2}' SET MYSQL_ERRNO = {3}, MESSAGE_TEXT = 'x'; END IF
        """,
}
SERVERS = pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)
DATABASES = pytest.mark.parametrize("place", ["sqlite", "postgresql", "mariadb"], indirect=True)


@pytest.fixture
def table() -> str:
    return f"Faults_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def raw(place: Place, table: str) -> RawTable:
    return RawTable(place, table)


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    assert place.server is not None
    with Proxy(*place.server.address) as proxy:
        yield proxy


@contextmanager
def made(place: Place, table: str, via: Proxy | None = None, **more: Any) -> Iterator[Any]:
    """Give an overwriting storage on a table of its own, which holds one file."""
    options = {**place.options(via), "db_table": table, **COLUMNS, **MORE, **more}
    with DatabaseStorage(**options) as storage:
        storage.create_table()
        save(storage, "before.bin")
        yield storage
    place.execute(f'DROP TABLE IF EXISTS "{table}"')


def another(storage: DatabaseStorage, **more: Any) -> DatabaseStorage:
    """Return a storage with the options of another, and some different ones."""
    _, _, options = storage.deconstruct()
    return DatabaseStorage(**{**options, "password": storage.password, **more})


@pytest.fixture
def storage(place: Place, table: str) -> Iterator[DatabaseStorage]:
    """A storage without anything in between."""
    with made(place, table) as storage:
        yield storage


@pytest.fixture
def behind(place: Place, table: str, proxy: Proxy) -> Iterator[DatabaseStorage]:
    """A storage behind the proxy."""
    with made(place, table, proxy) as storage:
        yield storage


def save(storage: Any, name: str = "a.bin", content: bytes = CONTENT) -> str:
    found: str = storage.save(name, ContentFile(content))
    return found


def read(storage: Any, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


# -- connecting (G1 to G3, report 13) --------------------------------------------------------------


@SERVERS
def test_refused_connection_is_told_as_that(place: Place) -> None:  # G1
    options = {**place.options(), "port": refusing_port()}
    storage = DatabaseStorage(**options, db_table="x", **COLUMNS)
    with pytest.raises(ConnectionRefusedError, match="check host and port"):
        storage.exists("a")


@SERVERS
def test_unknown_host_name_is_told_as_that(place: Place) -> None:  # G2
    options = {**place.options(), "host": "no-such-host.invalid"}
    storage = DatabaseStorage(**options, db_table="x", **COLUMNS)
    with pytest.raises(OSError, match="does not resolve") as caught:
        storage.exists("a")
    assert caught.value.errno == errno.EHOSTUNREACH


@SERVERS
def test_server_that_accepts_and_says_nothing_is_given_up(place: Place) -> None:  # G3
    with socket.create_server((HOST, 0)) as silent:
        options = {**place.options(), "port": silent.getsockname()[1], "timeout": 0.5}
        storage = DatabaseStorage(**options, db_table="x", **COLUMNS)
        with pytest.raises(TimeoutError):
            storage.exists("a")


def told_of(storage: DatabaseStorage) -> tuple[str, str]:
    """Return the traceback of a login that fails, and Django's page for it."""
    try:
        storage.exists("a")
    except PermissionError as exc:
        # The page shows the variables of every function on the way.
        with override_settings(DEBUG=True):
            page = ExceptionReporter(None, type(exc), exc, exc.__traceback__)
            return "".join(traceback.format_exception(exc)), page.get_traceback_html()
    raise AssertionError("the login was not refused")


@SERVERS
def test_wrong_password_is_told_and_not_shown(place: Place) -> None:
    options = {**place.options(), "password": "wrong;word"}
    told, page = told_of(DatabaseStorage(**options, db_table="x", **COLUMNS))
    assert "The login is refused" in told
    assert "authentication failed" in told or "Access denied" in told
    assert "told_of" in page
    assert "wrong;word" not in told + page


def test_driver_that_is_not_installed_is_named_as_what_to_change() -> None:  # report 8: 01000
    storage = DatabaseStorage(driver="No Such Driver", db_table="x", **COLUMNS)
    with pytest.raises(ImproperlyConfigured, match="DATABASE_ODBC_DRIVER"):
        storage.exists("a")


@SERVERS
def test_missing_database_is_a_mistake_in_the_configuration(place: Place) -> None:
    options = {**place.options(), "database": "no_such_database"}
    storage = DatabaseStorage(**options, db_table="x", **COLUMNS)
    with pytest.raises(ImproperlyConfigured, match="no such database"):
        storage.exists("a")


# -- broken connections (G4 to G13, D1 to D3) ------------------------------------------------------


@SERVERS
@pytest.mark.parametrize("call", [save, read, lambda each: each.listdir("")])
def test_server_that_falls_silent_is_given_up(
    behind: DatabaseStorage, proxy: Proxy, call: Callable[[Any], Any]
) -> None:
    with another(behind, timeout=0.5) as storage:
        storage.exists("a")
        proxy.silence()
        with pytest.raises(TimeoutError, match="does not answer"):
            call(storage)
        proxy.clear()
        assert read(storage) == CONTENT


@SERVERS
def test_trickle_ends_by_the_time_limit(behind: DatabaseStorage, proxy: Proxy) -> None:  # G11
    with another(behind, timeout=0.5) as storage:
        storage.exists("a")
        proxy.bandwidth(1)
        with pytest.raises(TimeoutError):
            storage.exists("a")


@SERVERS
@pytest.mark.parametrize("after", [0, 100, 200_000])
@pytest.mark.parametrize("fault", ["reset_peer", "limit_data"])
def test_broken_download_begins_anew(  # G4 to G6
    behind: DatabaseStorage, proxy: Proxy, fault: str, after: int
) -> None:
    behind.exists("a")
    getattr(proxy, fault)(after, "down", times=1)
    assert read(behind) == CONTENT


@SERVERS
@pytest.mark.parametrize("after", [0, 100, 200_000])
@pytest.mark.parametrize("fault", ["reset_peer", "limit_data"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_broken_upload_begins_anew_and_leaves_nothing_else(  # G7, D2
    behind: DatabaseStorage, proxy: Proxy, raw: RawTable, fault: str, after: int, overwrite: bool
) -> None:
    with another(behind, file_overwrite=overwrite) as storage:
        storage.exists("a")
        getattr(proxy, fault)(after, "up", times=1)
        assert save(storage) == "a.bin"
    assert raw.get("a.bin") == CONTENT
    assert sorted(raw.names()) == ["a.bin", "before.bin"]


@SERVERS
def test_upload_that_breaks_each_time_replaces_nothing(
    behind: DatabaseStorage, proxy: Proxy, raw: RawTable
) -> None:
    proxy.reset_peer(200_000, "up")
    with pytest.raises(ConnectionError, match="was lost"):
        save(behind, "before.bin", bytes(CONTENT))
    proxy.clear()
    assert raw.get("before.bin") == CONTENT


@SERVERS
@pytest.mark.parametrize("columns", [MORE, {}], ids=["time", "three columns"])
def test_lost_reply_makes_no_second_file(  # G8, D3
    place: Place, table: str, proxy: Proxy, raw: RawTable, columns: dict[str, str]
) -> None:
    # Wherever a connection breaks, before or after the reply, one file comes of it.
    none = dict.fromkeys(MORE, None)
    with made(place, table, proxy, file_overwrite=False, **{**none, **columns}) as storage:
        for number, position in enumerate(positions(proxy, lambda: save(storage, "a", b"content"))):
            proxy.reset_peer(position, "down", times=1)
            assert save(storage, f"{number}.bin", b"content") == f"{number}.bin"
            proxy.clear()
        assert sorted(raw.names()) == sorted(["a", "before.bin", *(f"{n}.bin" for n in range(40))])


def positions(proxy: Proxy, call: Callable[[], Any]) -> list[int]:
    """Return 40 positions in what the server sends while something is done."""
    before = proxy.bytes_down
    call()
    sent = proxy.bytes_down - before
    return [number * sent // 40 for number in range(40)]


@SERVERS
def test_lost_reply_of_a_change_is_no_change_by_another(  # G8
    behind: DatabaseStorage, proxy: Proxy, raw: RawTable
) -> None:
    def edit(number: int) -> None:
        with behind.open("before.bin", "r+b") as file:
            file.write(b"%d" % number)

    for number, position in enumerate(positions(proxy, lambda: edit(40))):
        proxy.reset_peer(position, "down", times=1)
        edit(number)
        proxy.clear()
        assert (raw.get("before.bin") or b"").startswith(b"%d" % number)


@SERVERS
def test_server_restarted_between_operations_is_found_again(  # G9
    place: Place, storage: DatabaseStorage
) -> None:
    assert place.server is not None
    place.server.restart()
    assert read(storage) == CONTENT


@SERVERS
def test_killed_session_is_replaced_and_the_statement_run_once(  # D1, report 8
    place: Place, storage: DatabaseStorage, raw: RawTable
) -> None:
    with another(storage, file_overwrite=False) as unique:
        for number in range(3):
            end_sessions(place)
            assert save(unique, f"{number}.bin") == f"{number}.bin"
            end_sessions(place)
            assert read(unique) == CONTENT
    assert len(raw.names()) == 4


def end_sessions(place: Place) -> None:
    """End all sessions on the server but the one that does it."""
    if place.kind == "postgresql":
        found = (
            "SELECT pid FROM pg_stat_activity WHERE usename = 'files' AND pid <> pg_backend_pid()"
        )
    else:
        found = (
            "SELECT id FROM information_schema.processlist "
            "WHERE user = 'files' AND id <> CONNECTION_ID()"
        )
    for (number,) in place.execute(found):
        with suppress(Exception):
            place.execute(ENDINGS[place.kind].format(number))


@SERVERS
def test_many_small_pieces_are_put_together(behind: DatabaseStorage, proxy: Proxy) -> None:  # G13
    save(behind, "small.bin", CONTENT[:5000])
    proxy.slicer(1, "down")
    assert read(behind, "small.bin") == CONTENT[:5000]
    assert behind.listdir("")[1] == ["before.bin", "small.bin"]


@SERVERS
def test_distant_server_is_only_slower(behind: DatabaseStorage, proxy: Proxy) -> None:  # G12
    proxy.latency(0.05)
    assert read(behind) == CONTENT
    assert save(behind) == "a.bin"


@SERVERS
def test_killed_process_leaves_no_part_of_an_upload(  # G17
    place: Place, behind: DatabaseStorage, proxy: Proxy, raw: RawTable
) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"x")
            save(behind, "before.bin", bytes(5_000_000))
        finally:
            os._exit(0)
    os.read(reading, 1)
    proxy.bandwidth(500_000, "up")
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    for end in (reading, writing):
        os.close(end)
    proxy.clear()
    assert raw.get("before.bin") in (CONTENT, bytes(5_000_000))
    assert raw.names() == ["before.bin"]


# -- locks and deadlocks (D4, D5) ------------------------------------------------------------------


def fail(place: Place, table: str, times: int, state: str, number: int) -> Callable[[], None]:
    """Make the next changes of a table fail; return what undoes that."""
    place.execute(f'CREATE SEQUENCE "{table}_count"')
    place.execute(FAILING[place.kind].format(table, times, state, number))

    def undo() -> None:
        if place.kind == "postgresql":
            place.execute(f'DROP FUNCTION "{table}_fail" CASCADE')
        else:
            place.execute(f'DROP TRIGGER "{table}_fail"')
        place.execute(f'DROP SEQUENCE "{table}_count"')

    return undo


@SERVERS
@pytest.mark.parametrize("overwrite", [True, False])
def test_deadlock_is_tried_again(  # D4
    place: Place, storage: DatabaseStorage, table: str, raw: RawTable, overwrite: bool
) -> None:
    undo = fail(place, table, 2, "40001", 1213)
    with another(storage, file_overwrite=overwrite) as again:
        assert save(again) == "a.bin"
    undo()
    assert raw.get("a.bin") == CONTENT


@SERVERS
def test_deadlock_without_end_is_given_up(  # D4
    place: Place, storage: DatabaseStorage, table: str, raw: RawTable
) -> None:
    undo = fail(place, table, 100, "40001", 1213)
    with pytest.raises(OSError, match="deadlock") as caught:
        save(storage)
    undo()
    assert caught.value.errno == errno.EDEADLK
    assert raw.names() == ["before.bin"]


@DATABASES
def test_row_that_another_transaction_holds_is_a_timeout(  # D5
    place: Place, storage: DatabaseStorage, table: str
) -> None:
    with closing(place.connect()) as holder, another(storage, timeout=1.0) as hasty:
        cursor = holder.cursor()
        cursor.execute("BEGIN" if place.kind != "sqlite" else "BEGIN EXCLUSIVE")
        quote = "`" if place.kind == "mariadb" else '"'
        cursor.execute(f"UPDATE {quote}{table}{quote} SET {quote}SIZE{quote} = 1")
        with pytest.raises(TimeoutError, match=r"another transaction|does not answer"):
            save(hasty, "before.bin", b"other")
        cursor.execute("ROLLBACK")
        assert read(hasty) == CONTENT


WAITING = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mariadb": (
        "SELECT 1 FROM information_schema.global_status "
        "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS' AND variable_value > 0"
    ),
}


@SERVERS
@pytest.mark.parametrize("columns", [MORE, {}], ids=["time", "three columns"])
def test_change_that_another_transaction_makes_meanwhile_is_not_overwritten(
    place: Place, table: str, raw: RawTable, columns: dict[str, str]
) -> None:
    none = dict.fromkeys(MORE, None)
    with (
        made(place, table, **{**none, **columns}) as storage,
        closing(place.connect()) as other,
        ThreadPoolExecutor() as pool,
    ):
        file = storage.open("before.bin", "r+b")
        file.write(b"mine")
        quote = "`" if place.kind == "mariadb" else '"'
        cursor = other.cursor()
        cursor.execute("BEGIN")
        changes = [f"{quote}BLOB{quote} = 'its'", f"{quote}SIZE{quote} = 3"]
        if columns:
            changes.append(f"{quote}MODIFIED{quote} = CURRENT_TIMESTAMP")
        cursor.execute(f"UPDATE {quote}{table}{quote} SET {', '.join(changes)}")
        closed = pool.submit(file.close)
        while not place.execute(WAITING[place.kind]) and not closed.done():
            pass
        cursor.execute("COMMIT")
        with pytest.raises(OSError, match="replaced") as caught:
            closed.result()
        assert caught.value.errno == errno.ESTALE
        assert raw.get("before.bin") == b"its"


# -- tables, rights and limits (D7 to D11) ---------------------------------------------------------


@DATABASES
def test_missing_table_is_named_with_the_command_that_makes_it(place: Place) -> None:  # D7
    storage = DatabaseStorage(**place.options(), db_table="No_Such", **COLUMNS)
    with storage, pytest.raises(ImproperlyConfigured, match=r"'No_Such'.*storages_createtable"):
        storage.exists("a")


@DATABASES
@pytest.mark.parametrize("column", [*COLUMNS, *MORE])
def test_missing_column_is_named_by_its_option(storage: DatabaseStorage, column: str) -> None:  # D7
    with pytest.raises(ImproperlyConfigured, match=rf"'NOWHERE'.*{column}.*it has BLOB"):
        another(storage, **{column: "NOWHERE"}).exists("a")


@DATABASES
def test_table_dropped_later_is_a_mistake_in_the_configuration(
    place: Place, storage: DatabaseStorage, table: str
) -> None:  # D7
    place.execute(f'DROP TABLE "{table}"')
    with pytest.raises(ImproperlyConfigured, match="storages_createtable"):
        storage.exists("a")
    storage.create_table()
    assert not storage.exists("before.bin")


@DATABASES
def test_table_without_a_unique_key_is_refused(place: Place, table: str) -> None:
    blob = {"sqlite": "blob", "postgresql": "bytea", "mariadb": "longblob"}[place.kind]
    place.execute(
        f'CREATE TABLE "{table}" ("FILE_NAME" varchar(99), "BLOB" {blob}, "SIZE" bigint, '
        f'UNIQUE ("FILE_NAME", "SIZE"))'
    )
    storage = DatabaseStorage(**place.options(), db_table=table, **COLUMNS)
    with storage, pytest.raises(ImproperlyConfigured, match="unique"):
        save(storage)
    place.execute(f'DROP TABLE "{table}"')


@DATABASES
def test_table_with_a_further_column_that_needs_a_value_is_told_as_that(
    place: Place, table: str
) -> None:
    blob = {"sqlite": "blob", "postgresql": "bytea", "mariadb": "longblob"}[place.kind]
    place.execute(
        f'CREATE TABLE "{table}" ("FILE_NAME" varchar(99) PRIMARY KEY, "BLOB" {blob}, '
        f'"SIZE" bigint, "OWNER" integer NOT NULL)'
    )
    storage = DatabaseStorage(**place.options(), db_table=table, **COLUMNS)
    with storage, pytest.raises(ImproperlyConfigured, match="further columns"):
        save(storage)
    place.execute(f'DROP TABLE "{table}"')


@pytest.fixture
def reader(place: Place, table: str, storage: DatabaseStorage) -> Iterator[DatabaseStorage]:
    """A storage of a user that may only read."""
    name = f"reader{uuid.uuid4().hex[:8]}"
    if place.kind == "postgresql":
        place.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
        place.execute(f'GRANT SELECT ON "{table}" TO {name}')
        user = name
    else:
        user = f"{name}@'{HOST}'"
        place.execute(f"CREATE USER {user} IDENTIFIED BY 'pw'")
        place.execute(f'GRANT SELECT ON files."{table}" TO {user}')
    with another(storage, user=name, password="pw") as reader:
        yield reader
    if place.kind == "postgresql":
        place.execute(f"DROP OWNED BY {name}")
    place.execute(f"DROP {'ROLE' if place.kind == 'postgresql' else 'USER'} {user}")


@SERVERS
def test_missing_rights_are_named(reader: DatabaseStorage) -> None:
    assert read(reader) == CONTENT
    with pytest.raises(PermissionError, match="grant SELECT, INSERT"):
        save(reader)
    with pytest.raises(PermissionError):
        reader.delete("before.bin")


@SERVERS
def test_read_only_database_is_a_permission_error(  # D8
    place: Place, reader: DatabaseStorage, table: str
) -> None:
    if place.kind == "postgresql":
        place.execute(f'GRANT ALL ON "{table}" TO {reader.user}')
        place.execute(f"ALTER ROLE {reader.user} SET default_transaction_read_only = on")
    else:
        place.execute(f"GRANT ALL ON files.\"{table}\" TO {reader.user}@'{HOST}'")
        place.execute("SET GLOBAL read_only = 1")
    try:
        assert read(reader) == CONTENT
        with pytest.raises(PermissionError, match="read-only"):
            save(reader)
    finally:
        if place.kind == "mariadb":
            place.execute("SET GLOBAL read_only = 0")


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_content_larger_than_a_packet_is_told_with_the_setting_to_raise(  # D9, report 7
    place: Place, storage: DatabaseStorage, raw: RawTable
) -> None:
    place.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        with another(storage, timeout=21.0) as limited:
            with pytest.raises(OSError, match="max_allowed_packet") as caught:
                save(limited, "before.bin", bytes(3_000_000))
            assert caught.value.errno == errno.EFBIG
            assert read(limited) == CONTENT
    finally:
        place.execute("SET GLOBAL max_allowed_packet = 1073741824")
    assert raw.names() == ["before.bin"]


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
@pytest.mark.parametrize("mode", ["", "STRICT_ALL_TABLES"])
def test_content_larger_than_its_column_is_refused_beforehand(  # D9
    place: Place, table: str, mode: str
) -> None:
    place.execute(
        f'CREATE TABLE "{table}" ("FILE_NAME" varchar(99) PRIMARY KEY, "BLOB" blob, "SIZE" bigint)'
    )
    before = place.execute("SELECT @@GLOBAL.sql_mode")[0][0]
    place.execute(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        options = {**place.options(), "timeout": 22.0}
        with DatabaseStorage(**options, db_table=table, **COLUMNS) as storage:
            assert save(storage, "a", bytes(65_535)) == "a"
            with pytest.raises(OSError, match="65535 bytes") as caught:
                save(storage, "a", bytes(65_536))
            assert caught.value.errno == errno.EFBIG
            assert storage.size("a") == 65_535
    finally:
        place.execute(f"SET GLOBAL sql_mode = '{before}'")
        place.execute(f'DROP TABLE "{table}"')


@SERVERS
def test_name_longer_than_its_column_is_refused_beforehand(  # D10
    storage: DatabaseStorage, raw: RawTable
) -> None:
    with pytest.raises(SuspiciousFileOperation, match="255 characters"):
        save(storage, "é" * 256)
    assert save(storage, "é" * 255) == "é" * 255
    assert not storage.exists("é" * 256)
    assert len(raw.names()) == 2


@SERVERS
def test_full_disk_is_told_and_the_old_row_stays(  # D11, as the server reports it
    place: Place, storage: DatabaseStorage, table: str, raw: RawTable
) -> None:
    undo = fail(place, table, 1, {"postgresql": "53100"}.get(place.kind, "HY000"), 1021)
    with pytest.raises(OSError, match="no room left") as caught:
        save(storage, "before.bin", b"other")
    undo()
    assert caught.value.errno == errno.ENOSPC
    assert raw.get("before.bin") == CONTENT


# -- threads and processes (D12, G16, report 9) ----------------------------------------------------


@SERVERS
def test_no_more_connections_than_allowed_serve_many_threads(  # D12
    behind: DatabaseStorage, proxy: Proxy
) -> None:
    most: list[int] = []
    with another(behind, max_connections=2) as storage:
        behind.close()

        def work(number: int) -> None:
            for _ in range(5):
                assert save(storage, f"{number}", str(number).encode() * 1000)
                assert read(storage, f"{number}") == str(number).encode() * 1000
                most.append(proxy.open_connections)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert len(most) == 40
    assert max(most) <= 3  # one of them is the other storage's, on its way to be closed


FORKING = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from storages.backends.database import DatabaseStorage
storage = DatabaseStorage(**eval(sys.argv[1]))
storage.exists("before.bin"); storage.close()
# The driver manager keeps the connection once the thread that used it has closed it.
import threading
for each in threading.enumerate():
    if each.name == "storages-database": each.join()
child = os.fork()
with storage.open("before.bin") as file: content = file.read()
if child == 0: os._exit(0 if len(content) == 400_000 else 1)
_, status = os.waitpid(child, 0)
with storage.open("before.bin") as file: assert file.read() == content
print(os.waitstatus_to_exitcode(status))
"""


@SERVERS
def test_driver_manager_that_pools_gives_no_child_its_parents_connection(  # G16, report 9
    behind: DatabaseStorage, proxy: Proxy, tmp_path: Path
) -> None:
    installed = subprocess.run(["odbcinst", "-j"], capture_output=True, text=True, check=True)
    path = next(line.split()[-1] for line in installed.stdout.splitlines() if "DRIVERS" in line)
    text = Path(path).read_text().replace("[MariaDB Unicode]", "[MariaDB Unicode]\nCPTimeout=60")
    text = text.replace("[PostgreSQL Unicode]", "[PostgreSQL Unicode]\nCPTimeout=60")
    (tmp_path / "odbcinst.ini").write_text(f"{text}\n[ODBC]\nPooling=Yes\n")
    options = {**behind.deconstruct()[2], "password": behind.password}
    before = proxy.connections
    done = subprocess.run(
        # From Python 3.12 on it warns of a fork beside threads, some of which are drivers' own.
        [sys.executable, "-W", "ignore:This process", "-c", FORKING, repr(options)],
        env={**os.environ, "ODBCSYSINI": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    assert proxy.connections - before >= 2


def test_fork_leaves_a_connection_of_django_to_the_parent(postgresql: Place, table: str) -> None:
    with postgresql.alias() as alias:  # G16
        storage = DatabaseStorage(using=alias, db_table=table, **COLUMNS)
        storage.create_table()
        save(storage, "before.bin")
        session = connections[alias].connection.info.backend_pid
        child = os.fork()
        if child == 0:
            good = read(storage) == CONTENT
            other = connections[alias].connection.info.backend_pid != session
            os._exit(0 if good and other else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert read(storage) == CONTENT
        assert connections[alias].connection.info.backend_pid == session
    postgresql.execute(f'DROP TABLE "{table}"')
