"""What is DatabaseStorage's own: options, tables as others made them, transactions, SQL."""

from __future__ import annotations

import errno
import io
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage, storages
from django.core.management import CommandError, call_command
from django.db import connections, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings
from django.utils import timezone

from storages.backends._database.dialects import MYSQL, SQLSERVER
from storages.backends._database.layout import Layout, Names
from storages.backends._database.statements import Statements, creation
from storages.backends.database import DatabaseStorage
from tests.backends.database.server import COLUMNS, MORE, Place, RawTable
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
BLOBS = {"sqlite": "blob", "postgresql": "bytea", "mariadb": "longblob"}
SEED = {"db_table": "FILES", **COLUMNS, "base_url": "http://localhost/dbfiles/"}
PATH = "storages.backends.database.DatabaseStorage"

DATABASES = pytest.mark.parametrize("place", ["sqlite", "postgresql", "mariadb"], indirect=True)
SERVERS = pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def table() -> str:
    return f"Own_{uuid.uuid4().hex[:12]}"


@contextmanager
def made(place: Place, table: str, **more: Any) -> Iterator[DatabaseStorage]:
    """Give an overwriting storage on an empty table of its own."""
    options = {**place.options(), "db_table": table, **COLUMNS, **MORE, **more}
    with DatabaseStorage(**options) as storage:
        storage.create_table()
        yield storage
    place.execute(f'DROP TABLE "{table}"')


@pytest.fixture
def storage(place: Place, table: str) -> Iterator[DatabaseStorage]:
    with made(place, table) as storage:
        yield storage


@pytest.fixture(params=["sqlite", "postgresql"])
def using(request: pytest.FixtureRequest, table: str) -> Iterator[DatabaseStorage]:
    """A storage on Django's own connections that finds free names."""
    place: Place = request.getfixturevalue(request.param)
    with place.alias() as alias:
        options = {**COLUMNS, **MORE, "db_table": table, "file_overwrite": False}
        storage = DatabaseStorage(using=alias, **options)
        storage.create_table()
        yield storage
    place.execute(f'DROP TABLE "{table}"')


def save(storage: Any, name: str = "a.txt", content: bytes = b"content") -> str:
    found: str = storage.save(name, ContentFile(content))
    return found


def read(storage: Any, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


# -- names and contents (reports 1, 4, 11, 12) -----------------------------------------------------


@DATABASES
@pytest.mark.parametrize("length", [127, 128, 129, 150, 251])
@pytest.mark.parametrize("letter", ["a", "é", "中", "😀"])
def test_long_names_are_kept_letter_by_letter(  # report 1
    place: Place, storage: DatabaseStorage, letter: str, length: int
) -> None:
    name = letter * (length - 4) + ".txt"
    assert save(storage, name) == name
    assert RawTable(place, storage.db_table).names() == [name]
    assert storage.listdir("") == ([], [name])


@DATABASES
def test_equal_bytes_saved_twice_are_one_file(storage: DatabaseStorage) -> None:  # report 4
    for _ in range(2):
        assert save(storage, "a.txt", b"the same") == "a.txt"
    assert storage.listdir("") == ([], ["a.txt"])


@DATABASES
@pytest.mark.parametrize("name", ["d/😀.txt", "d/\uffff.txt", "d/\U0010ffff.txt", "d/~", "d/ÿ"])
def test_listing_finds_names_past_every_bound(storage: DatabaseStorage, name: str) -> None:
    # MariaDB's index finds no character past U+FFFF by LIKE.
    save(storage, name)
    save(storage, "d0/other.txt")
    save(storage, "d.txt")
    assert storage.listdir("d") == ([], [name[2:]])
    assert storage.exists("d")
    assert storage.listdir("") == (["d", "d0"], ["d.txt"])


@DATABASES
def test_directory_in_another_case_is_another(storage: DatabaseStorage) -> None:  # report 11
    save(storage, "dir/a.txt")
    save(storage, "DIR/b.txt")
    assert storage.listdir("dir") == ([], ["a.txt"])
    assert not storage.exists("Dir")
    assert not storage.exists("d_r")


@DATABASES
def test_trailing_spaces_make_two_names(storage: DatabaseStorage) -> None:  # security 4.6-6
    save(storage, "a.txt", b"without")
    save(storage, "a.txt ", b"with")
    assert (read(storage, "a.txt"), read(storage, "a.txt ")) == (b"without", b"with")


@DATABASES
@pytest.mark.parametrize("name", ["'); DROP TABLE x; --", "a%", "a_", "a!", "a[b]", "?", "{name}"])
def test_names_are_values_never_sql(storage: DatabaseStorage, name: str) -> None:  # 4.6-1, 4.6-7
    save(storage, "abc", b"bystander")
    save(storage, f"{name}/{name}")
    assert storage.listdir(name) == ([], [name])
    storage.delete(f"{name}/{name}")
    assert storage.listdir("") == ([], ["abc"])


def test_content_is_bytes_whatever_the_driver_gives(using: DatabaseStorage) -> None:  # report 12
    content = bytes(range(256)) * 10
    save(using, "a.bin", content)
    with using.open("a.bin") as file:
        assert type(file.read(10)) is bytes
        assert file.read() == content[10:]


# -- tables as others made them (report 10, the three columns) -------------------------------------


@DATABASES
def test_three_columns_are_enough(place: Place, table: str) -> None:
    none = dict.fromkeys(MORE)
    with made(place, table, **none) as storage:
        raw = RawTable(place, table, is_timed=False)
        content = bytes(range(256)) * 8000
        save(storage, "a.bin", content)
        assert read(storage, "a.bin") == content
        assert storage.size("a.bin") == len(content)
        assert storage.listdir("") == ([], ["a.bin"])
        with pytest.raises(NotImplementedError, match="no modified time"):
            storage.get_modified_time("a.bin")
        with storage.open("a.bin", "r+b") as file:
            file.write(b"changed")
        assert read(storage, "a.bin") == b"changed" + content[7:]
        with storage.open("a.bin") as file:
            file.read(10)
            raw.put("a.bin", content[::-1])
            with pytest.raises(OSError, match="replaced"):
                file.read()
        file = storage.open("a.bin", "r+b")
        file.write(b"mine")
        raw.put("a.bin", content)
        with pytest.raises(OSError, match="replaced"):
            file.close()
        assert raw.get("a.bin") == content


@DATABASES
def test_identifiers_are_found_in_their_real_spelling(place: Place, table: str) -> None:
    quote = {"mariadb": "`"}.get(place.kind, "")
    place.execute(
        f"CREATE TABLE {table} (File_Name varchar(100) PRIMARY KEY, "
        f"{quote}Blob{quote} {BLOBS[place.kind]}, Size bigint)"
    )
    with DatabaseStorage(**place.options(), db_table=table.upper(), **COLUMNS) as storage:
        if place.kind == "mariadb":
            storage.db_table = table  # its names are those of files
        assert save(storage) == "a.txt"
        assert read(storage) == b"content"
    place.execute(f"DROP TABLE {table}")


@pytest.mark.parametrize(
    ("place", "schema"), [("postgresql", "public"), ("mariadb", "files")], indirect=["place"]
)
def test_table_may_be_named_with_its_schema(place: Place, table: str, schema: str) -> None:
    with made(place, table) as storage:
        save(storage)
        storage.db_table = f"{schema}.{table}"
        assert read(storage) == b"content"
        storage.db_table = f"nowhere.{table}"
        with pytest.raises(ImproperlyConfigured, match=f"'nowhere.{table}'"):
            read(storage)


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_names_equal_to_the_database_are_one_file_and_never_replaced_unasked(
    place: Place, table: str
) -> None:
    place.execute(
        f'CREATE TABLE "{table}" ("FILE_NAME" varchar(100) COLLATE utf8mb4_general_ci PRIMARY KEY, '
        '"BLOB" longblob, "SIZE" bigint) CHARACTER SET utf8mb4'
    )
    options = {**place.options(), "db_table": table, **COLUMNS}
    with DatabaseStorage(**options, file_overwrite=False) as storage:
        assert save(storage, "A.txt", b"upper") == "A.txt"
        assert save(storage, "a.txt", b"lower") != "a.txt"
        assert read(storage, "A.txt") == b"upper"
        save(storage, "Dir/😀.txt")
        assert storage.listdir("Dir") == ([], ["😀.txt"])
        assert storage.listdir("dir") == ([], [])
    place.execute(f'DROP TABLE "{table}"')


@pytest.mark.parametrize("name", ["a;b", "a'b", 'a"b', "a]b", "a`b", "1a", "", "a..b", "a.b.c.d"])
def test_identifier_that_is_none_is_refused(name: str) -> None:  # security 4.6-2
    storage = DatabaseStorage(using="default", **{**COLUMNS, "db_table": name})
    with pytest.raises(ImproperlyConfigured, match="'db_table'"):
        storage.exists("a")
    with pytest.raises(ImproperlyConfigured, match="'blob_column'"):
        DatabaseStorage(using="default", db_table="x", **{**COLUMNS, "blob_column": "a.b"}).exists(
            "a"
        )


@DATABASES
def test_row_that_is_older_than_the_column_of_times_is_a_file(
    place: Place, storage: DatabaseStorage
) -> None:
    save(storage, "d/a.txt")
    place.execute(f'UPDATE "{storage.db_table}" SET "MODIFIED" = NULL')
    assert storage.listdir("d") == ([], ["a.txt"])
    assert storage.size("d/a.txt") == 7
    assert read(storage, "d/a.txt") == b"content"
    with storage.open("d/a.txt", "ab") as file:
        file.write(b" and more")
    assert read(storage, "d/a.txt") == b"content and more"


# -- Django's connections (reports 5 and 6) --------------------------------------------------------


def test_taken_name_leaves_the_callers_transaction_alone(using: DatabaseStorage) -> None:
    with transaction.atomic(using=using.using):  # report 5
        assert save(using, "a") == "a"
        insist = type(using)(**using.deconstruct()[2])
        vars(insist)["get_available_name"] = lambda name, max_length=None: name
        assert insist.save("a", ContentFile(b"other")) != "a"
        with connections[str(using.using)].cursor() as cursor:
            cursor.execute("SELECT 1")
    assert len(using.listdir("")[1]) == 2


@pytest.mark.parametrize("change", ["save", "delete", "overwrite", "edit"])
def test_rollback_undoes_what_was_done_with_files(using: DatabaseStorage, change: str) -> None:
    save(using, "before.txt", b"before")  # report 6
    using.file_overwrite = True

    def edit() -> None:
        with using.open("before.txt", "ab") as file:
            file.write(b" and after")

    changes: dict[str, Callable[[], Any]] = {
        "save": lambda: save(using, "new.txt"),
        "delete": lambda: using.delete("before.txt"),
        "overwrite": lambda: save(using, "before.txt", b"after"),
        "edit": edit,
    }
    with transaction.atomic(using=using.using):
        changes[change]()
        transaction.set_rollback(True, using=using.using)
    assert using.listdir("") == ([], ["before.txt"])
    assert read(using, "before.txt") == b"before"


def test_file_is_seen_by_its_own_transaction_first(using: DatabaseStorage) -> None:
    with transaction.atomic(using=using.using):
        name = save(using)
        assert read(using, name) == b"content"
        assert using.exists(name)
    assert read(using, name) == b"content"


def test_alias_that_is_not_there_is_named() -> None:
    storage = DatabaseStorage(using="nowhere", db_table="x", **COLUMNS)
    with pytest.raises(ImproperlyConfigured, match="'nowhere'"):
        storage.exists("a")


def test_server_side_binding_of_psycopg_works_too(postgresql: Place, table: str) -> None:
    with postgresql.alias() as alias:
        connections[alias].settings_dict["OPTIONS"] = {"server_side_binding": True}
        storage = DatabaseStorage(using=alias, **{**COLUMNS, **MORE, "db_table": table})
        storage.create_table()
        save(storage, "dir/a.bin", bytes(MIB))
        save(storage, "dir/a.bin", bytes(MIB))
        assert read(storage, "dir/a.bin") == bytes(MIB)
        assert storage.listdir("dir") == ([], ["a.bin"])
        with storage.open("dir/a.bin", "ab") as file:
            file.write(b"more")
        assert storage.size("dir/a.bin") == MIB + 4
    postgresql.execute(f'DROP TABLE "{table}"')


@pytest.mark.parametrize(
    ("options", "most"), [({}, 256), ({"server_side_binding": True}, 1024)], ids=["text", "values"]
)
def test_content_that_postgresql_hangs_up_on_is_refused_beforehand(
    postgresql: Place, table: str, tmp_path: Path, options: dict[str, bool], most: int
) -> None:
    with postgresql.alias() as alias, (tmp_path / "large").open("wb+") as sparse:
        connections[alias].settings_dict["OPTIONS"] = options
        storage = DatabaseStorage(using=alias, **{**COLUMNS, **MORE, "db_table": table})
        storage.create_table()
        sparse.truncate(most * MIB)
        with pytest.raises(OSError, match="larger than its column or a statement") as caught:
            storage.save("large", File(sparse))
        assert caught.value.errno == errno.EFBIG
        assert storage.listdir("") == ([], [])
    postgresql.execute(f'DROP TABLE "{table}"')


@pytest.mark.parametrize("position", [0, 1])
def test_connection_of_django_that_cannot_be_made_is_a_built_in_error(
    postgresql: Place, table: str, position: int
) -> None:
    assert postgresql.server is not None
    with Proxy(*postgresql.server.address) as proxy, postgresql.alias(proxy) as alias:
        storage = DatabaseStorage(using=alias, **{**COLUMNS, "db_table": table})
        proxy.limit_data(position)
        with pytest.raises(ConnectionError, match="was lost"):
            storage.exists("a.txt")


def test_table_of_a_model_of_django_is_a_table_like_any_other(using: DatabaseStorage) -> None:
    table = f"{using.db_table}_model"

    class Stored(models.Model):
        path = models.CharField(max_length=100, unique=True)
        data = models.BinaryField()
        size = models.BigIntegerField()
        changed = models.DateTimeField()

        class Meta:
            app_label = "tests"
            db_table = table

        def __str__(self) -> str:
            return self.path

    connection = connections[str(using.using)]
    with connection.schema_editor() as editor:
        editor.create_model(Stored)
    columns = {"fname_column": "path", "blob_column": "data", "size_column": "size"}
    storage = DatabaseStorage(
        using=using.using, db_table=table, modified_column="changed", **columns
    )
    before = timezone.now()
    save(storage, "a.txt", b"content")
    row = Stored.objects.using(using.using).get()
    assert (row.path, bytes(row.data), row.size) == ("a.txt", b"content", 7)
    assert before <= row.changed <= timezone.now()
    assert storage.get_modified_time("a.txt") == row.changed
    Stored.objects.using(using.using).create(path="b", data=b"1", size=1, changed=before)
    assert storage.get_modified_time("b") == before
    with connection.schema_editor() as editor:
        editor.delete_model(Stored)
    del apps.all_models["tests"]["stored"]
    apps.clear_cache()


def save_both(storage: DatabaseStorage, between: Callable[[], None]) -> None:
    """Save two files in one transaction."""
    with transaction.atomic(using=storage.using):
        save(storage, "a", b"mine")
        between()
        save(storage, "b", b"mine")


def test_deadlock_within_a_transaction_of_the_caller_is_not_repeated(
    postgresql: Place, table: str
) -> None:
    with postgresql.alias() as alias:  # D4
        storage = DatabaseStorage(using=alias, **{**COLUMNS, "db_table": table})
        storage.create_table()
        save(storage, "a", b"a")
        save(storage, "b", b"b")
        update = f'UPDATE "{table}" SET "SIZE" = 1 WHERE "FILE_NAME" = %s'

        def other(connection: Any, done: threading.Event) -> None:
            with suppress(psycopg.Error):
                connection.execute(update, ["a"])
            done.set()

        with closing(postgresql.connect()) as connection:
            connection.autocommit = False
            # It is this side that looks for deadlocks, and is their victim.
            connection.execute("SET deadlock_timeout = '60s'")
            connection.execute(update, ["b"])
            done = threading.Event()
            thread = threading.Thread(target=other, args=(connection, done))
            with pytest.raises(OSError, match="deadlock"):
                save_both(storage, thread.start)
            assert done.wait(20)
            connection.rollback()
        assert (read(storage, "a"), read(storage, "b")) == (b"a", b"b")
    postgresql.execute(f'DROP TABLE "{table}"')


# -- options ---------------------------------------------------------------------------------------


DOCUMENTED = """
DB_FILES = {
    'db_table': 'FILES',
    'fname_column':  'FILE_NAME',
    'blob_column': 'BLOB',
    'size_column': 'SIZE',
    'base_url': 'http://localhost/dbfiles/'
}
"""


@pytest.mark.filterwarnings("ignore:The .*_STORAGE setting is deprecated")
def test_settings_and_field_of_the_documents_work(sqlite: Place) -> None:
    written: dict[str, Any] = {}
    exec(DOCUMENTED, {}, written)
    ways = {"DATABASE_ODBC_DRIVER": "SQLite3", "DATABASE_NAME": str(sqlite.file)}
    with override_settings(**written, **ways, DEFAULT_FILE_STORAGE=PATH):
        sqlite.execute(
            'CREATE TABLE FILES (FILE_NAME nvarchar(100) PRIMARY KEY, "BLOB" image, SIZE bigint)'
        )
        player_photo = models.ImageField(upload_to="player_photos", storage=DatabaseStorage())
        name = player_photo.generate_filename(None, "me.jpg")
        assert player_photo.storage.save(name, ContentFile(b"picture")) == "player_photos/me.jpg"
        assert player_photo.storage.save(name, ContentFile(b"another")) == "player_photos/me.jpg"
        image_file = DatabaseStorage().open("player_photos/me.jpg", "rb")
        assert image_file.read() == b"another"
        assert player_photo.storage.url(name) == "http://localhost/dbfiles/player_photos/me.jpg"
        assert default_storage.size(name) == 7
        sqlite.execute("DROP TABLE FILES")
        player_photo.storage.close()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"option": SEED}, "http://localhost/dbfiles/a%20b"),
        ({"option": SEED, "base_url": "/mine"}, "/mine/a%20b"),
        ({}, "/from-setting/a%20b"),
    ],
)
def test_base_url_is_found_where_the_documents_say(options: Any, expected: str) -> None:
    with override_settings(DB_FILES_URL="/from-setting/"):
        assert DatabaseStorage(**options).url("a b") == expected
    with override_settings(DB_FILES=SEED):
        assert DatabaseStorage().url("a") == "http://localhost/dbfiles/a"
        assert DatabaseStorage({**SEED, "base_url": "/x/"}, None).url("a") == "/x/a"
        assert DatabaseStorage(SEED, "/y/").url("a") == "/y/a"


def test_mapping_given_stands_for_the_whole_setting() -> None:
    with override_settings(DB_FILES={**SEED, "connection_string": "DSN=x", "modified_column": "M"}):
        storage = DatabaseStorage(option={**SEED, "using": "default"})
        assert (storage.way, storage.modified_column) == ("using", None)
        assert DatabaseStorage().modified_column == "M"


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, "connection_string"),
        ({"using": "default"}, "using"),
        ({"driver": "x"}, "driver"),
        ({"option": {"using": "default"}}, "using"),
    ],
)
def test_way_given_in_code_wins_over_the_settings(options: Any, way: str) -> None:
    with override_settings(
        DB_FILES={"connection_string": "DSN=x"}, DATABASE_ODBC_DRIVER="y", DATABASE_HOST="h"
    ):
        assert DatabaseStorage(**options).way == way


def test_unknown_word_in_the_mapping_is_named() -> None:
    with override_settings(DB_FILES={**SEED, "using": "default", "blob_colum": "x"}):
        storage = DatabaseStorage()
        with pytest.raises(ImproperlyConfigured, match=r"'blob_colum'.*'blob_column'"):
            storage.exists("a")


def test_two_ways_are_a_contradiction_and_none_is_too() -> None:
    both = DatabaseStorage(using="default", driver="x", option=SEED)
    none = DatabaseStorage(option=SEED)
    assert "two databases" in next(both.contradictions())
    assert "No database is named" in next(none.contradictions())
    entry = {"BACKEND": PATH, "OPTIONS": {"option": SEED, "using": "no"}}
    with override_settings(STORAGES={"files": entry}):
        messages = run_checks(tags=["storages"])
    assert [each.id for each in messages] == ["storages.E006"]
    assert "DATABASES has no alias 'no'" in messages[0].msg


@SERVERS
def test_password_of_any_characters_is_one_value(place: Place, table: str) -> None:  # 4.6-3
    assert place.server is not None
    assert not place.server.password.isalnum()
    with made(place, table) as storage:
        assert save(storage) == "a.txt"


def test_values_of_a_connection_string_end_where_they_should() -> None:  # 4.6-3
    options = {"driver": "SQL Server", "host": "h;SERVER=evil", "port": 1433, "database": "d"}
    storage = DatabaseStorage(**options, user="u}", password="p;Trusted_Connection=yes")
    text = storage.odbc_string()
    assert text == (
        "DRIVER={SQL Server};SERVER={h;SERVER=evil,1433};DATABASE=d;UID={u}}};"
        "PWD={p;Trusted_Connection=yes}"
    )


@pytest.mark.parametrize(
    ("words", "is_safe"),
    [
        ("DRIVER={PostgreSQL Unicode};SERVER=db.example.com", False),
        ("DRIVER={PostgreSQL Unicode};SERVER=db.example.com;SSLMODE=verify-full", True),
        ("DRIVER={PostgreSQL Unicode};SERVER=127.0.0.1", True),
        ("DRIVER={MariaDB Unicode};SERVER=db.example.com", False),
        ("DRIVER={MariaDB Unicode};SERVER=db.example.com;SSLCA=/ca.pem", True),
        ("DRIVER={MariaDB Unicode};SERVER=db.example.com;SSLVERIFY=1", True),
        ("DRIVER={MariaDB Unicode};SERVER=db.example.com;SSLVERIFY=0", False),
        ("DRIVER={SQL Server};SERVER=db.example.com,1433;Encrypt=no", False),
        ("DRIVER={SQL Server};SERVER=db.example.com;Encrypt=yes;TrustServerCertificate=yes", False),
        ("DRIVER={SQL Server};SERVER=db.example.com;Encrypt=yes", True),
        ("DRIVER={SQLite3};DATABASE=/srv/files.sqlite3", True),
        ("DSN=files", True),
    ],
)
def test_connection_that_others_can_read_is_warned_of(words: str, is_safe: bool) -> None:  # 4.6-4
    storage = DatabaseStorage(option=SEED, connection_string=words)
    assert (list(storage.insecurities()) == []) is is_safe


def test_connection_string_of_the_seed_is_taken_as_it_is(sqlite: Place, table: str) -> None:
    text = f"DRIVER={{SQLite3}};DATABASE={sqlite.file}"
    storage = DatabaseStorage(option={**SEED, "db_table": table, "connection_string": text})
    storage.create_table()
    assert save(storage) == "a.txt"
    sqlite.execute(f'DROP TABLE "{table}"')


def test_secrets_are_in_no_migration_and_no_pickle() -> None:
    option = {**SEED, "password": "canary", "connection_string": "PWD=canary", "user": "u"}
    storage = DatabaseStorage(option=option)
    assert "canary" not in repr(storage)
    assert "canary" not in MigrationWriter.serialize(storage)[0]
    assert b"canary" not in pickle.dumps(storage)
    entry = {"BACKEND": PATH, "OPTIONS": {"option": option}}
    with override_settings(STORAGES={"files": entry}):
        assert pickle.loads(pickle.dumps(storage)).password == "canary"


class TenantStorage(DatabaseStorage):
    """A table and a location for each tenant."""

    tenant = "one"

    @property
    def db_table(self) -> Any:
        return f"{self.base}_{self.tenant}"

    @property
    def location(self) -> Any:
        return f"files/{self.tenant}"

    base = ""


@DATABASES
def test_tenants_have_tables_of_their_own(place: Place, table: str) -> None:
    storage = TenantStorage(**place.options(), **COLUMNS)
    storage.base = table
    for tenant in ("one", "two"):
        storage.tenant = tenant
        storage.create_table()
        save(storage, "a.txt", tenant.encode())
    for tenant in ("one", "two"):
        storage.tenant = tenant
        assert read(storage) == tenant.encode()
        raw = RawTable(place, f"{table}_{tenant}")
        assert raw.names() == [f"files/{tenant}/a.txt"]
        place.execute(f'DROP TABLE "{table}_{tenant}"')
    storage.close()


# -- commands --------------------------------------------------------------------------------------


@contextmanager
def configured(place: Place, table: str, **more: Any) -> Iterator[None]:
    options = {**place.options(), "db_table": table, **COLUMNS, **MORE, **more}
    entries = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        "files": {"BACKEND": PATH, "OPTIONS": options},
    }
    with override_settings(STORAGES=entries):
        yield
        place.execute(f'DROP TABLE IF EXISTS "{table}"')


def printed(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


@DATABASES
def test_command_makes_the_table_and_says_so(place: Place, table: str) -> None:
    with configured(place, table):
        assert printed("storages_createtable") == f"Made the table {table} for 'files'.\n"
        with pytest.raises(CommandError, match="exists already"):
            printed("storages_createtable", "files")
        save(storages["files"])
        assert "a.txt" in printed("storages_list", "files")
        assert "failed" not in printed("storages_check", "files")


@DATABASES
def test_command_prints_sql_that_makes_the_table(place: Place, table: str) -> None:
    with configured(place, table):
        sql = printed("storages_createtable", "files", "--sql")
        with pytest.raises(ImproperlyConfigured, match="storages_createtable"):
            save(storages["files"])
        for statement in filter(str.strip, sql.split(";")):
            place.execute(statement.replace("`", '"'))
        assert save(storages["files"]) == "a.txt"
    assert ("EXTERNAL" in sql) is (place.kind == "postgresql")
    assert ("utf8mb4_nopad_bin" in sql) is (place.kind == "mariadb")


def test_command_asks_for_an_alias_where_it_cannot_tell(sqlite: Place, table: str) -> None:
    with configured(sqlite, table), pytest.raises(CommandError, match="keeps no files in a data"):
        printed("storages_createtable", "default")
    entry = {"BACKEND": PATH, "OPTIONS": {}}
    with (
        override_settings(STORAGES={"one": entry, "two": entry}),
        pytest.raises(CommandError, match="name one: one, two"),
    ):
        printed("storages_createtable")
    with override_settings(STORAGES={}), pytest.raises(CommandError, match="No alias"):
        printed("storages_createtable")


# -- SQL Server and MySQL, of which no server can be had here --------------------------------------


NAMES = Names("dbo.FILES", "FILE_NAME", "BLOB", "SIZE", "MODIFIED", "KIND")


def statements_on_sqlserver(**more: Any) -> Statements:
    columns = {each: f"[{name}]" for each, name in vars(NAMES).items() if each != "table"}
    return Statements(SQLSERVER, Layout("[dbo].[FILES]", columns, **more))  # type: ignore[arg-type]


def test_sqlserver_quotes_and_types_as_its_documents_say() -> None:
    assert SQLSERVER.quote("dbo.FI]LES") == "[dbo].[FI]]LES]"
    (made,) = creation(SQLSERVER, NAMES)
    assert made.startswith("CREATE TABLE [dbo].[FILES] (")
    assert "[FILE_NAME] nvarchar(255) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY" in made
    assert "[BLOB] varbinary(max) NOT NULL" in made
    assert "[MODIFIED] datetime2(6)" in made


def test_sqlserver_replaces_by_merge_and_reads_slices() -> None:
    statements = statements_on_sqlserver(is_binary=True, is_precise=True)
    assert statements.upsert == (
        "MERGE INTO [dbo].[FILES] WITH (HOLDLOCK) AS t USING (VALUES (?, ?, ?, ?, ?)) AS s "
        "([FILE_NAME], [BLOB], [SIZE], [MODIFIED], [KIND]) ON t.[FILE_NAME] = s.[FILE_NAME] "
        "WHEN MATCHED THEN UPDATE SET [BLOB] = s.[BLOB], [SIZE] = s.[SIZE], "
        "[MODIFIED] = s.[MODIFIED], [KIND] = s.[KIND] WHEN NOT MATCHED THEN INSERT ([FILE_NAME], "
        "[BLOB], [SIZE], [MODIFIED], [KIND]) VALUES (s.[FILE_NAME], s.[BLOB], s.[SIZE], "
        "s.[MODIFIED], s.[KIND]);"
    )
    assert "SUBSTRING([BLOB], ?, ?)" in statements.slice
    assert "SELECT TOP 1 1 AS below" in statements.stat
    assert "LIMIT" not in statements.stat


def test_sqlserver_escapes_its_own_wildcard_too() -> None:
    statements = statements_on_sqlserver()
    assert statements.below("a[b]%_!/") == ("a![b]!%!_!!/%",)
    assert "LIKE ? ESCAPE '!'" in statements.list("a/")


def test_sqlserver_counts_names_in_units_of_two_bytes() -> None:
    statements = statements_on_sqlserver(longest=10)
    statements.check("😀" * 5, 0)
    with pytest.raises(ValueError, match="longer than its column"):
        statements.check("😀" * 6, 0)
    with pytest.raises(ValueError, match="make it nvarchar"):
        statements_on_sqlserver(is_narrow=True).check("é", 0)


def test_sqlserver_takes_no_name_that_it_takes_for_another() -> None:
    statements_on_sqlserver().check(" a b", 0)
    with pytest.raises(ValueError, match="ends in a space"):
        statements_on_sqlserver().check("a ", 0)


def test_mysql_makes_names_that_compare_byte_by_byte() -> None:
    (made,) = creation(MYSQL, NAMES)
    assert "`FILE_NAME` varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin" in made


# -- numbers ---------------------------------------------------------------------------------------


def statements_of(place: Place) -> dict[str, int]:
    rows = place.execute("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Com_%'")
    names = {f"Com_{each}": each for each in ("select", "insert", "update", "delete")}
    return {names[name]: int(count) for name, count in rows if name in names}


@pytest.mark.parametrize("place", ["mariadb"], indirect=True)
def test_each_operation_is_one_statement(place: Place, storage: DatabaseStorage) -> None:
    save(storage)
    operations: list[tuple[Callable[[], Any], dict[str, int]]] = [
        (lambda: save(storage), {"insert": 1}),
        (lambda: storage.exists("a.txt"), {"select": 1}),
        (lambda: storage.exists("none.txt"), {"select": 1}),
        (lambda: storage.size("a.txt"), {"select": 1}),
        (lambda: storage.listdir(""), {"select": 1}),
        (lambda: read(storage), {"select": 1}),
        (lambda: storage.delete("a.txt"), {"delete": 1}),
    ]
    for operation, expected in operations:
        before = statements_of(place)
        operation()
        after = statements_of(place)
        assert {k: after[k] - before[k] for k in after if after[k] != before[k]} == expected


@SERVERS
@pytest.mark.parametrize("columns", [MORE, dict.fromkeys(MORE)], ids=["time", "three columns"])
def test_head_of_a_large_file_is_read_without_the_rest(
    place: Place, table: str, columns: Any
) -> None:
    assert place.server is not None
    with Proxy(*place.server.address) as proxy, made(place, table, **columns) as direct:
        save(direct, "large.bin", bytes(64 * MIB))
        with DatabaseStorage(**{**direct.deconstruct()[2], **place.options(proxy)}) as storage:
            with storage.open("large.bin") as file:
                assert file.read(64 * 1024) == bytes(64 * 1024)
            assert 0 < proxy.bytes_down < 2 * MIB
            with storage.open("large.bin") as file:
                file.seek(-100, io.SEEK_END)
                assert file.read() == bytes(100)
            assert proxy.bytes_down < 4 * MIB
