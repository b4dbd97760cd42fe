from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.test import override_settings
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.module_loading import import_string

from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage
from storages.backends.sftpstorage import SFTPStorage
from storages.base import BaseStorage
from storages.checks import backend_classes
from storages.configured import options_of
from storages.options import UNSET, derived, option

CANARY = "canary-7d9f"


def check_even(value: int) -> None:
    if value % 2:
        raise ValueError("must be even")


def without_password(value: Any) -> Any:
    """The text of a URL without its password; nothing of a mapping but its plain names."""
    if isinstance(value, str):
        password = urlsplit(value).password
        return value.replace(f":{password}@", ":@") if password else value
    return {k: v for k, v in value.items() if k != "password"} or UNSET


class Kettle(BaseStorage):
    """A storage with an option of every kind, which keeps nothing."""

    colour: str | None = option("KETTLE_COLOUR", "OLD.colour", "TINT", env=("KETTLE_TINT",))
    litres: float = option("KETTLE_LITRES", default=1.5)
    cups: int = option("KETTLE_CUPS", default=4, check=check_even)
    name: str = option("KETTLE_NAME", required=True)
    token: str | None = option("KETTLE_TOKEN", secret=True)
    server: str | None = option("KETTLE_SERVER", secret=without_password)
    account: Mapping[str, Any] | None = option("KETTLE_ACCOUNT", secret=without_password)
    lid: Literal["open", "shut"] = option("KETTLE_LID", default="shut")
    tags: Sequence[str] = option("KETTLE_TAGS", default=())
    whistle: Callable[[], str] | None = option("KETTLE_WHISTLE")
    is_on: bool = option("KETTLE_IS_ON", default=False)
    tint: str | None = option(alias_of="colour")
    client: object = option(read=lambda _storage, value: ("client", value))


class Green(Kettle):
    colour = "green"


class Painted(Kettle):
    @property
    def colour(self) -> str:
        return f"painted {self.name}"


class Mixed:
    colour = "mixed"


class Blended(Mixed, Kettle):
    pass


class Tinted(Kettle):
    tint = "tinted"


class Positional(Kettle):
    token: str | None = option(secret=True, kw_only=False)
    acl: str | None = option("KETTLE_ACL", default="private", kw_only=False)


class Own(Kettle):
    """Has a constructor as users write them."""

    def __init__(self, secret: str, size: int = 3) -> None:
        self.size_given = size
        super().__init__(token=secret, name="own")


class Pooled(Kettle):
    volatile = frozenset({"pool"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool = lambda: "cannot be pickled"


# Where a value comes from


def test_default_is_the_last_resort():
    assert Kettle().litres == 1.5
    assert Kettle().colour is None


def test_environment_comes_before_the_default(monkeypatch):
    monkeypatch.setenv("KETTLE_TINT", "env")
    assert Kettle().colour == "env"
    monkeypatch.setenv("KETTLE_TINT", "")
    assert Kettle().colour is None


def test_settings_come_before_the_environment_and_in_their_order(monkeypatch):
    monkeypatch.setenv("KETTLE_TINT", "env")
    with override_settings(TINT="third"):
        assert Kettle().colour == "third"
        with override_settings(OLD={"colour": "second"}):
            assert Kettle().colour == "second"
            with override_settings(KETTLE_COLOUR="first"):
                assert Kettle().colour == "first"


@pytest.mark.parametrize(
    ("cls", "colour"),
    [(Green, "green"), (Painted, "painted x"), (Blended, "mixed"), (Tinted, "tinted")],
)
def test_subclass_comes_before_the_settings(cls, colour):
    with override_settings(KETTLE_COLOUR="setting"):
        assert cls(name="x").colour == colour
        assert cls(name="x").tint == colour


@pytest.mark.parametrize("cls", [Kettle, Green, Painted, Blended, Tinted])
def test_argument_comes_before_everything(cls, monkeypatch):
    monkeypatch.setenv("KETTLE_TINT", "env")
    with override_settings(KETTLE_COLOUR="setting"):
        assert cls(colour="given").colour == "given"
        assert cls(tint="given").colour == "given"


def test_assignment_counts_as_an_argument_until_it_is_deleted():
    storage = Kettle(colour="given")
    storage.colour = "assigned"
    assert (storage.colour, storage.tint) == ("assigned", "assigned")
    del storage.colour
    assert storage.colour is None


def test_class_attribute_of_a_subclass_is_seen_on_the_class():
    assert Green.colour == "green"
    assert options_of(Kettle)["colour"] is Kettle.colour


def test_subclass_of_a_subclass_may_change_its_mind():
    class Blue(Green):
        colour = "blue"

    class Unsaid(Green):
        pass

    assert (Blue().colour, Unsaid().colour, Green().colour) == ("blue", "green", "green")


def test_subclass_may_declare_an_option_anew():
    class Loud(Green):
        colour: str | None = option("LOUD_COLOUR", default="loud")

    assert Loud().colour == "loud"
    with override_settings(LOUD_COLOUR="setting", KETTLE_COLOUR="other"):
        assert Loud().colour == "setting"


def test_setting_of_none_is_not_given():
    with override_settings(KETTLE_COLOUR=None, OLD=None, TINT="third", KETTLE_LITRES=None):
        assert Kettle().colour == "third"
        assert Kettle().litres == 1.5


def test_setting_that_is_false_is_given():
    with override_settings(KETTLE_LITRES=0, KETTLE_COLOUR="", TINT="third"):
        assert Kettle().litres == 0
        assert Kettle().colour == ""


def test_argument_of_none_is_a_value():
    with override_settings(KETTLE_COLOUR="setting"):
        assert Kettle(colour=None).colour is None


def test_settings_are_read_at_use():
    storage = Kettle()
    for colour in ("red", "blue"):
        with override_settings(KETTLE_COLOUR=colour):
            assert storage.colour == colour
    assert storage.colour is None


def test_what_was_read_gives_way_to_what_is_set_later():
    storage = Kettle()
    for litres in (2.0, 3.0):
        with override_settings(KETTLE_LITRES=litres):
            assert storage.litres == litres
        assert storage.litres == 1.5
    storage.litres = 4.0
    assert storage.litres == 4.0
    copied = copy.copy(storage)
    copied.litres = 5.0
    assert (storage.litres, copied.litres) == (4.0, 5.0)
    del storage.litres
    assert storage.litres == 1.5


def test_environment_is_read_at_each_use(monkeypatch):
    storage = Kettle()
    for colour in ("red", "blue"):
        monkeypatch.setenv("KETTLE_TINT", colour)
        assert storage.colour == colour


def test_dotted_setting_reaches_into_a_dict():
    with override_settings(OLD={"colour": "inner"}):
        assert Kettle().colour == "inner"
    with override_settings(OLD="no dict"):
        assert Kettle().colour is None


def test_callable_is_called_at_each_use():
    count = iter(range(3))
    storage = Kettle(litres=lambda: next(count))
    assert [storage.litres, storage.litres] == [0, 1]
    with override_settings(KETTLE_COLOUR=lambda: "called"):
        assert storage.colour == "called"


def test_callable_of_an_option_that_is_one_is_not_called():
    def whistle() -> str:
        return "whistle"

    assert Kettle(whistle=whistle).whistle is whistle


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"litres": "2.5"}, 2.5),
        ({"litres": "2"}, 2),
        ({"cups": " 6 "}, 6),
    ],
)
def test_numbers_may_be_text(given: dict[str, Any], expected: float) -> None:
    # As what comes from the environment is.
    kettle = Kettle(name="k", **given)
    assert getattr(kettle, next(iter(given))) == expected


def test_modes_that_are_text_are_octal() -> None:
    for mode in ("644", "0644", "0o644"):
        assert SFTPStorage(host="h", file_mode=mode).file_mode == 0o644  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [{"litres": "much"}, {"litres": "nan"}, {"litres": "inf"}, {"cups": "2.5"}, {"cups": ""}],
)
def test_text_that_is_no_number_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="not str"):
        getattr(Kettle(name="k", **given), next(iter(given)))


def test_lazy_text_becomes_text_at_use():
    with override_settings(KETTLE_COLOUR=lazystr("lazy")):
        storage = Kettle(name=lazystr("name"))
        assert (type(storage.name), storage.name) == (str, "name")
        assert (type(storage.colour), storage.colour) == (str, "lazy")


def test_reading_may_give_something_made_of_the_value():
    storage = Kettle(name="x", client="value")
    assert storage.client == ("client", "value")
    assert options_of(Kettle)["client"].value(storage) == "value"


# What is refused


def test_unknown_option_is_named_with_the_closest():
    with pytest.raises(ImproperlyConfigured, match=r"Kettle has no option 'color'.*'colour'"):
        Kettle(color="red")


def test_unknown_option_like_no_other_is_named_alone():
    with pytest.raises(ImproperlyConfigured) as raised:
        Kettle(zzzzzz=CANARY)
    assert str(raised.value) == "Kettle has no option 'zzzzzz'."


def test_option_and_its_alias_may_not_both_be_given():
    for arguments in ({"tint": "a", "colour": "b"}, {"colour": "b", "tint": "a"}):
        with pytest.raises(ImproperlyConfigured, match="'tint' and 'colour' are one option"):
            Kettle(**arguments)


@pytest.mark.parametrize(
    ("option_name", "value"),
    [
        ("colour", 1),
        ("colour", b"red"),
        ("litres", "a lot"),
        ("litres", True),
        ("cups", 2.0),
        ("cups", False),
        ("cups", "two"),
        ("account", [("password", CANARY)]),
        ("lid", "ajar"),
        ("tags", "abc"),
        ("tags", 1),
        ("whistle", "text"),
        ("is_on", 1),
        ("is_on", "false"),
        ("token", object),
    ],
)
def test_value_of_a_wrong_type_is_refused_at_use(option_name, value):
    storage = Kettle(**{option_name: value})
    with pytest.raises(ImproperlyConfigured, match=f"'{option_name}'.* must be ") as raised:
        getattr(storage, option_name)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("option_name", "value"),
    [
        ("litres", 2),
        ("cups", 2),
        ("account", {"user": "me"}),
        ("lid", "open"),
        ("tags", ["a"]),
        ("tags", ("a",)),
        ("is_on", True),
        ("colour", None),
    ],
)
def test_value_of_the_right_type_is_taken(option_name, value):
    assert getattr(Kettle(**{option_name: value}), option_name) == value


def test_error_names_option_settings_and_environment():
    with pytest.raises(ImproperlyConfigured) as raised:
        Kettle(colour=1).colour  # noqa: B018
    assert str(raised.value) == (
        "Kettle: the option 'colour' (setting KETTLE_COLOUR or setting OLD.colour or setting TINT "
        "or environment variable KETTLE_TINT) must be str | None, not int."
    )


def test_check_ends_the_sentence_and_tells_no_value():
    with override_settings(KETTLE_CUPS=31337), pytest.raises(ImproperlyConfigured) as raised:
        Kettle().cups  # noqa: B018
    assert str(raised.value) == "Kettle: the option 'cups' (setting KETTLE_CUPS) must be even"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("options", [{}, {"name": None}, {"name": lambda: None}])
def test_missing_option_is_named_with_its_setting_at_use(options):
    storage = Kettle(**options)
    with pytest.raises(ImproperlyConfigured, match=r"Kettle needs the option 'name' .*KETTLE_NAME"):
        storage.name  # noqa: B018


def test_too_many_positional_arguments_are_refused():
    with pytest.raises(ImproperlyConfigured, match="takes at most 0 positional"):
        Kettle("red")
    with pytest.raises(ImproperlyConfigured, match="takes at most 2 positional"):
        Positional("token", "acl", "more")


# Positional arguments


def test_positional_arguments_are_in_the_order_declared():
    storage = Positional(CANARY, "public")
    assert (storage.token, storage.acl) == (CANARY, "public")


def test_positional_none_is_not_given():
    with override_settings(KETTLE_ACL="setting"):
        assert Positional(None, None).acl == "setting"
        assert Positional(acl=None).acl == "setting"
    assert Positional(None, "public").acl == "public"


def test_argument_given_twice_is_refused():
    with pytest.raises(ImproperlyConfigured, match="got 'acl' twice"):
        Positional(None, "public", acl="private")


# Descriptions


def test_deconstruction_gives_path_and_arguments_given():
    assert Kettle().deconstruct() == ("tests.test_options.Kettle", [], {})
    path, args, options = Kettle(colour="red", litres=2).deconstruct()
    assert (path, args, options) == (
        "tests.test_options.Kettle",
        [],
        {"colour": "red", "litres": 2},
    )


def test_deconstruction_leaves_secrets_out():
    storage = Kettle(
        name="x",
        token=CANARY,
        server=f"ftp://me:{CANARY}@host",
        account={"user": "me", "password": CANARY},
    )
    assert storage.deconstruct()[2] == {
        "name": "x",
        "server": "ftp://me:@host",
        "account": {"user": "me"},
    }
    assert Kettle(account={"password": CANARY}).deconstruct()[2] == {}


def test_deconstruction_leaves_secrets_out_of_positional_arguments():
    assert Positional(CANARY, "public").deconstruct()[1] == [None, "public"]
    assert Positional(CANARY).deconstruct()[1] == []


def test_deconstruction_leaves_secrets_out_of_a_constructor_of_ones_own():
    for storage in (Own(CANARY), Own(secret=CANARY), Own(CANARY, 5)):
        assert CANARY not in str(storage.deconstruct())
    assert Own(CANARY, size=5).deconstruct()[2] == {"size": 5}


@pytest.mark.parametrize("value", [lambda: CANARY, object()])
def test_deconstruction_leaves_out_secrets_that_are_no_text(value):
    assert Kettle(token=value, server=value).deconstruct()[2] == {}


def test_representation_masks_secrets():
    storage = Kettle(name="x", token=CANARY, server=f"ftp://me:{CANARY}@host")
    assert repr(storage) == "Kettle(name='x', token=…, server='ftp://me:@host')"
    assert str(storage) == repr(storage)


def test_representation_masks_what_a_constructor_of_ones_own_passed_on():
    assert repr(Own(CANARY)) == "Own(token=…, name='own')"


def test_options_of_a_class_are_in_order_with_base_classes_first():
    names = list(options_of(Kettle))
    assert names.index("location") < names.index("colour") < names.index("litres")
    assert list(options_of(Green)) == names
    assert list(options_of(Positional))[-2:] == ["token", "acl"]


# Pickles and copies


@pytest.mark.parametrize(
    "secret",
    [
        {"token": CANARY},
        {"server": f"ftp://me:{CANARY}@host"},
        {"account": {"user": "me", "password": CANARY}},
    ],
)
def test_pickle_holds_no_secret_and_using_one_that_is_gone_says_what_to_do(secret):
    ((name, _),) = secret.items()
    pickled = pickle.dumps(Kettle(name="x", **secret))
    assert CANARY.encode() not in pickled
    restored = pickle.loads(pickled)
    assert restored.name == "x"
    with pytest.raises(
        ImproperlyConfigured, match=f"'{name}'.*not pickled: set it in your settings"
    ):
        getattr(restored, name)


def test_pickled_secret_comes_from_its_setting():
    restored = pickle.loads(pickle.dumps(Kettle(token=CANARY)))
    with override_settings(KETTLE_TOKEN="from settings"):
        assert restored.token == "from settings"


def test_pickled_secret_comes_from_the_entry_it_was_made_of():
    def entry(**options: str) -> dict[str, Any]:
        return {"BACKEND": "tests.test_options.Kettle", "OPTIONS": options}

    with override_settings(
        STORAGES={
            "one": entry(name="one", token="first"),
            "wrong": entry(no_such_option=1),
            "two": entry(name="two", token="second"),
            "three": {"BACKEND": "no.such.module"},
            "four": {"BACKEND": "tests.test_options.Green"},
        }
    ):
        restored = pickle.loads(pickle.dumps(storages["two"]))
        assert (restored.name, restored.token) == ("two", "second")
        assert pickle.loads(pickle.dumps(restored)).token == "second"
        assert restored.deconstruct() == storages["two"].deconstruct()
        other = pickle.loads(pickle.dumps(Kettle(name="other", token=CANARY)))
    with pytest.raises(ImproperlyConfigured, match="not pickled"):
        other.token  # noqa: B018


def test_pickle_of_a_restored_storage_still_knows_what_it_lacks():
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(Kettle(token=CANARY)))))
    with pytest.raises(ImproperlyConfigured, match="not pickled"):
        again.token  # noqa: B018
    again.token = "assigned"
    assert again.token == "assigned"
    assert Kettle().token is None


def test_pickled_storage_deconstructs_as_before_without_its_secrets():
    storage = Kettle(name="x", token=CANARY, litres=2)
    restored = pickle.loads(pickle.dumps(storage))
    assert restored.deconstruct() == storage.deconstruct()


@pytest.mark.parametrize("storage", [Own(CANARY, 5), Own(CANARY), Positional(CANARY, "public")])
def test_pickled_storage_deconstructs_as_its_own_constructor_takes_it(storage):
    restored = pickle.loads(pickle.dumps(storage))
    assert restored.deconstruct() == storage.deconstruct()


def test_pickled_secret_of_a_constructor_of_ones_own_comes_from_its_entry():
    entry = {"BACKEND": "tests.test_options.Own", "OPTIONS": {"secret": CANARY, "size": 5}}
    with override_settings(STORAGES={"own": entry}):
        assert pickle.loads(pickle.dumps(Own(CANARY, 5))).token == CANARY


def test_pickled_storage_without_secrets_is_the_same():
    restored = pickle.loads(pickle.dumps(Kettle(name="x", colour="red", tags=["a"])))
    assert (restored.name, restored.colour, restored.tags) == ("x", "red", ["a"])


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_copy_keeps_secrets_and_parts_from_its_original(make):
    storage = Kettle(name="x", token=CANARY)
    copied = make(storage)
    copied.name = "copy"
    assert (copied.token, storage.name, copied.name) == (CANARY, "x", "copy")


@pytest.mark.parametrize(
    "make", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_volatile_attributes_are_left_behind(make):
    storage = Pooled(name="x")
    assert "pool" not in vars(make(storage))
    assert storage.pool() == "cannot be pickled"


# What a backend may add


def test_plain_storage_contradicts_nothing_and_is_not_insecure():
    storage = Kettle(name="x")
    assert list(storage.contradictions()) == []
    assert list(storage.insecurities()) == []


# Every option, under every idiom of subclasses


class Tenant(Kettle):
    """Asks the parent class for the value, as storages with tenants do."""

    @property
    def colour(self) -> str | None:
        return f"{super().colour}/7"

    @property
    def cups(self) -> int:
        return super().cups + 2


def test_property_that_asks_its_parent_class_is_right_each_time():
    with override_settings(KETTLE_COLOUR="red"):
        storage = Tenant()
        assert [storage.colour for _ in range(3)] == ["red/7"] * 3
        assert [storage.cups for _ in range(3)] == [6] * 3


def every_option():
    """Each option of each backend here, with a class that asks its parent class for it."""
    for cls in map(import_string, backend_classes()):
        for each in options_of(cls).values():
            if not (each.required or each.alias_of or each.read):
                yield pytest.param(cls, each.name, id=f"{cls.__name__}-{each.name}")


@pytest.mark.parametrize(("cls", "name"), list(every_option()))
def test_every_option_may_ask_its_parent_class(cls, name):
    asked = type("Asked", (cls,), {name: property(lambda self: getattr(super(asked, self), name))})
    storage, plain = asked(), cls()
    assert [getattr(storage, name) for _ in range(2)] == [getattr(plain, name)] * 2


def test_location_of_a_directory_may_ask_its_parent_class(tmp_path):
    class Tenants(OverwriteStorage):
        @property
        def location(self):
            return f"{super().location}/7"

    with override_settings(MEDIA_ROOT=str(tmp_path)):
        assert [Tenants().location for _ in range(2)] == [f"{tmp_path}/7"] * 2


@pytest.mark.parametrize("how", ["keyword", "attribute", "property", "callable"])
def test_none_counts_as_not_given_unless_the_option_may_be_none(how):
    def made(name):
        return {
            "keyword": lambda: Kettle(**{name: None}),
            "attribute": type("Nothing", (Kettle,), {name: None}),
            "property": type("Nothing", (Kettle,), {name: property(lambda _: None)}),
            "callable": lambda: Kettle(**{name: lambda: None}),
        }[how]()

    with override_settings(KETTLE_COLOUR="red"):
        assert made("litres").litres == 1.5
        assert made("colour").colour is None


def test_lazy_object_is_read_as_what_it_holds():
    assert Kettle(cups=SimpleLazyObject(lambda: 6)).cups == 6


def test_default_that_can_be_changed_is_shared_by_no_two_storages():
    first, second = S3Boto3Storage(), S3Boto3Storage()
    with pytest.raises(TypeError):
        first.object_parameters["ACL"] = "public-read"
    assert second.object_parameters == {}


def test_no_option_has_a_default_that_can_be_changed():
    for cls in map(import_string, backend_classes()):
        for each in options_of(cls).values():
            assert not isinstance(each.default, (bytearray, dict, list, set)), (cls, each.name)


def test_setting_assigned_later_counts(settings):
    storage = Kettle()
    settings.KETTLE_COLOUR = "red"
    assert storage.colour == "red"
    django_settings.KETTLE_COLOUR = "blue"
    assert storage.colour == "blue"


class Hooked(Kettle):
    """Says what holds by the hook that subclasses of other packages have."""

    def get_default_settings(self):
        return {**super().get_default_settings(), "colour": "hooked", "cups": 8}


def test_hook_for_defaults_wins_over_settings_and_loses_to_keywords():
    with override_settings(KETTLE_COLOUR="red", KETTLE_LITRES=2.5):
        storage = Hooked()
        assert (storage.colour, storage.cups, storage.litres) == ("hooked", 8, 2.5)
        assert Hooked(colour="given").colour == "given"


# What is made from options


class Boiler(Kettle):
    made = 0

    @derived
    def steam(self):
        """Made from two options."""
        self.made += 1
        return (self.colour, self.cups)

    @derived
    def cloud(self):
        return ("cloud", self.steam)


def test_derived_value_is_made_once():
    storage = Boiler(colour="red")
    assert storage.steam is storage.steam
    assert storage.cloud == ("cloud", ("red", 4))
    assert storage.made == 1


def test_derived_value_is_made_anew_when_an_option_changes_anywhere(settings, monkeypatch):
    storage = Boiler()
    found = [storage.cloud]
    settings.OLD = {"colour": "old"}
    found.append(storage.cloud)
    settings.KETTLE_COLOUR = "set"
    found.append(storage.cloud)
    storage.colour = "assigned"
    found.append(storage.cloud)
    del storage.colour
    settings.KETTLE_COLOUR = settings.OLD = None
    monkeypatch.setenv("KETTLE_TINT", "environment")
    found.append(storage.cloud)
    colours = [steam[0] for _, steam in found]
    assert colours == [None, "old", "set", "assigned", "environment"]


def test_derived_value_is_made_anew_when_an_override_removes_a_setting():
    storage = Boiler()
    with override_settings(KETTLE_COLOUR="set"):
        override = override_settings()
        override.enable()
        try:
            assert storage.cloud == ("cloud", ("set", 4))
            del django_settings.KETTLE_COLOUR
            assert storage.cloud == ("cloud", (None, 4))
        finally:
            override.disable()


def test_derived_value_of_what_code_says_is_kept_whatever_the_settings_say(settings, monkeypatch):
    storage = Boiler(colour="red", cups=2)
    first = storage.steam
    settings.KETTLE_COLOUR = "set"
    settings.OLD = {"colour": "old"}
    monkeypatch.setenv("KETTLE_TINT", "environment")
    assert storage.steam is first
    del storage.colour
    assert storage.steam == ("set", 2)
    settings.KETTLE_COLOUR = "set again"
    assert storage.steam == ("set again", 2)


def test_derived_value_follows_what_a_callable_gives():
    colours = ["red"]
    storage = Boiler(colour=lambda: colours[0])
    first = storage.steam
    assert storage.steam is first
    colours[0] = "blue"
    assert storage.steam == ("blue", 4)


def test_derived_value_is_not_shared_with_a_copy():
    storage = Boiler(colour="red")
    assert storage.steam == ("red", 4)
    copied = copy.copy(storage)
    copied.colour = "blue"
    assert (copied.steam, storage.steam) == (("blue", 4), ("red", 4))


def test_derived_value_that_fails_is_tried_again():
    storage = Boiler(cups=3)
    with pytest.raises(ImproperlyConfigured):
        storage.steam  # noqa: B018
    storage.cups = 2
    assert storage.steam == (None, 2)


EVALUATED: list[None] = []


def evaluated() -> type:
    EVALUATED.append(None)
    return int


def test_types_of_options_are_found_out_once_for_a_class():
    names = [f"option_{number}" for number in range(20)]
    body = {"__module__": __name__, "__annotations__": dict.fromkeys(names, "evaluated()")}
    cls = type("Many", (BaseStorage,), body | {name: option(default=1) for name in names})
    EVALUATED.clear()
    for value in (2, 3):
        storage = cls(**dict.fromkeys(names, value))
        assert [getattr(storage, name) for name in names] == [value] * len(names)
    assert len(EVALUATED) == len(names)
