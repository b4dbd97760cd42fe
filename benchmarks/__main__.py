"""Run the benchmarks named, without names all but ``peers``: ``python -m benchmarks s3 azure``.

``python -m benchmarks peers`` takes options of its own; ``--help`` lists them.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

# A bundle of authorities in the environment would overrule what the servers here present.
for name in (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
):
    os.environ.pop(name, None)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

HERE = Path(__file__).parent
HELPERS = {"meter", "report", "responder"}
NAMES = sorted(path.stem for path in HERE.glob("[a-z]*.py") if path.stem not in HELPERS)

if __name__ == "__main__":
    if sys.argv[1:2] == ["peers"]:
        from benchmarks.peers import main

        sys.exit(0 if main(sys.argv[2:]) else 1)
    chosen = sys.argv[1:] or NAMES
    if unknown := set(chosen) - set(NAMES):
        sys.exit(f"There is no benchmark {min(unknown)!r}: choose from {', '.join(NAMES)}.")
    met = [importlib.import_module(f"benchmarks.{name}").main() for name in chosen]
    sys.exit(0 if all(met) else 1)
