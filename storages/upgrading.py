"""System checks for those who come from another version, or who misspell the name of a setting.

Nothing here changes what a storage does. Names of settings are compared with those that the
backends in use read; names of other versions are known one by one.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured

from .aliases import is_overridden
from .checks import TAG, Found, all_made, field_storages, is_of_a_project, stated
from .configured import Configured, options_of
from .driver import Driver
from .local import LocalStorage
from .utils import setting

#: Private names of other storage packages that subclasses define, and what does the same here.
NEVER_CALLED = {
    "_chown": "the options 'uid' and 'gid'",
    "_chunked_upload": "_write()",
    "_clean_name": "key()",
    "_compress_content": "the option 'gzip'",
    "_create_session": "the options 'access_key', 'secret_key' and 'session_profile'",
    "_decode_location": "the option 'location'",
    "_expire_at": "the option 'expiration_secs'",
    "_full_path": "key()",
    "_get_access_keys": "the options 'access_key' and 'secret_key'",
    "_get_bucket": "the option 'bucket'",
    "_get_content_settings_parameters": "the option 'object_parameters'",
    "_get_dir_details": "_list()",
    "_get_object": "_stat()",
    "_get_or_create_bucket": "the option 'auto_create_bucket'",
    "_get_security_token": "the option 'security_token'",
    "_get_service": "the options of the connection",
    "_get_service_client": "the options of the connection",
    "_get_valid_path": "key()",
    "_get_write_parameters": "get_object_parameters()",
    "_mkremdirs": "_write()",
    "_normalize_name": "key()",
    "_put_file": "_write()",
    "_remote_path": "key()",
    "_save_content": "_save()",
    "_start_connection": "the options of the connection",
    "_strip_signing_parameters": "the option 'querystring_auth'",
    "_upload": "_save()",
}

HMAC = "an HMAC key of Google's, by which S3Boto3Storage reaches its buckets"

#: Settings of other versions of django-storages that nothing reads here, and what to set instead.
RENAMED = {
    "AWS_ACCESS_KEY": "AWS_ACCESS_KEY_ID",
    "AWS_BUCKET": "AWS_STORAGE_BUCKET_NAME",
    "AWS_BUCKET_NAME": "AWS_STORAGE_BUCKET_NAME",
    "AWS_ORIGIN": "AWS_S3_REGION_NAME",
    "AWS_REGION": "AWS_S3_REGION_NAME",
    "AWS_S3_BUCKET_NAME": "AWS_STORAGE_BUCKET_NAME",
    "AWS_S3_CALLING_FORMAT": "AWS_S3_ADDRESSING_STYLE",
    "AWS_S3_HOST": "AWS_S3_ENDPOINT_URL",
    "AWS_S3_PORT": "AWS_S3_ENDPOINT_URL",
    "AWS_S3_PROXY_HOST": "AWS_S3_PROXIES",
    "AWS_S3_PROXY_PORT": "AWS_S3_PROXIES",
    "AWS_SECRET_KEY": "AWS_SECRET_ACCESS_KEY",
    "AZURE_CUSTOM_CONNECTION_STRING": "AZURE_CONNECTION_STRING",
    "AZURE_EMULATED_MODE": "AZURE_CONNECTION_STRING, to 'UseDevelopmentStorage=true',",
    "AZURE_PROTOCOL": "AZURE_SSL",
    "GS_ACCESS_KEY_ID": "AWS_S3_ACCESS_KEY_ID",
    "GS_BLOB_CHUNK_SIZE": "AWS_S3_FILE_BUFFER_SIZE",
    "GS_BUCKET_NAME": "AWS_STORAGE_BUCKET_NAME",
    "GS_CREDENTIALS": f"AWS_S3_ACCESS_KEY_ID and AWS_S3_SECRET_ACCESS_KEY, to {HMAC},",
    "GS_CUSTOM_ENDPOINT": "AWS_S3_CUSTOM_DOMAIN, without https://,",
    "GS_DEFAULT_ACL": "AWS_DEFAULT_ACL, by S3's names such as public-read,",
    "GS_EXPIRATION": "AWS_QUERYSTRING_EXPIRE, in seconds,",
    "GS_FILE_OVERWRITE": "AWS_S3_FILE_OVERWRITE",
    "GS_IAM_SIGN_BLOB": f"AWS_S3_ACCESS_KEY_ID and AWS_S3_SECRET_ACCESS_KEY, to {HMAC},",
    "GS_IS_GZIPPED": "AWS_IS_GZIPPED",
    "GS_LOCATION": "AWS_LOCATION",
    "GS_MAX_MEMORY_SIZE": "AWS_S3_MAX_MEMORY_SIZE",
    "GS_OBJECT_PARAMETERS": "AWS_S3_OBJECT_PARAMETERS, by boto3's names,",
    "GS_PROJECT_ID": f"AWS_S3_ACCESS_KEY_ID and AWS_S3_SECRET_ACCESS_KEY, to {HMAC},",
    "GS_QUERYSTRING_AUTH": "AWS_QUERYSTRING_AUTH",
    "GS_SA_EMAIL": f"AWS_S3_ACCESS_KEY_ID and AWS_S3_SECRET_ACCESS_KEY, to {HMAC},",
    "GS_SECRET_ACCESS_KEY": "AWS_S3_SECRET_ACCESS_KEY",
    "S3_USE_SIGV4": "AWS_S3_SIGNATURE_VERSION, if at all,",
}
#: The methods that a backend writes, or may write, for the driver.
PRIMITIVES = {name for name in vars(Driver) if re.match("_[a-z]", name)}
#: How alike two words of a name have to be to be taken for one.
LIKENESS = 0.75


@register(Tags.files, TAG)
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of settings that nothing reads and whose names look as if a storage did."""
    read = {
        name.partition(".")[0]
        for found in [*all_made(), *field_storages(app_configs)]
        for option in options_of(type(found.storage)).values()
        for name in option.settings
    }
    return [
        Warning(
            f"No storage reads the setting {name}.",
            hint=f"Set {meant} instead. If other code reads {name}, silence this check.",
            obj="settings",
            id="storages.W009",
        )
        for name in dir(settings)
        if name.isupper() and name not in read and is_overridden(name)
        if (meant := RENAMED.get(name) or near(name, read)) and not is_set(meant)
    ]


def is_set(meant: str) -> bool:
    """Return True if the project has what a hint names first."""
    return setting(meant.partition(",")[0].partition(" ")[0]) is not None


def near(name: str, read: set[str]) -> str | None:
    """Return the setting that is read and whose name is nearly this one, None if there is none.

    Words are compared, not letters: AWS_SES_REGION_NAME is another package's setting, and not
    AWS_S3_REGION_NAME misspelt.
    """
    words = name.split("_")
    return next((each for each in sorted(read) if is_nearly(words, each.split("_"))), None)


def is_nearly(words: list[str], others: list[str]) -> bool:
    """Return True if one word is misspelt, or two have changed places."""
    if len(words) != len(others) or words[0] != others[0] or len(words) == 1:
        return False
    different = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    if len(different) == 1:
        return difflib.SequenceMatcher(None, *different[0]).ratio() >= LIKENESS
    return sorted(words) == sorted(others)


@register(Tags.files, TAG)
def check_overrides(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of a subclass that overrides what nothing here calls."""
    return [
        Warning(
            f"{cls.__name__} defines {name}, which is never called here.",
            hint=f"Override or set {NEVER_CALLED[name]} instead, or rename it if it is your own.",
            obj=found.where,
            id="storages.W008",
        )
        for found in [*all_made(), *field_storages(app_configs)]
        for cls in type(found.storage).__mro__
        for name in NEVER_CALLED.keys() & vars(cls).keys()
        if is_of_a_project(cls)
    ]


@register(Tags.files, TAG)
def check_subclasses(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of a project's subclass that does not do here what it seems to say."""
    return [
        Warning(text, hint=hint, obj=found.where, id="storages.W011")
        for found in [*all_made(), *field_storages(app_configs)]
        for cls in type(found.storage).__mro__
        if is_of_a_project(cls)
        for text, hint in [*misspelt(cls), *primitives(cls)]
    ]


def misspelt(cls: type[Configured]) -> Iterator[tuple[str, str]]:
    """Yield a text and a hint for each attribute that is nearly the name of an option."""
    declared = options_of(cls)
    for name, value in vars(cls).items():
        is_known = any(hasattr(base, name) for base in cls.__mro__[1:])
        if name.startswith("_") or name in declared or callable(value) or is_known:
            continue
        for close in difflib.get_close_matches(name, declared, n=1, cutoff=0.85):
            yield (
                f"{cls.__name__} sets {name}, which is no option.",
                f"Did you mean {close!r}? If it is an attribute of your own, rename it.",
            )


def primitives(cls: type[Configured]) -> Iterator[tuple[str, str]]:
    """Yield a text and a hint for each method whose name means something else here."""
    base = next(each for each in cls.__mro__ if each.__module__.startswith("storages."))
    for name in PRIMITIVES & vars(cls).keys():
        ours = list(inspect.signature(getattr(base, name)).parameters)
        theirs = list(inspect.signature(getattr(cls, name)).parameters)
        if len(ours) != len(theirs):
            yield (
                f"{cls.__name__} defines {name}, which is a primitive of the driver here.",
                f"Rename it, or give it the arguments {', '.join(ours[1:])}.",
            )


@register(Tags.files, TAG)
def check_addresses(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of storages on a server whose URLs lead to the site itself, which has not the files."""
    return [
        Warning(
            f"{type(found.storage).__name__} has no URL for its files: url() leads to the site.",
            hint="Set 'base_url', or MEDIA_URL, to what serves them: a web server, or a view of "
            "storages.views.",
            obj=found.where,
            id="storages.W010",
        )
        for found in [*all_made(), *field_storages(app_configs)]
        if is_without_address(found)
    ]


def is_without_address(found: Found) -> bool:
    """Return True if a storage would take MEDIA_URL for its own, and that is not set."""
    option = options_of(type(found.storage)).get("base_url")
    if option is None or "MEDIA_URL" not in option.settings:
        return False
    if isinstance(found.storage, LocalStorage) or option.is_computed(found.storage):
        return False
    try:
        return option.value(found.storage) in {None, "", "/"}
    except ImproperlyConfigured:
        return False


@register(Tags.files, TAG)
def check_doubts(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Warn of what is probably not meant, as each backend says of itself."""
    return [
        Warning(text, obj=found.where, id="storages.W012")
        for found in [*all_made(), *field_storages(app_configs)]
        for text in stated(found.storage, "doubts")
    ]
