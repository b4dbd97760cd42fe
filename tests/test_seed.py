"""What the seed's documents show of the backends that exist so far, quoted and run.

Where Python or Django has moved since, a table says what is written now in place of what.
"""

from __future__ import annotations

import doctest
import io
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import override_settings
from PIL import Image

from storages.backends.ftp import FTPStorage
from storages.backends.image import ImageStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage
from storages.backends.sftpstorage import SFTPStorage
from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from tests.models import MyStorage
from tests.servers.asyncssh_server import AsyncSSH
from tests.servers.moto import Moto
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.settings import INSTALLED_APPS

pytestmark = pytest.mark.filterwarnings("ignore:The .*_STORAGE setting is deprecated")


def settings_in(snippet: str, names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a piece of a settings module sets, where some names are known."""
    values: dict[str, Any] = {}
    exec(snippet, dict(names or {}), values)
    return values


# -- Installation ---------------------------------------------------------------------------------

INSTALLATION = """
INSTALLED_APPS = (
    ...
    'storages',
    ...
)
"""


def test_installation() -> None:
    others = ", ".join(repr(each) for each in INSTALLED_APPS if each != "storages")
    written = INSTALLATION.replace("    ...\n", f"    {others},\n", 1).replace("    ...\n", "")
    with override_settings(**settings_in(written)):
        call_command("check")


# -- Amazon S3 ------------------------------------------------------------------------------------

S3_DEFAULT = [
    "DEFAULT_FILE_STORAGE = 'storages.backends.s3boto3.S3Boto3Storage'",
    "DEFAULT_FILE_STORAGE = 'storages.backends.s3boto.S3BotoStorage'",
]
S3_STATIC = "STATICFILES_STORAGE = 'storages.backends.s3boto.S3Boto3Storage'"
S3_HEADERS = """
# see http://developer.yahoo.com/performance/rules.html#expires
AWS_HEADERS = {
    'Expires': 'Thu, 15 Apr 2010 20:00:00 GMT',
    'Cache-Control': 'max-age=86400',
}
"""
S3_CLOUDFRONT = "AWS_S3_CUSTOM_DOMAIN = 'cdn.mydomain.com'"


@pytest.fixture
def client(moto: Moto) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
        region_name=moto.region,
    )


@pytest.fixture
def bucket(moto: Moto, client: Any) -> Iterator[str]:
    """A bucket that the settings name."""
    name = f"seed-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    with override_settings(
        AWS_ACCESS_KEY_ID=moto.access_key,
        AWS_SECRET_ACCESS_KEY=moto.secret_key,
        AWS_STORAGE_BUCKET_NAME=name,
        AWS_S3_ENDPOINT_URL=moto.url,
    ):
        yield name


@pytest.mark.filterwarnings("ignore:.*S3BotoStorage:DeprecationWarning")
@pytest.mark.parametrize("snippet", S3_DEFAULT)
def test_s3_as_default(snippet: str, bucket: str, client: Any) -> None:
    with override_settings(**settings_in(snippet)):
        default_storage.save("name", ContentFile(b"content"))
    assert client.get_object(Bucket=bucket, Key="name")["Body"].read() == b"content"


def test_s3_for_collectstatic(bucket: str, client: Any, tmp_path: Path) -> None:
    (tmp_path / "site.css").write_text("a {}")
    with override_settings(STATICFILES_DIRS=[tmp_path], **settings_in(S3_STATIC)):
        call_command("collectstatic", interactive=False, verbosity=0)
    assert client.get_object(Bucket=bucket, Key="site.css")["Body"].read() == b"a {}"


def test_s3_headers(bucket: str, client: Any) -> None:
    with override_settings(**settings_in(S3_HEADERS)):
        S3Boto3Storage().save("name", ContentFile(b"content"))
    found = client.head_object(Bucket=bucket, Key="name")
    assert found["CacheControl"] == "max-age=86400"
    assert found["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Thu, 15 Apr 2010 20:00:00 GMT"


def test_s3_behind_cloudfront(bucket: str) -> None:
    with override_settings(**settings_in(S3_CLOUDFRONT)):
        assert S3Boto3Storage().url("name") == "https://cdn.mydomain.com/name"
        # "pass the custom_domain parameter to their constructors"
        other = S3Boto3Storage(custom_domain="other.mydomain.com")
        assert other.url("name") == "https://other.mydomain.com/name"


S3_SETTINGS = """
AWS_DEFAULT_ACL = 'private'
AWS_AUTO_CREATE_BUCKET = True
AWS_QUERYSTRING_AUTH = False
AWS_QUERYSTRING_EXPIRE = 3600
AWS_S3_ENCRYPTION = True
AWS_S3_FILE_OVERWRITE = False
AWS_LOCATION = 'media'
"""


def test_s3_settings(bucket: str, client: Any) -> None:
    client.delete_bucket(Bucket=bucket)
    with override_settings(**settings_in(S3_SETTINGS)):
        storage = S3Boto3Storage()
        first, second = (storage.save("name", ContentFile(b"content")) for _ in range(2))
        assert first != second
        assert "?" not in storage.url(first)
    found = client.head_object(Bucket=bucket, Key=f"media/{first}")
    assert found["ServerSideEncryption"] == "AES256"


# -- the walk-throughs ----------------------------------------------------------------------------

STORAGE = """
>>> default_storage.exists('storage_test')
False
>>> file = default_storage.open('storage_test', 'w')
>>> file.write('storage contents')
>>> file.close()

>>> default_storage.exists('storage_test')
True
>>> file = default_storage.open('storage_test', 'r')
>>> file.read()
'storage contents'
>>> file.close()

>>> default_storage.delete('storage_test')
>>> default_storage.exists('storage_test')
False
"""

MODEL = """
An object without a file has limited functionality:

>>> obj1 = MyStorage()
>>> obj1.normal
<FieldFile: None>
>>> obj1.normal.size
Traceback (most recent call last):
...
ValueError: The 'normal' attribute has no file associated with it.

Saving a file enables full functionality:

>>> obj1.normal.save('django_test.txt', ContentFile('content'))
>>> obj1.normal
<FieldFile: tests/django_test.txt>
>>> obj1.normal.size
7
>>> obj1.normal.read()
'content'

Files can be read in a little at a time, if necessary:

>>> obj1.normal.open()
>>> obj1.normal.read(3)
'con'
>>> obj1.normal.read()
'tent'
>>> '-'.join(obj1.normal.chunks(chunk_size=2))
'co-nt-en-t'

Save another file with the same name:

>>> obj2 = MyStorage()
>>> obj2.normal.save('django_test.txt', ContentFile('more content'))
>>> obj2.normal
<FieldFile: tests/django_test_.txt>
>>> obj2.normal.size
12

Push the objects into the cache to make sure they pickle properly:

>>> cache.set('obj1', obj1)
>>> cache.set('obj2', obj2)
>>> cache.get('obj2').normal
<FieldFile: tests/django_test_.txt>

Deleting an object deletes the file it uses, if there are no other objects still using that file:

>>> obj2.delete()
>>> obj2.normal.save('django_test.txt', ContentFile('more content'))
>>> obj2.normal
<FieldFile: tests/django_test_.txt>

Default values allow an object to access a single file:

>>> obj3 = MyStorage.objects.create()
>>> obj3.default
<FieldFile: tests/default.txt>
>>> obj3.default.read()
'default content'

But it shouldn't be deleted, even if there are no more objects using it:

>>> obj3.delete()
>>> obj3 = MyStorage()
>>> obj3.default.read()
'default content'

Verify the fix for #5655, making sure the directory is only determined once:

>>> obj4 = MyStorage()
>>> obj4.random.save('random_file', ContentFile('random content'))
>>> obj4.random
<FieldFile: .../random_file>

Clean up the temporary files:

>>> obj1.normal.delete()
>>> obj2.normal.delete()
>>> obj3.default.delete()
>>> obj4.random.delete()
"""

#: What is written now, by what the seed wrote.
MOVED = {
    # Python 3: files of a field are open as binary, and give bytes.
    "\n'content'\n": "\nb'content'\n",
    "\n'con'\n": "\nb'con'\n",
    "\n'tent'\n": "\nb'tent'\n",
    "'-'.join(": "b'-'.join(",
    "\n'co-nt-en-t'\n": "\nb'co-nt-en-t'\n",
    "\n'default content'\n": "\nb'default content'\n",
    # Django 1.7: seven characters nobody can guess make a name free. Since 1.3 the file stays when
    # its object is deleted, so that the third save finds another name again.
    "tests/django_test_.txt>": "tests/django_test_....txt>",
}


class WhereShown(doctest.OutputChecker):
    """Compares what the seed shows; where it shows nothing, Python 3 may."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


def walk(text: str, moved: Mapping[str, str], **names: Any) -> None:
    """Run an interactive session, as it is written now, and compare what it shows."""
    for before, now in moved.items():
        assert before in text
        text = text.replace(before, now)
    test = doctest.DocTestParser().get_doctest(text, names, "seed", __file__, 0)
    report = io.StringIO()
    runner = doctest.DocTestRunner(WhereShown(), verbose=False, optionflags=doctest.ELLIPSIS)
    assert runner.run(test, out=report.write).failed == 0, report.getvalue()


@pytest.mark.parametrize("snippet", S3_DEFAULT[:1])
def test_storage_walk_through_on_s3(snippet: str, bucket: str) -> None:
    with override_settings(**settings_in(snippet)):
        walk(STORAGE, {}, default_storage=default_storage)


@pytest.mark.django_db
@pytest.mark.parametrize("location", ["", "media"])
def test_model_walk_through_on_s3(location: str, bucket: str, client: Any) -> None:
    with override_settings(
        AWS_S3_FILE_OVERWRITE=False, AWS_LOCATION=location, **settings_in(S3_DEFAULT[0])
    ):
        default_storage.save("tests/default.txt", ContentFile("default content"))
        walk(MODEL, MOVED, MyStorage=MyStorage, ContentFile=ContentFile, cache=cache)
    # The file whose object was deleted is all that is left.
    (left,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert left["Size"] == 12


# -- FTP ------------------------------------------------------------------------------------------

FTP = """
LOCATION = 'ftp://<user>:<pass>@<host>:<port>'
"""


def test_ftp() -> None:
    if reason := Pyftpdlib.available():
        pytest.skip(reason)
    with Pyftpdlib() as server:
        values = {"user": server.user, "pass": server.password}
        values |= {"host": server.host, "port": str(server.port)}
        written = FTP
        for name, value in values.items():
            written = written.replace(f"<{name}>", value)
        with override_settings(**settings_in(written)), FTPStorage() as storage:
            storage.save("directory/name", ContentFile(b"content"))
            assert (server.root / "directory/name").read_bytes() == b"content"
            # "BASE_URL … Defaults to the value of your MEDIA_URL setting."
            assert storage.url("name") == f"{settings.MEDIA_URL}name"
            with override_settings(BASE_URL="http://files.example/"):
                assert storage.url("name") == "http://files.example/name"


# -- SFTP -----------------------------------------------------------------------------------------

SFTP = """
SFTP_STORAGE_HOST = '127.0.0.1'
SFTP_STORAGE_ROOT = '/site/media/'
SFTP_STORAGE_PARAMS = {'port': PORT, 'username': 'test', 'key_filename': KEY_FILE}
SFTP_STORAGE_INTERACTIVE = False
SFTP_STORAGE_FILE_MODE = 0o640
SFTP_STORAGE_DIR_MODE = 0o750
SFTP_STORAGE_UID = UID
SFTP_STORAGE_GID = GID
SFTP_KNOWN_HOST_FILE = KNOWN_HOSTS
"""


def test_sftp() -> None:
    if reason := AsyncSSH.available():
        pytest.skip(reason)
    with AsyncSSH() as server:
        values = {"PORT": server.port, "KEY_FILE": str(server.key_file)}
        values |= {"UID": os.getuid(), "GID": os.getgid(), "KNOWN_HOSTS": str(server.known_hosts)}
        with override_settings(**settings_in(SFTP, values)), SFTPStorage() as storage:
            storage.save("directory/name", ContentFile(b"content"))
        directory = server.root / "site/media/directory"
        assert (directory / "name").read_bytes() == b"content"
        assert stat.filemode((directory / "name").stat().st_mode) == "-rw-r-----"
        assert stat.filemode(directory.stat().st_mode) == "drwxr-x---"


# -- Image, Overwrite, Symlink or copy ------------------------------------------------------------


def test_image_names_end_in_lower_case_in_what_the_file_holds(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (1, 1)).save(png, "PNG")
    storage = ImageStorage(location=tmp_path)
    assert storage.save("photo.JPEG", ContentFile(png.getvalue())) == "photo.png"
    assert storage.save("scan", ContentFile(png.getvalue())) == "scan.png"


def test_overwrite_adds_nothing_to_a_name_that_is_taken(tmp_path: Path) -> None:
    storage = OverwriteStorage(location=tmp_path)
    names = {storage.save("name", ContentFile(content)) for content in (b"old", b"new")}
    assert names == {"name"}
    assert (tmp_path / "name").read_bytes() == b"new"


def test_files_within_a_directory_are_linked_to_and_others_copied(tmp_path: Path) -> None:
    shared, elsewhere, location = (tmp_path / name for name in ("shared", "elsewhere", "location"))
    for directory in (shared, elsewhere, location):
        directory.mkdir()
        (directory / "file").write_bytes(b"content")
    storage = SymlinkOrCopyStorage(location=location, symlink_within=str(shared))
    for name, directory in {"linked": shared, "copied": elsewhere}.items():
        with (directory / "file").open("rb") as file:
            storage.save(name, File(file))
    assert (location / "linked").readlink() == shared / "file"
    assert not (location / "copied").is_symlink()
    assert (location / "copied").read_bytes() == b"content"
