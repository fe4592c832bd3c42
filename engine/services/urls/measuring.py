"""The metrics of function URLs, namespace AWS/Lambda: by the function, and by what of it the URL is of."""

from __future__ import annotations

import time
from functools import lru_cache

from ...aws.names import Place
from ...observe.functions import NAMESPACE
from ...observe.tally import Subject, Tally


class UrlMetrics:
    """Belongs to the event loop."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def responded(
        self, place: Place, name: str, qualifier: str, status: int, began: float | None = None
    ) -> None:
        """qualifier: an alias, or ""; began: by time.perf_counter; None: it was refused at the door. Errors are 0 or 1,
        so that their average is a rate."""
        if self._tally.wanted:
            found = {
                "UrlRequestCount": 1.0,
                "Url4xxCount": float(400 <= status < 500),
                "Url5xxCount": float(status >= 500),
            }
            if began is not None:
                found["UrlRequestLatency"] = (time.perf_counter() - began) * 1e3
            self._tally.add(_subject(place, name, qualifier), found)


@lru_cache(1000)
def _subject(place: Place, name: str, qualifier: str) -> Subject:
    own, resource = ("FunctionName", name), ("Resource", f"{name}:{qualifier or '$LATEST'}")
    sets = [(own,), (own, resource)]
    if not qualifier:
        sets.append((("ExecutedVersion", "$LATEST"), own, resource))
    return Subject(place.region, place.account, NAMESPACE, *sets)
