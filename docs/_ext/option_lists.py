"""Writes the list of a backend's options into its page, from where the options are declared.

``python docs/_ext/option_lists.py`` rewrites the pages, and a test says when that is due. The text
stands in the page itself, so that it can be read without Sphinx, too. Each option and setting is
an inline target: ``backends/ftp.html#ftp-storage-user``.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

DOCS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(DOCS.parent))

from django.utils.module_loading import import_string  # noqa: E402

from storages.configured import options_of  # noqa: E402
from storages.options import UNSET  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from storages.options import Option

WIDTH = 100
BEGIN = re.compile(r"^\.\. options of ([\w.]+): written by docs/_ext/option_lists\.py$")
END = ".. end of options"

#: What a reader looks for, in this order. Required options come before all of these.
GROUPS = {
    "Place": ""
    "location root_path option provider_name providers using domain database bucket "
    "project region region_name host port server endpoint_url endpoint_suffix account_url "
    "path_root select_user symlink_within relative",
    "Signing in": ""
    "account_name account_key connection_string sas_token token_credential access_key "
    "secret_key security_token session_profile user password secret params interactive "
    "known_host_file host_key_policy host_keys oauth2_access_token oauth2_refresh_token "
    "app_key app_secret driver",
    "Saving": ""
    "file_overwrite write_mode max_size default_content_type default_acl headers "
    "object_parameters cache_control encryption reduced_redundancy gzip "
    "gzip_content_types auto_create_bucket bucket_acl file_mode dir_mode uid gid "
    "file_permissions_mode directory_permissions_mode on_unknown reencode mogile_class "
    "modified_column content_type_column file_name_charset encoding",
    "URLs and serving": ""
    "base_url querystring_auth querystring_expire querystring_round expiration_secs custom_domain "
    "url_protocol secure_urls public_endpoint_url cloudfront_key_id cloudfront_key "
    "cloudfront_signer serve_with_perlbal accel_redirect proxy_hosts cache_timeout",
    "Connection": ""
    "timeout max_wait max_connections use_ssl secure azure_ssl ssl_context verify "
    "ca_certs proxies addressing_style signature_version api_version client_config "
    "client_options node_hosts",
    "Memory and speed": ""
    "max_memory_size buffer_size multipart_threshold transfer_config use_threads "
    "upload_max_conn preload_metadata",
}


#: Where an option stands that no group names yet.
OTHER = "Other"


def group_of(option: Option) -> str:
    """Return the heading under which an option stands."""
    if option.required and option.override is UNSET:
        return "Required"
    found = (group for group, names in GROUPS.items() if option.name in names.split())
    return next(found, OTHER)


class Targets:
    """Makes inline targets, each name once: a second one would lead to the first."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return a name as a target; as a literal where the page has it in another case."""
        if name.lower() in self._taken:
            return f"``{name}``"
        self._taken.add(name.lower())
        return f"_`{name}`"


def described(option: Option, also: list[str], target: Targets) -> Iterator[str]:
    """Yield the lines of one option: its names, what it means, its default, settings and type."""
    yield ", ".join(map(target, [option.name, *also]))
    facts = [" ".join(option.doc.split())] if option.doc else []
    if group_of(option) != "Required":
        facts.append(f"Default: {default(option)}.")
    if option.settings:
        names = ", else ".join(map(target, option.settings))
        facts.append(f"Setting: {names}.")
    if option.env:
        names = ", ".join(f"``{name}``" for name in option.env)
        facts.append(f"Environment: {names}.")
    secret = ", a secret" if option.secret else ""
    facts.append(f"Type: ``{option.type_text}``{secret}.")
    yield from textwrap.wrap(
        " ".join(facts),
        WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def default(option: Option) -> str:
    """Return what holds where nothing is set: a class's own value before the option's."""
    value = option.default if option.override is UNSET else option.override
    value = dict(value) if isinstance(value, MappingProxyType) else value
    if value in (None, "", (), {}):
        return "none"
    return "computed" if callable(value) or isinstance(value, property) else f"``{value!r}``"


def listing(options: Mapping[str, Option]) -> Iterator[str]:
    """Yield the lines of all options of a class, by groups."""
    aliases = defaultdict(list)
    grouped = defaultdict(list)
    for option in options.values():
        if option.alias_of:
            aliases[option.alias_of].append(option.name)
        else:
            grouped[group_of(option)].append(option)
    target = Targets()
    for group in ["Required", *GROUPS, OTHER]:
        if grouped[group]:
            yield from ("", group, "~" * len(group), "")
        for option in grouped[group]:
            yield from described(option, aliases[option.name], target)


def rewritten(text: str) -> str:
    """Return the text of a page with its list of options as the code has them now."""
    lines: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line == END:
            skipping = False
        if not skipping:
            lines.append(line)
        if found := BEGIN.match(line):
            lines += [*listing(options_of(import_string(found[1]))), ""]
            skipping = True
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the pages."""
    for page in sorted(DOCS.rglob("*.rst")):
        text = page.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"rewrote {page.relative_to(DOCS)}")


if __name__ == "__main__":
    import django
    from django.conf import settings

    settings.configure()
    django.setup()
    main()
