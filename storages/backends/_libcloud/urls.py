"""URLs that are signed here.

libcloud's own sign the host without its port, count in whole hours, leave out session tokens, and
for Azure sign another spelling of the name than the service compares.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode

from libcloud.common.aws import AWSRequestSignerAlgorithmV4, UnsignedPayloadSentinel

LONGEST_EXPIRE = 604_800  # seconds, of S3
SKEW = timedelta(minutes=15)  # that the clocks of two machines may be apart

#: Azure's names for what the response shall say, in the order they are signed.
RESPONSE: Final = {
    "response-cache-control": "rscc",
    "response-content-disposition": "rscd",
    "response-content-encoding": "rsce",
    "response-content-language": "rscl",
    "response-content-type": "rsct",
}


def check_expire(expire: Any) -> None:
    """Raise ValueError unless a URL can work for so many seconds."""
    if isinstance(expire, bool) or not isinstance(expire, int) or expire < 1:
        raise ValueError("must be a positive number of seconds, as an integer")


def address(connection: Any) -> tuple[str, str]:
    """Return the scheme, and the host with its port where that is not the scheme's own."""
    scheme = "https" if connection.secure or connection.port == 443 else "http"
    usual = {"https": 443, "http": 80}[scheme]
    port = "" if int(connection.port) == usual else f":{connection.port}"
    return scheme, f"{connection.host}{port}"


def signs_v4(connection: Any) -> bool:
    """Return True if the requests of a connection are signed by S3's fourth way."""
    return isinstance(getattr(connection, "signer", None), AWSRequestSignerAlgorithmV4)


def s3_url(driver: Any, path: str, expire: int, parameters: Mapping[str, str]) -> str:
    """Return a URL of an object, signed by Signature Version 4."""
    connection = driver.connection
    if expire > LONGEST_EXPIRE:
        raise ValueError(f"expire must be at most {LONGEST_EXPIRE} seconds, which is S3's limit")
    scheme, host = address(connection)
    now = datetime.now(UTC)
    scope = f"{now:%Y%m%d}/{driver.region_name}/{connection.service_name}/aws4_request"
    params = {
        **parameters,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{driver.key}/{scope}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(expire),
        "X-Amz-SignedHeaders": "host",
    }
    if token := getattr(connection, "token", None):
        params["X-Amz-Security-Token"] = token
    params["X-Amz-Signature"] = connection.signer._get_signature(  # noqa: SLF001 - no public name
        params=params,
        headers={"host": host},
        dt=now,
        method="GET",
        path=path,
        data=UnsignedPayloadSentinel,
    )
    return f"{scheme}://{host}{path}?{urlencode(params, quote_via=quote)}"


def azure_url(
    driver: Any, key: str, bucket: str, expire: int, parameters: Mapping[str, str]
) -> str:
    """Return a URL of a blob with a shared access signature ("Create a service SAS")."""
    connection = driver.connection
    scheme, host = address(connection)
    now = datetime.now(UTC)
    # Without a start of its own it would be as old as it likes; clocks are never quite equal.
    start, end = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (now - SKEW, now + timedelta(0, expire)))
    protocols = "https" if scheme == "https" else "https,http"
    version = connection.API_VERSION
    wanted = [parameters.get(each, "") for each in RESPONSE]
    place = f"/blob/{driver.key}/{bucket}/{key}"
    signed = ["r", start, end, place, "", "", protocols, version, "b", "", *wanted]
    digest = hmac.new(driver.secret, "\n".join(signed).encode(), sha256).digest()
    params = {
        "sp": "r",
        "st": start,
        "se": end,
        "spr": protocols,
        "sv": version,
        "sr": "b",
        **{RESPONSE[each]: parameters[each] for each in RESPONSE if each in parameters},
        "sig": base64.b64encode(digest).decode(),
    }
    path = connection.morph_action_hook(f"/{bucket}/{quote(key)}")
    return f"{scheme}://{host}{path}?{urlencode(params, quote_via=quote)}"
