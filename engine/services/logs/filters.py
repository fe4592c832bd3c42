"""The operations on subscription filters and metric filters. Both are kept with their log group."""

from __future__ import annotations

import re
import uuid
from typing import Any

from ...aws.faults import Fault
from .disk import Filter, Meta
from .pattern import compile_pattern, extractor
from .store import LogStore
from .tokens import token, untoken

SUBSCRIPTIONS = 2  # of a group
METRICS = 100
DIMENSIONS = 3
REGEXES = 2  # of a pattern
LIST_LIMIT = 50
_INVALID = "InvalidParameterException"
_REGEX = re.compile(r'"(?:[^"\\]|\\.)*"|(%[^%]*%)')
_UNSUPPORTED = ("fieldSelectionCriteria", "emitSystemFields", "emitSystemFieldDimensions")
_METRIC_VALUE = re.compile(r"\$\S.*|[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

Request = dict[str, Any]


class FilterOperations:
    """Of one account and region. Where a filter delivers to is the server's business (subscriptions.py)."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    # Subscription filters

    def put_subscription_filter(self, r: Request) -> None:
        _check_pattern(r)
        kept = {
            "destinationArn": r["destinationArn"], "distribution": r.get("distribution", "ByLogStream"),
            "applyOnTransformedLogs": r.get("applyOnTransformedLogs", False),
        }  # fmt: skip
        if "roleArn" in r:
            kept["roleArn"] = r["roleArn"]
        after = self._store.last_sequence(r["logGroupName"])
        self._put(r, "subscriptions", kept, SUBSCRIPTIONS, after)

    def describe_subscription_filters(self, r: Request) -> Request:
        group = r["logGroupName"]
        found = [(group, each) for each in self._store.meta(group).subscriptions]
        return _page(r, "subscriptionFilters", found)

    def delete_subscription_filter(self, r: Request) -> None:
        self._delete(r, "subscriptions")

    # Metric filters

    def put_metric_filter(self, r: Request) -> None:
        _check_pattern(r)
        transformations = r["metricTransformations"]
        if len(transformations) != 1:
            raise Fault(_INVALID, "A metric filter has exactly one metricTransformation.")
        (transformation,) = transformations
        if not _METRIC_VALUE.fullmatch(transformation["metricValue"]):
            raise Fault(
                _INVALID, f"Invalid metric transformation: metricValue {transformation['metricValue']}"
            )
        if dimensions := transformation.get("dimensions"):
            if "defaultValue" in transformation:
                text = "Invalid metric transformation: dimensions and default value are mutually exclusive properties."
                raise Fault(_INVALID, text)
            if len(dimensions) > DIMENSIONS:
                raise Fault(_INVALID, f"A metric can have at most {DIMENSIONS} dimensions.")
        kept = {
            "metricTransformations": transformations,
            "applyOnTransformedLogs": r.get("applyOnTransformedLogs", False),
        }
        self._put(r, "metrics", kept, METRICS, 0)

    def describe_metric_filters(self, r: Request) -> Request:
        group, name, namespace = r.get("logGroupName"), r.get("metricName"), r.get("metricNamespace")
        if (name is None) != (namespace is None):
            raise Fault(_INVALID, "metricName and metricNamespace must be given together")
        groups = self._store.groups() if group is None else [group]
        found = [(group, each) for group in groups for each in self._store.meta(group).metrics]
        if name is not None:
            wanted = {"metricName": name, "metricNamespace": namespace}
            found = [
                (group, each)
                for group, each in found
                if any(wanted.items() <= one.items() for one in each.members["metricTransformations"])
            ]
        return _page(r, "metricFilters", found)

    def delete_metric_filter(self, r: Request) -> None:
        self._delete(r, "metrics")

    def test_metric_filter(self, r: Request) -> Request:
        matches, extract = compile_pattern(r["filterPattern"]), extractor(r["filterPattern"])
        return {
            "matches": [
                {"eventNumber": number, "eventMessage": message, "extractedValues": extract(message)}
                for number, message in enumerate(r["logEventMessages"], 1)
                if matches(message)
            ]
        }

    # Both

    def _put(self, r: Request, kind: str, members: dict[str, Any], most: int, after: int) -> None:
        name = r["filterName"]

        def edit(meta: Meta) -> None:
            filters: list[Filter] = getattr(meta, kind)
            before = next((each for each in filters if each.name == name), None)
            if before is None and len(filters) >= most:
                raise Fault("LimitExceededException", "Resource limit exceeded.")
            new = Filter(name, r["filterPattern"], members, self._store.now(), uuid.uuid4().hex, after)
            if before is not None:  # it goes on where it is
                new.created, new.id, new.after = before.created, before.id, before.after
            others = [each for each in filters if each.name != name]
            setattr(meta, kind, sorted([*others, new], key=lambda each: each.name))

        self._store.change(r["logGroupName"], edit, sync=True)

    def _delete(self, r: Request, kind: str) -> None:
        def edit(meta: Meta) -> None:
            filters: list[Filter] = getattr(meta, kind)
            left = [each for each in filters if each.name != r["filterName"]]
            if len(left) == len(filters):
                raise Fault("ResourceNotFoundException", "The specified filter does not exist.")
            setattr(meta, kind, left)

        self._store.change(r["logGroupName"], edit, sync=True)


def _check_pattern(r: Request) -> None:
    """Raises InvalidPattern, Fault."""
    for member in _UNSUPPORTED:
        if r.get(member):
            raise Fault(_INVALID, f"{member} is not supported")
    compile_pattern(r["filterPattern"])
    if sum(1 for each in _REGEX.finditer(r["filterPattern"]) if each[1]) > REGEXES:
        raise Fault(_INVALID, f"A filter pattern can have at most {REGEXES} regular expressions.")


def _page(r: Request, member: str, found: list[tuple[str, Filter]]) -> Request:
    prefix, after = r.get("filterNamePrefix", ""), untoken(r.get("nextToken"), str, str)
    found = [(group, each) for group, each in found if each.name.startswith(prefix)]
    if after:
        found = [(group, each) for group, each in found if (group, each.name) > (after[0], after[1])]
    limit = r.get("limit", LIST_LIMIT)
    result: Request = {member: [_shown(group, each) for group, each in found[:limit]]}
    if len(found) > limit:
        group, last = found[limit - 1]
        result["nextToken"] = token(group, last.name)
    return result


def _shown(group: str, filter: Filter) -> Request:
    return {
        "filterName": filter.name, "logGroupName": group, "filterPattern": filter.pattern,
        "creationTime": filter.created, **filter.members,
    }  # fmt: skip
