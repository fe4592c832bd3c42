"""Web pages kept out: a browser sends requests to loopback for any page, and names can be made to lead there.

boto3, the AWS CLI and SDKs send neither Origin nor Sec-Fetch-Site, and name the server as it was given to them. A page
of another origin shows itself by the first two, one under a name that was rebound to this address by its Host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from ..aws.faults import Fault

_HOSTS_KEPT = 1_000


class Browsers:
    """hosts: names that requests may be for, beside those of loopback, of function URLs, and below .localhost, which
    browsers resolve themselves. addresses: so may they by any address (an address cannot be rebound)."""

    def __init__(self, hosts: Iterable[str], addresses: bool) -> None:
        self._hosts = {"localhost", "", *(host.lower() for host in hosts)}
        self._addresses = addresses
        self._allowed: set[str] = set()  # Host headers that were found to be

    def check(self, host: str, origin: str, site: str) -> None:
        """The headers Host, Origin and Sec-Fetch-Site, "" for one that is not there. Raises Fault."""
        if host not in self._allowed:
            if not self._allows(_name(host)):
                raise Fault(
                    "AccessDeniedException",
                    f"The host {_name(host)[:255]!r} is none of this server's names: use localhost, or start it with "
                    "--allow-host NAME",
                )
            if len(self._allowed) < _HOSTS_KEPT:
                self._allowed.add(host)
        if (origin and origin.rpartition("//")[2].lower() != host.lower()) or site == "cross-site":
            raise Fault(
                "AccessDeniedException",
                f"Requests of web pages of other sites (Origin: {origin[:255] or 'unknown'}) are refused: call a "
                "function URL or an API, which have CORS configurations",
            )

    def _allows(self, name: str) -> bool:
        if name in self._hosts or name.endswith(".localhost") or ".lambda-url." in name:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._addresses


def _name(host: str) -> str:
    """A Host header without its port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
