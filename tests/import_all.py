"""Import every module of the source tree from the installed package, with no settings and no SDK.

Run as a script: ``python -P tests/import_all.py``. It exits with the text of the first thing wrong.
"""

from __future__ import annotations

import sys
from importlib import import_module, resources
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


def modules() -> list[str]:
    """Return the dotted names of all modules in the source tree."""
    files = sorted((SOURCE / "storages").rglob("*.py"))
    names = (".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files)
    return [name.removesuffix(".__init__") for name in names]


def import_one(name: str) -> None:
    """Import a module; a backend without its SDK may refuse, if it says what to install."""
    try:
        import_module(name)
    except ImproperlyConfigured as exc:
        if not (name.startswith("storages.backends.") and "pip install" in str(exc)):
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
