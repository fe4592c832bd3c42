"""What of the server's own environment gets to functions: what programs need here, and what is passed by name.

Anything else stays outside, a CI's tokens for one: the zygotes themselves are started without it, since a process's
first environment can be read in /proc.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
KEY = "AWS_ACCESS_KEY_ID"
CREDENTIALS = (KEY, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_FOR_PROGRAMS = ("PATH", "LANG", *CERTIFICATES, *_PROXIES, *(name.upper() for name in _PROXIES))
# What makes an interpreter start as this one did, and what is the engine's own.
_FOR_INTERPRETERS = (
    "STOKER_", "LD_", "PYTHON", "MALLOC_", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def of_functions() -> dict[str, str]:
    """Beneath Lambda's variables and their own."""
    return {"PATH": os.defpath, **present(_FOR_PROGRAMS)}


def of_zygotes() -> dict[str, str]:
    names = [name for name in os.environ if name.startswith(_FOR_INTERPRETERS)]
    return present(("PATH", "LANG", *names))


def present(names: Sequence[str]) -> dict[str, str]:
    """Those of these variables that there are."""
    return {name: os.environ[name] for name in names if name in os.environ}
