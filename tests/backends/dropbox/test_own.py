"""What is Dropbox's own: requests, options, tokens, namespaces, names, links, listings."""

from __future__ import annotations

import errno
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings

from storages.backends.dropbox import (
    DropBoxFile,
    DropBoxStorage,
    DropboxStorage,
    DropBoxStorageException,
)
from storages.files import RemoteFile
from storages.testing.sources import Interrupted
from tests.backends.dropbox.server import Site, StubbedStorage

MIB = 1024 * 1024


def save(storage: DropBoxStorage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: DropBoxStorage, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def argument(site: Site, route: str) -> dict[str, Any]:
    """Return the argument of the one request to a content route."""
    found: dict[str, Any] = json.loads(site.only(route).headers["Dropbox-API-Arg"])
    return found


# -- names of the module --------------------------------------------------------------------------


def test_names_that_users_import_are_there() -> None:
    assert DropboxStorage is DropBoxStorage
    assert DropBoxFile is RemoteFile
    assert issubclass(DropBoxStorageException, OSError)


def test_token_and_root_may_be_given_by_position() -> None:
    storage = DropBoxStorage("token", "/folder")
    assert (storage.oauth2_access_token, storage.root_path) == ("token", "/folder")


# -- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 7, 4 * MIB])
def test_save_of_up_to_four_mebibytes_is_one_request(site: Site, size: int) -> None:
    save(site.storage(), content=bytes(size))
    assert site.routes == ["upload"]


def test_save_under_a_free_name_asks_for_it_only_where_it_is_large(site: Site) -> None:
    storage = site.storage(file_overwrite=False)
    save(storage)
    assert site.routes == ["upload"]
    save(storage, "b.bin", bytes(4 * MIB + 1))
    assert site.routes[1:3] == ["get_metadata", "upload_session/start"]


def test_larger_save_is_a_request_for_each_four_mebibytes_and_two(site: Site) -> None:
    content = bytes(range(256)) * (9 * MIB // 256)
    save(site.storage(), content=content)
    appends = ["upload_session/append_v2"] * 3
    assert site.routes == ["upload_session/start", *appends, "upload_session/finish"]
    assert site.raw.get("a.txt") == content
    assert site.raw.facts["concurrent"] == 1


@pytest.mark.parametrize("size", [0, 7, 300_000, 5 * MIB])
def test_reading_a_whole_file_is_one_request(site: Site, size: int) -> None:
    site.raw.put("a.txt", bytes(size))
    assert len(read(site.storage())) == size
    assert site.routes == ["download"]


@pytest.mark.parametrize("method", ["exists", "size", "get_modified_time"])
def test_look_at_a_file_is_one_request(site: Site, method: str) -> None:
    site.raw.put("a.txt", b"content")
    getattr(site.storage(), method)("a.txt")
    assert site.routes == ["get_metadata"]


def test_link_is_one_request(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    site.storage().url("a.txt")
    assert site.routes == ["get_temporary_link"]


def test_listing_of_five_thousand_names_is_three_pages(site: Site) -> None:
    site.stub.plant(site.raw.account, [f"/many/{number}" for number in range(5000)])
    assert len(site.storage().listdir("many")[1]) == 5000
    assert site.routes == ["list_folder", "list_folder/continue", "list_folder/continue"]


def test_walk_of_a_tree_is_one_listing(site: Site) -> None:
    names = ["a.txt", "b/c.txt", "b/d/e.txt", "f/g.txt"]
    for name in names:
        site.raw.put(f"Top/{name}", b"x")
    found = dict(site.storage(root_path="/top").scan(recursive=True))
    assert sorted(found) == names
    assert site.routes == ["list_folder"]


def test_storages_of_one_configuration_share_a_client(site: Site) -> None:
    made = [site.storage(root_path=f"/{number}") for number in range(100)]
    assert len({id(each.client) for each in made}) == 1
    assert site.storage(max_wait=1.0).client is not made[0].client


# -- writing --------------------------------------------------------------------------------------


def test_create_only_save_is_strict_and_takes_no_other_name(site: Site) -> None:
    save(site.storage(file_overwrite=False))
    sent = argument(site, "upload")
    assert (sent["mode"], sent["autorename"], sent["strict_conflict"]) == (
        {".tag": "add"},
        False,
        True,
    )
    moment = datetime.strptime(sent["client_modified"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(seconds=65)
    assert len(sent["content_hash"]) == 64


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["a.txt", "a_"]),
        ({"write_mode": "add"}, ["a.txt", "a_"]),
        ({"write_mode": "overwrite"}, ["a.txt", "a.txt"]),
        ({"write_mode": "update"}, ["a.txt", "a.txt"]),
        ({"write_mode": "overwrite", "file_overwrite": False}, ["a.txt", "a_"]),
        ({"file_overwrite": True}, ["a.txt", "a.txt"]),
    ],
)
def test_write_mode_says_whether_a_file_is_replaced(
    site: Site, options: dict[str, Any], expected: list[str]
) -> None:
    given = site.options(**options)
    if "file_overwrite" not in options:
        del given["file_overwrite"]
    storage = StubbedStorage(**given)
    found = [save(storage, content=content) for content in (b"one", b"two")]
    assert [name.startswith(start) for name, start in zip(found, expected, strict=True)] == [
        True,
        True,
    ]
    assert site.raw.get(found[1]) == b"two"


def test_update_does_not_replace_what_another_client_has_just_changed(site: Site) -> None:
    storage = site.storage(write_mode="update")
    save(storage, content=b"first")

    source = Interrupted(b"second", lambda: site.raw.put("a.txt", b"another client's"))
    with pytest.raises(OSError, match="replaced") as raised:
        storage.save("a.txt", File(source, "a.txt"))
    assert raised.value.errno == errno.ESTALE
    assert site.raw.get("a.txt") == b"another client's"


def test_file_changed_in_place_is_written_over_its_own_revision_alone(site: Site) -> None:
    storage = site.storage()
    save(storage, content=b"0123456789")
    with storage.open("a.txt", "r+b") as file:
        file.seek(5)
        file.write(b"FIVE")
    assert site.raw.get("a.txt") == b"01234FIVE9"
    file = storage.open("a.txt", "r+b")
    file.write(b"X")
    site.raw.put("a.txt", b"another client's")
    with pytest.raises(OSError, match="replaced") as raised:
        file.close()
    assert raised.value.errno == errno.ESTALE
    assert site.raw.get("a.txt") == b"another client's"


def test_file_rewritten_with_equal_bytes_is_no_conflict(site: Site) -> None:
    storage = site.storage()
    save(storage, content=b"same")
    with storage.open("a.txt", "r+b") as file:
        file.write(b"same")
    assert site.raw.get("a.txt") == b"same"


def test_file_removed_while_it_is_changed_is_not_made_again(site: Site) -> None:
    storage = site.storage()
    save(storage)
    file = storage.open("a.txt", "ab")
    file.write(b"more")
    storage.delete("a.txt")
    with pytest.raises(OSError, match="replaced"):
        file.close()
    assert site.raw.names() == []


def test_folder_in_the_place_of_a_file_is_told(site: Site) -> None:
    site.raw.put("a.txt/b.txt", b"x")
    with pytest.raises(IsADirectoryError):
        save(site.storage())
    assert save(site.storage(file_overwrite=False)).startswith("a_")
    with pytest.raises(NotADirectoryError):
        save(site.storage(), "a.txt/b.txt/c.txt")
    with pytest.raises(IsADirectoryError):
        site.storage().open("a.txt")


def test_folder_is_never_deleted_with_what_is_in_it(site: Site) -> None:
    site.raw.put("folder/a.txt", b"x")
    with pytest.raises(IsADirectoryError):
        site.storage().delete("folder")
    assert site.raw.names() == ["folder/a.txt"]


@pytest.mark.parametrize("name", ["desktop.ini", "~$x.docx", "a ", "Thumbs.db", ".dropbox"])
def test_name_that_dropbox_refuses_is_told_after_one_try(site: Site, name: str) -> None:
    for overwrite in (True, False):
        with pytest.raises(OSError, match="choose another") as raised:
            save(site.storage(file_overwrite=overwrite), name)
        assert raised.value.errno == errno.EINVAL
    assert site.routes.count("upload") == 2


# -- names and the root ---------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["/Media", "media", "MEDIA/", "\\media\\", "//media"])
def test_root_is_put_before_each_path_once(site: Site, root: str) -> None:
    site.raw.put("Media/sub/old.txt", b"old")
    site.raw.put("Media2/other.txt", b"other")
    storage = site.storage(root_path=root)
    assert save(storage, "sub/a.txt") == "sub/a.txt"
    assert sorted(site.raw.names()) == ["Media/sub/a.txt", "Media/sub/old.txt", "Media2/other.txt"]
    assert storage.listdir("") == (["sub"], [])
    assert sorted(name for name, _ in storage.scan(recursive=True)) == ["sub/a.txt", "sub/old.txt"]
    assert not storage.exists("other.txt")


def test_root_and_location_both_count(site: Site) -> None:
    save(site.storage(root_path="/one", location="two"), "a.txt")
    assert site.raw.names() == ["one/two/a.txt"]


def test_root_that_is_not_there_yet_is_empty(site: Site) -> None:
    storage = site.storage(root_path="/new")
    assert storage.listdir("") == ([], [])
    assert list(storage.scan(recursive=True)) == []
    with pytest.raises(FileNotFoundError):
        storage.listdir("sub")


@pytest.mark.parametrize(
    "root", ["../x", "/a/../../b", "id:abc", "ns:123/x", "rev:012345678", "\n"]
)
def test_root_that_is_no_path_is_a_mistake_in_the_settings(site: Site, root: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DROPBOX_ROOT_PATH"):
        site.storage(root_path=root).exists("a.txt")
    assert site.routes == []


@pytest.mark.parametrize("name", ["id:abc", "rev:0123456789", "ns:123/a.txt", "ns:1"])
def test_names_that_the_api_takes_for_ids_never_reach_it(site: Site, name: str) -> None:
    storage = site.storage()
    for call in (storage.exists, storage.size, storage.url, storage.delete, storage.open):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    with pytest.raises(SuspiciousFileOperation):
        save(storage, name)
    assert site.routes == []


def test_names_that_differ_in_case_are_one(site: Site) -> None:
    storage = site.storage(file_overwrite=False)
    assert save(storage, "A.txt", b"upper") == "A.txt"
    renamed = save(storage, "a.txt", b"lower")
    assert renamed.startswith("a_")
    assert (read(storage, "a.TXT"), read(storage, renamed)) == (b"upper", b"lower")
    assert sorted(storage.listdir("")[1]) == ["A.txt", renamed]


def test_delete_character_in_a_name_reaches_the_api(site: Site) -> None:
    storage = site.storage()
    assert save(storage, "a\x7fb.txt") == "a\x7fb.txt"
    assert read(storage, "a\x7fb.txt") == b"content"


# -- reading --------------------------------------------------------------------------------------


def test_reader_keeps_to_the_revision_it_opened(site: Site) -> None:
    site.raw.put("a.txt", b"old" * 200_000)
    with site.storage().open("a.txt") as file:
        assert file.read(3) == b"old"
        site.raw.put("a.txt", b"new" * 200_000)
        file.seek(300_000)
        assert file.read(6) == b"oldold"
    assert site.routes == ["download", "download"]
    again = site.front.requests[1].headers
    assert again["Range"] == "bytes=300000-"
    assert json.loads(again["Dropbox-API-Arg"])["path"].startswith("rev:")


def test_document_of_paper_is_listed_and_has_no_bytes_to_open(site: Site) -> None:
    site.raw.put("notes.paper", b"", paper=1)
    storage = site.storage()
    assert storage.listdir("") == ([], ["notes.paper"])
    assert storage.exists("notes.paper")
    with pytest.raises(DropBoxStorageException, match="export it"):
        storage.open("notes.paper")
    with pytest.raises(DropBoxStorageException, match="export it"):
        storage.url("notes.paper")


# -- listings -------------------------------------------------------------------------------------


def test_page_without_entries_is_not_the_last(site: Site) -> None:
    site.stub.plant(site.raw.account, [f"/d/{letter}" for letter in "abc"])
    site.raw.tell(pages=[0, 2, 0, 1])
    assert site.storage().listdir("d") == ([], ["a", "b", "c"])


def test_listing_that_is_reset_begins_again_without_doubles(site: Site) -> None:
    site.stub.plant(site.raw.account, [f"/d/{number}" for number in range(7)])
    site.raw.tell(pages=[2] * 20, resets=2)
    names = [name for name, _ in site.storage().scan("d")]
    assert names == [f"d/{number}" for number in range(7)]


def test_listing_that_is_reset_for_ever_ends_in_an_error(site: Site) -> None:
    site.stub.plant(site.raw.account, [f"/d/{number}" for number in range(7)])
    site.raw.tell(pages=[2] * 50, resets=1000)
    with pytest.raises(OSError, match="changes too much"):
        site.storage().listdir("d")
    assert site.routes.count("list_folder") == 4


# -- links ----------------------------------------------------------------------------------------


def test_link_gives_the_file_for_four_hours(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    link = site.storage().url("a.txt", expire=14_400)
    with urlopen(link) as answer:
        assert answer.read() == b"content"
    site.raw.tell(clock=14_401)
    with pytest.raises(OSError, match="410"):
        urlopen(link)


@pytest.mark.parametrize("expire", [0, -1, 14_401])
def test_link_of_another_life_is_refused_without_a_request(site: Site, expire: int) -> None:
    with pytest.raises(ValueError, match="14400"):
        site.storage().url("a.txt", expire=expire)
    with pytest.raises(ValueError, match="parameters"):
        site.storage().url("a.txt", parameters={"dl": "1"})
    assert site.routes == []


def test_missing_file_has_no_link(site: Site) -> None:
    with pytest.raises(FileNotFoundError):
        site.storage().url("missing.txt")


def test_url_under_a_base_url_needs_no_request(site: Site) -> None:
    assert site.storage(base_url="/media/").url("a b.txt") == "/media/a%20b.txt"
    assert site.routes == []


# -- tokens and namespaces ------------------------------------------------------------------------


def test_threads_share_one_refresh(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    storage = site.refreshing()
    threads = [threading.Thread(target=storage.exists, args=("a.txt",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.raw.facts["refreshes"] == 1
    assert site.routes.count("get_metadata") == 8


def test_threads_that_meet_an_expired_token_share_one_refresh(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    storage = site.refreshing()
    storage.exists("a.txt")
    site.raw.tell(clock=20_000)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(storage.exists("a.txt"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert site.raw.facts["refreshes"] == 2


def test_token_near_its_end_is_refreshed_before_it_is_used(site: Site) -> None:
    site.raw.tell(life=60)
    storage = site.refreshing()
    for _ in range(2):
        storage.exists("a.txt")
    assert site.raw.facts["refreshes"] == 2


def test_app_without_a_secret_can_refresh(site: Site) -> None:
    assert site.refreshing(app_secret=None).exists("a.txt") is False


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"oauth2_refresh_token": "revoked"}, "DROPBOX_OAUTH2"),
        ({"app_key": "unknown"}, "DROPBOX_APP_KEY"),
        ({"app_secret": "wrong"}, "DROPBOX_APP_SECRET"),
    ],
)
def test_refresh_that_is_refused_names_what_to_set(
    site: Site, options: dict[str, Any], setting: str
) -> None:
    with pytest.raises(PermissionError, match=setting):
        site.refreshing(**options).exists("a.txt")


def test_lacking_permission_is_named(site: Site) -> None:
    site.raw.tell(without=["files.content.write"])
    with pytest.raises(PermissionError, match=r"files\.content\.write"):
        save(site.storage())
    assert site.storage().exists("a.txt") is False


def test_team_space_is_named_on_every_call(site: Site) -> None:
    site.raw.tell(roots=["1001", "2002"])
    site.stub.put(site.raw.account, "/team/old.txt", b"old", namespace="2002")
    storage = site.storage(path_root="2002")
    save(storage, "team/a.txt", bytes(5 * MIB))
    assert sorted(storage.listdir("team")[1]) == ["a.txt", "old.txt"]
    assert read(storage, "team/old.txt") == b"old"
    assert storage.size("team/a.txt") == 5 * MIB
    storage.url("team/a.txt")
    storage.delete("team/a.txt")
    wanted = {".tag": "root", "root": "2002"}
    roots = [json.loads(each.headers["Dropbox-API-Path-Root"]) for each in site.front.requests]
    assert roots == [wanted] * len(roots)
    assert site.storage().listdir("") == ([], [])


@pytest.mark.parametrize("root", ["home", "namespace_id:2002", "root:2002"])
def test_path_root_has_three_forms(site: Site, root: str) -> None:
    site.raw.tell(roots=["1001", "2002"])
    assert save(site.storage(path_root=root))
    (name,) = site.stub.names(site.raw.account, "" if root == "home" else "2002")
    assert name == "/a.txt"


def test_root_namespace_that_changed_is_a_mistake_that_names_the_new_one(site: Site) -> None:
    site.raw.tell(roots=["1001", "3003"])
    for call in ("exists", "size", "delete", "open"):
        with pytest.raises(ImproperlyConfigured, match=r"DROPBOX_PATH_ROOT.*3003"):
            getattr(site.storage(path_root="2002"), call)("a.txt")
    with pytest.raises(ImproperlyConfigured, match="may not use"):
        site.storage(path_root="namespace_id:7").exists("a.txt")


def test_token_of_a_team_acts_as_a_member(site: Site) -> None:
    team = {"oauth2_access_token": f"team-{site.raw.account}"}
    assert save(site.storage(**team, select_user=f"dbmid:{site.raw.account}"))
    assert site.raw.get("a.txt") == b"content"
    with pytest.raises(PermissionError, match="DROPBOX_SELECT_USER"):
        site.storage(**team).exists("a.txt")
    with pytest.raises(PermissionError, match="DROPBOX_SELECT_USER"):
        site.storage(**team, select_user="dbmid:nobody").exists("a.txt")


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({}, "DROPBOX_OAUTH2_REFRESH_TOKEN"),
        ({"oauth2_refresh_token": "refresh"}, "DROPBOX_APP_KEY"),
        ({"oauth2_access_token": "x", "timeout": 0}, "DROPBOX_TIMEOUT"),
        ({"oauth2_access_token": "x", "max_wait": -1}, "DROPBOX_MAX_WAIT"),
        ({"oauth2_access_token": "x", "write_mode": "append"}, "DROPBOX_WRITE_MODE"),
        ({"oauth2_access_token": "x", "path_root": "/team"}, "DROPBOX_PATH_ROOT"),
    ],
)
def test_missing_and_wrong_options_are_named_at_first_use(
    options: dict[str, Any], setting: str
) -> None:
    storage = StubbedStorage(**options)
    with pytest.raises(ImproperlyConfigured, match=setting):
        save(storage)


def test_each_option_has_its_setting(site: Site) -> None:
    settings = {
        "DROPBOX_OAUTH2_TOKEN": f"good-{site.raw.account}",
        "DROPBOX_ROOT_PATH": "/site",
        "DROPBOX_TIMEOUT": 7.0,
        "DROPBOX_MAX_WAIT": 3.0,
        "DROPBOX_WRITE_MODE": "overwrite",
    }
    with override_settings(**settings):
        storage = StubbedStorage(endpoint=site.front.url)
        assert [save(storage), save(storage)] == ["a.txt", "a.txt"]
        assert (storage.client.max_wait, storage.timeout) == (3.0, 7.0)
    assert site.raw.names() == ["site/a.txt"]


def test_tenants_have_tokens_of_their_own(site: Site) -> None:
    tenant = [f"good-{site.raw.account}"]
    storage = site.storage(oauth2_access_token=lambda: tenant[0])
    save(storage)
    tenant[0] = "good-another"
    assert storage.exists("a.txt") is False


def test_commands_list_and_check_the_storage(site: Site, capsys: Any) -> None:
    site.raw.put("folder/a.txt", b"content")
    path = f"{StubbedStorage.__module__}.{StubbedStorage.__name__}"
    entry = {"BACKEND": path, "OPTIONS": site.options(root_path="/folder")}
    with override_settings(STORAGES={"files": entry}):
        assert storages["files"].exists("a.txt")
        call_command("storages_list", "files")
        call_command("storages_check", "files")
    assert "a.txt" in capsys.readouterr().out
    assert site.raw.names() == ["folder/a.txt"]
