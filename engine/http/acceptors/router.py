"""Which requests an acceptor answers by itself: synchronous Invokes, and those of function URLs, of functions that need
nothing of the first process.

The first process has what is not said to be here: all other operations, events, what is traced, what temporary
credentials sign, pages, functions with provisioned concurrency, with active tracing or with a debugger, and whatever is
not found.
"""

from __future__ import annotations

from urllib.parse import unquote

from ...aws.faults import Fault
from ...aws.names import LATEST, Place
from ...durable.state import State, States
from ...hosting.layout import DEBUG
from ...hosting.quota import Quota
from ...services.urls.service import PATH as URL_PATH
from ..cycle import Header
from ..door import Door
from .passing import Passing

# Tables that answering them needs: whoever makes changes of these waits for the acceptors.
TABLES = frozenset(
    ("function", "alias", "concurrency", "provisioned", "policy", "url", "url-id", "recursion")
)
_KEPT = 1000
_ROUTE, _INVOCATIONS = b"/2015-03-31/functions/", b"/invocations"
_TYPE, _SYNCHRONOUS = b"x-amz-invocation-type", b"RequestResponse"
_FIRST_PROCESS = frozenset(
    (
        b"x-amzn-trace-id", b"traceparent", b"x-amz-security-token", b"x-amz-tenant-id",
        b"x-amz-durable-execution-name",
    )
)  # fmt: skip
_PAGE = frozenset((b"origin", b"sec-fetch-site"))
_TELLING = _FIRST_PROCESS | _PAGE | {_TYPE, b"host", b"authorization"}


class Router:
    """Of one acceptor process."""

    def __init__(self, states: States, quota: Quota, door: Door, passing: Passing) -> None:
        self.passing = passing
        self._states, self._quota, self._door = states, quota, door
        self._found: dict[tuple[bytes, bytes], bool] = {}  # by URL, and the scope of a signature or a host

    def changed(self) -> None:
        """Records are others."""
        self._found.clear()

    def serves(self, method: str, url: bytes, headers: list[Header]) -> bool:
        """Is a request answered here?"""
        host = scope = b""
        page = False
        for name, value in headers:
            if name not in _TELLING:
                continue
            if name == b"host":
                host = value
            elif name == b"authorization":
                scope = value.partition(b",")[0]
            elif name in _PAGE:
                page = True
            elif name != _TYPE or value != _SYNCHRONOUS:
                return False
        if b"X-Amz-" in url:  # presigned
            return False
        if url.startswith(_ROUTE):
            if page or method != "POST" or _INVOCATIONS not in url:
                return False
            key = (url, scope)
        elif b".lambda-url." in host or url.startswith(URL_PATH.encode()):
            key = (url.partition(b"?")[0] if url.startswith(URL_PATH.encode()) else b"", host)
        else:
            return False
        found = self._found.get(key)
        if found is None:
            found = self._invoked(url, scope) if url.startswith(_ROUTE) else self._of_url(*key)
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[key] = found
        return found

    def _invoked(self, url: bytes, scope: bytes) -> bool:
        path, _, query = url.decode("latin-1").partition("?")
        qualifier = None
        for pair in query.split("&"):
            key, _, value = pair.partition("=")
            if key == "Qualifier":
                qualifier = unquote(value.replace("+", " "))
        try:
            place = self._door.caller(scope.decode("latin-1")).place
            name = place.parse(unquote(path.split("/")[3]), qualifier)
        except (Fault, ValueError):
            return False
        return self._is_here(place, name.name)

    def _of_url(self, path: bytes, host: bytes) -> bool:
        id = path.decode("latin-1").split("/")[2] if path else host.decode("latin-1").split(".", 1)[0]
        for state in self._states.all():
            if (owner := state.get("url-id", id)) is not None:
                return self._is_here(Place.of(state.partition), owner["name"])
        return False

    def _is_here(self, place: Place, name: str) -> bool:
        if (
            self._quota.slot((place.partition, name)) is None
            or self._quota.slot((place.partition, "")) is None
        ):
            return False
        state: State = self._states.of(place.partition)
        if state.get("function", name, LATEST) is None or state.owned("provisioned", name):
            return False
        return not any(
            version.get("TracingConfig", {}).get("Mode") == "Active"
            or DEBUG in version.get("Environment", {}).get("Variables", {})
            for version in state.owned("function", name).values()
        )
