"""An emulator of our own of MogileFS, in this process: trackers of version 2.73, and nodes.

It keeps to the protocol as the tracker's source has it, oddities included. No package brings a real
tracker, so nothing here proves more than that the source was read well.
"""

from __future__ import annotations

import hashlib
import random
import re
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.servers.mogilefsd import Arguments, KeyTaken, Refused, Tracker
from tests.servers.mogstored import Node
from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable

MIB = 1024 * 1024
LONGEST_KEY = 255  # of the column; MySQL cuts off what is longer
MOST_DESTINATIONS = 3
MOST_KEYS = 1000  # a page of list_keys


@dataclass
class Device:
    """A disk of a node; ``mb_free`` is None where the tracker does not know."""

    number: int
    node: Node
    mb_free: int | None = 1000
    status: str = "alive"

    def url(self, fid: int) -> str:
        """Return the URL of a file's copy on this device."""
        digits = f"{fid:010}"
        parts = (f"dev{self.number}", digits[0], digits[1:4], digits[4:7], f"{digits}.fid")
        return f"{self.node.told}/{'/'.join(parts)}"

    def file(self, fid: int) -> Path:
        """Return where that copy lies on this machine."""
        return self.node.path(self.url(fid).removeprefix(self.node.told))


@dataclass
class Stored:
    """A file: a row of the tracker's table."""

    fid: int
    class_name: str
    length: int
    devices: list[Device]
    checksum: str = ""


@dataclass
class Upload:
    """An upload under way: a row of the table "tempfile"."""

    fid: int
    domain: str
    class_name: str
    devices: list[Device]


@dataclass
class Domain:
    """A name space; ``classes`` tells which classes keep a checksum."""

    classes: dict[str, bool] = field(default_factory=lambda: {"default": False})
    files: dict[str, Stored] = field(default_factory=dict)
    #: Whether a plugin of the site aborts every command.
    aborts: bool = False


class Cluster:
    """Trackers on one table of files, and nodes; use it in a `with` block.

    ``ignores_case`` compares keys as MySQL does by default. Without it they differ as bytes, while
    the LIKE of list_keys ignores case, as on SQLite. With ``memcached``, ``noverify=1`` is answered
    from memory, as it was an hour ago.
    """

    def __init__(
        self,
        trackers: int = 1,
        nodes: int = 3,
        *,
        ignores_case: bool = False,
        memcached: bool = False,
    ) -> None:
        self.ignores_case = ignores_case
        self.memcached = memcached
        self.domains: dict[str, Domain] = {}
        self.uploads: dict[int, Upload] = {}
        self.commands: list[tuple[str, Arguments]] = []
        self.lock = threading.RLock()
        #: Whether trackers can reach nodes to look at files.
        self.sees_nodes = True
        #: Whether list_keys forgets where its last page ended.
        self.repeats = False
        self._remembered: dict[tuple[str, str], Stored] = {}
        self._last_fid = 0
        self._stack = ExitStack()
        root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mogilefs-")))
        self.nodes = [Node(root / str(number)) for number in range(1, nodes + 1)]
        self.devices = [Device(number, node) for number, node in enumerate(self.nodes, 1)]
        self.trackers = [Tracker(self) for _ in range(trackers)]

    def __enter__(self) -> Self:
        for each in (*self.nodes, *self.trackers):
            self._stack.enter_context(each)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> list[str]:
        """Return what the setting MOGILEFS_TRACKERS holds."""
        return [f"{HOST}:{each.port}" for each in self.trackers]

    def names(self, domain: str) -> list[str]:
        """Return all keys of a domain, and uploads that were neither closed nor discarded."""
        with self.lock:
            uploads = [each for each in self.uploads.values() if each.domain == domain]
            unfinished = [f"{each.fid} (unfinished)" for each in uploads]
            return list(self.domains[domain].files) + unfinished

    def hang_up(self) -> None:
        """Close all connections, as after a restart."""
        for tracker in self.trackers:
            tracker.hang_up()
        for node in self.nodes:
            node.hang_up()

    @property
    def exchanges(self) -> list[str]:
        """Return tracker commands and HTTP methods so far."""
        methods = [each.method for node in self.nodes for each in node.requests]
        return [command for command, _ in self.commands] + methods

    def domain(self, name: str, **classes: bool) -> Domain:
        """Return a domain, made if it is not there; classes are named with "keeps a checksum"."""
        domain = self.domains.setdefault(name, Domain())
        domain.classes.update(classes)
        return domain

    # -- a look past the protocol -----------------------------------------------------------------

    def get(self, domain: str, key: str) -> bytes | None:
        """Return what is stored under a key."""
        with self.lock:
            found = self.find(domain, key)
            return found.devices[0].file(found.fid).read_bytes() if found else None

    def put(self, domain: str, key: str, content: bytes, devices: int = 1) -> Stored:
        """Store a file as another client would, with copies on so many devices."""
        with self.lock:
            stored = Stored(self.new_fid(), "default", len(content), self.devices[:devices])
            if self.domains[domain].classes["default"]:
                stored.checksum = f"MD5:{hashlib.md5(content).hexdigest()}"
            for device in stored.devices:
                device.node.write(device.file(stored.fid), content)
            self.store(domain, key, stored)
            return stored

    def plant(self, domain: str, key: str) -> None:
        """Write the row of an empty file, without any copy."""
        with self.lock:
            self.store(domain, key, Stored(self.new_fid(), "default", 0, []))

    def replicate(self, domain: str, key: str) -> list[Device]:
        """Copy a file to every device, as a tracker does in time."""
        with self.lock:
            stored = self.domains[domain].files[self.folded(domain, key)]
            content = self.get(domain, key) or b""
            stored.devices = self.devices[:]
            for device in stored.devices:
                device.node.write(device.file(stored.fid), content)
            return stored.devices

    # -- the table --------------------------------------------------------------------------------

    def new_fid(self) -> int:
        """Return the next number."""
        self._last_fid += 1
        return self._last_fid

    def folded(self, domain: str, key: str) -> str:
        """Return the key of the row that a key finds, or the key itself."""
        if not self.ignores_case:
            return key
        known = {each.casefold(): each for each in self.domains[domain].files}
        return known.get(key.casefold(), key)

    def find(self, domain: str, key: str) -> Stored | None:
        """Return the row of a key."""
        return self.domains[domain].files.get(self.folded(domain, key))

    def store(self, domain: str, key: str, stored: Stored) -> None:
        """Write a row; the file that had the key is deleted."""
        self.remove(domain, key)
        self.domains[domain].files[key[:LONGEST_KEY]] = stored

    def remove(self, domain: str, key: str) -> None:
        """Delete a row and its data, at once where a real tracker takes its time."""
        old = self.domains[domain].files.pop(self.folded(domain, key), None)
        if old is not None:
            for device in old.devices:
                device.file(old.fid).unlink(missing_ok=True)

    # -- commands ---------------------------------------------------------------------------------

    def run(self, command: str, args: Arguments) -> dict[str, object]:
        """Carry a command out; return the values of its OK line."""
        self.commands.append((command, args))
        method = getattr(self, f"cmd_{command}", None)
        if method is None:
            raise Refused("unknown_command")
        if command == "noop":
            return {}
        if not args.get("domain"):
            raise Refused("no_domain")
        if args["domain"] not in self.domains:
            raise Refused("unreg_domain")
        domain = self.domains[args["domain"]]
        if domain.aborts and command not in {"rename", "list_keys"}:
            raise Refused("plugin_aborted")
        values: dict[str, object] = method(domain, args)
        return values

    def cmd_noop(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Do nothing."""
        return {}

    def cmd_create_open(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Choose devices for an upload, each on a node of its own."""
        class_name = args.get("class", "")
        if class_name and class_name not in domain.classes:
            raise Refused("unreg_class")
        size = int(args.get("size") or 0)
        count = MOST_DESTINATIONS if args.get("multi_dest", "0") != "0" else 1
        chosen = self._with_room(size)[:count]
        if not chosen:
            raise Refused("no_devices")
        upload = Upload(self.new_fid(), args["domain"], class_name or "default", chosen)
        self.uploads[upload.fid] = upload
        if count == 1:
            path: dict[str, object] = {"devid": chosen[0].number, "path": chosen[0].url(upload.fid)}
            return {"fid": upload.fid, **path}
        found: dict[str, object] = {"fid": upload.fid, "dev_count": len(chosen)}
        for number, device in enumerate(chosen, 1):
            found[f"devid_{number}"] = device.number
            found[f"path_{number}"] = device.url(upload.fid)
        return found

    def _with_room(self, size: int) -> list[Device]:
        """Return the devices that take new files; a size of 0 counts as none given."""
        alive = [each for each in self.devices if each.status == "alive"]
        if not size:
            return alive
        with_room = [each for each in alive if each.mb_free and each.mb_free * MIB > size]
        return with_room or [each for each in alive if each.mb_free is None]

    def cmd_create_close(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Give an upload its key, if it is as it was told to be; without a key discard it."""
        for name in ("fid", "devid", "path"):
            if not args.get(name):
                raise Refused(f"no_{name}")
        fid, devid, path = int(args["fid"]), int(args["devid"]), args["path"]
        checksum = args.get("checksum", "")
        if checksum and not re.fullmatch("MD5:[0-9a-f]{32}", checksum):
            raise Refused("invalid_checksum_format")
        device = next((each for each in self.devices if each.number == devid), None)
        if device is None or path != device.url(fid):
            raise Refused("bogus_args")
        upload = self.uploads.pop(fid, None)
        if upload is None:
            raise Refused("no_temp_file")
        try:
            return self._close(domain, args, upload, device)
        except Refused:
            device.file(fid).unlink(missing_ok=True)
            raise

    def _close(
        self, domain: Domain, args: Arguments, upload: Upload, device: Device
    ) -> dict[str, object]:
        file, told = device.file(upload.fid), int(args.get("size") or -1)
        if device not in upload.devices:
            raise Refused("invalid_destdev", "File uploaded to invalid dest")
        if not args.get("key"):
            file.unlink(missing_ok=True)
            return {}
        if not file.exists():
            raise Refused("size_verify_error", f"Expected: {told}; actual: 0 (missing)")
        size = file.stat().st_size
        if told > 0 and told != size:
            raise Refused(
                "size_mismatch", f"Expected: {told}; actual: {size}; path: {args['path']}"
            )
        checksum = args.get("checksum", "")
        if checksum and args.get("checksumverify", "0") != "0":
            actual = f"MD5:{hashlib.md5(file.read_bytes()).hexdigest()}"
            if actual != checksum:
                raise Refused("checksum_mismatch", f"Expected: {checksum}; actual: {actual}")
        kept = checksum if domain.classes[upload.class_name] else ""
        stored = Stored(upload.fid, upload.class_name, size, [device], kept)
        self.store(args["domain"], args["key"], stored)
        return {}

    def cmd_get_paths(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Tell where copies are; only the first is looked at, and with noverify none."""
        stored, fast = self._row(args), args.get("noverify", "0") != "0"
        place = (args["domain"], args["key"])
        if self.memcached:
            known = self._remembered.get(place)
            stored = known if fast and known else stored
            self._remembered[place] = stored or self._known(args)
        stored = stored or self._known(args)
        count = max(int(args.get("pathcount") or 2), 2)
        paths: list[str] = []
        for device in random.sample(stored.devices, len(stored.devices)):
            if device.status in {"down", "dead"}:
                continue
            if paths or fast or self._is_whole(device, stored):
                paths.append(device.url(stored.fid))
        if not paths:
            # One that is down is better than none.
            paths = [each.url(stored.fid) for each in stored.devices if each.status == "down"][-1:]
        numbered = {f"path{number}": path for number, path in enumerate(paths[:count], 1)}
        return {"paths": len(numbered), **numbered}

    def _row(self, args: Arguments) -> Stored | None:
        if not args.get("key"):
            raise Refused("no_key")
        return self.find(args["domain"], args["key"])

    def _known(self, args: Arguments) -> Stored:
        stored = self._row(args)
        if stored is None:
            raise Refused("unknown_key")
        return stored

    def _is_whole(self, device: Device, stored: Stored) -> bool:
        file = device.file(stored.fid)
        is_seen = self.sees_nodes and device.node.running and file.exists()
        return is_seen and file.stat().st_size == stored.length

    def cmd_file_info(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Describe a file."""
        stored = self._known(args)
        found: dict[str, object] = {
            "fid": stored.fid,
            "domain": args["domain"],
            "class": stored.class_name,
            "key": args["key"],
            "length": stored.length,
            "devcount": len(stored.devices),
        }
        if domain.classes[stored.class_name]:
            found["checksum"] = stored.checksum or "MISSING"
        return found

    def cmd_delete(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Delete a file."""
        self._known(args)
        self.remove(args["domain"], args["key"])
        return {}

    def cmd_rename(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """Give a file another key, which has to be free."""
        old, new = args.get("from_key", ""), args.get("to_key", "")
        if not old or not new:
            raise Refused("no_key")
        stored = self._known({**args, "key": old})
        if self.find(args["domain"], new):
            raise KeyTaken("key_exists")
        del domain.files[self.folded(args["domain"], old)]
        domain.files[new[:LONGEST_KEY]] = stored
        return {}

    def cmd_list_keys(self, domain: Domain, args: Arguments) -> dict[str, object]:
        """List keys by a LIKE whose wildcards the prefix may hold, a page at a time."""
        prefix, after = args.get("prefix", ""), "" if self.repeats else args.get("after", "")
        if prefix and after and after != "0":
            try:
                # The prefix is taken for a regular expression.
                matches = re.match(prefix, after)
            except re.error:
                raise Refused("failure") from None
            if not matches:
                raise Refused("after_mismatch")
        limit = min(int(args.get("limit") or MOST_KEYS), MOST_KEYS)
        page = [key for key in self._ordered(domain.files) if self._sorts(after, key)]
        page = [key for key in page if _like(prefix, key)][:limit]
        if not page:
            raise Refused("none_match")
        numbered = {f"key_{number}": key for number, key in enumerate(page, 1)}
        return {"key_count": len(page), "next_after": max(page), **numbered}

    def _ordered(self, keys: Iterable[str]) -> list[str]:
        return sorted(keys, key=str.casefold if self.ignores_case else None)

    def _sorts(self, before: str, after: str) -> bool:
        """Return True if one key sorts before another."""
        if self.ignores_case:
            return before.casefold() < after.casefold()
        return before < after


def _like(prefix: str, key: str) -> bool:
    """Return True if SQL's LIKE finds a key by a prefix that is not escaped."""
    parts = {"%": ".*", "_": "."}
    pattern = "".join(parts.get(each, re.escape(each)) for each in prefix)
    return bool(re.match(pattern, key, re.IGNORECASE | re.DOTALL))
