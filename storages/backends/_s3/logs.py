"""botocore logs requests at DEBUG, and the credentials in their headers; this takes those out."""

from __future__ import annotations

import logging
import re

#: Loggers that see a request with its headers (botocore's modules of these names).
_LOGGERS = ("botocore.auth", "botocore.endpoint")
#: A header, parameter or part of a signature that holds a credential, and what it holds.
_CREDENTIAL = re.compile(
    r"((?:security-token|customer-?key|credential)(?:'?: ?b?'|[:=]))[^'&\s,]+", re.IGNORECASE
)


def _without_credentials(record: logging.LogRecord) -> bool:
    """Rewrite a record that holds credentials; every record is kept."""
    message = record.getMessage()
    safe = _CREDENTIAL.sub(r"\1…", message)
    if safe != message:
        record.msg, record.args = safe, ()
    return True


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_without_credentials)
