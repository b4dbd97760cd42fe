"""Import every module of the source tree from the installed package, with no settings and no SDK.

Run as a script: ``python -P tests/import_all.py``. It exits with the text of the first thing wrong.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module, metadata, resources
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

SOURCE = Path(__file__).resolve().parent.parent
SDKS = (
    "azure",
    "boto3",
    "botocore",
    "couchdb",
    "cryptography",
    "dropbox",
    "libcloud",
    "paramiko",
    "PIL",
    "pymogilefs",
    "pyodbc",
    "requests",
    "urllib3",
)
#: Stands on an SDK, and is imported only by backends that ask for it themselves.
NOT_ALONE = "storages.http"


def modules() -> list[str]:
    """Return the dotted names of all public modules in the source tree; they import the others."""
    files = sorted((SOURCE / "storages").rglob("*.py"))
    names = (".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files)
    public = [each for name in names if "._" not in (each := name.removesuffix(".__init__"))]
    return [name for name in public if name != NOT_ALONE]


def import_one(name: str) -> None:
    """Import a module; a backend without its SDK may refuse, if it names an extra to install."""
    extras = metadata.metadata("django-storages").get_all("Provides-Extra") or []
    try:
        import_module(name)
    except ImproperlyConfigured as exc:
        advice = re.search(r"pip install 'django-storages\[(\w+)\]'", str(exc))
        if not (name.startswith("storages.backends.") and advice and advice[1] in extras):
            raise


def main() -> None:
    """Import everything, in this process."""
    # None makes an import fail, whether or not the module is installed.
    sys.modules.update(dict.fromkeys(SDKS))  # type: ignore[arg-type]
    names = modules()
    for name in names:
        import_one(name)
    if not resources.files("storages").joinpath("py.typed").is_file():
        sys.exit("py.typed is not installed")
    print(f"{len(names)} modules imported")


if __name__ == "__main__":
    main()
