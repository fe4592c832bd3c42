"""GetMetricStatistics, GetMetricData and ListMetrics."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...aws.names import Place
from ...aws.service import Caller
from . import expressions, faults
from .expressions import Values
from .index import Listed, Wanted
from .keeper import Keeper
from .naming import check_period, dimensions, listed, series_of
from .statistics import BASIC, statistic

STATISTICS_POINTS = 1_440
DATA_POINTS = 100_800
QUERIES = 500
LISTED = 500
ACTIVE, RECENT = 14 * 86_400, 3 * 3_600  # seconds: what ListMetrics lists
_RESOLUTIONS = ((63 * 86_400, 3600), (15 * 86_400, 300), (3 * 3600, 60))
Members = dict[str, Any]


class Reading:
    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def get_metric_statistics(self, members: Members, caller: Caller) -> Members:
        period, start, end = members["Period"], members["StartTime"], members["EndTime"]
        basic, extended = members.get("Statistics") or [], members.get("ExtendedStatistics") or []
        check_period(period)
        _check_times(start, end)
        if bool(basic) == bool(extended):
            text = "Must specify either Statistics or ExtendedStatistics"
            raise faults.missing("Statistics") if not basic else faults.combination(text)
        for name in extended:
            if name in BASIC or statistic(name) is None:
                raise faults.value(f"The value {name} for parameter ExtendedStatistics is not supported.")
        if (count := math.ceil((end - start) / period)) > STATISTICS_POINTS:
            raise faults.combination(
                f"You have requested up to {count:,} datapoints, which exceeds the limit of {STATISTICS_POINTS:,}. You "
                "may reduce the datapoints requested by increasing Period, or decreasing the time range."
            )
        start = self._rounded(start, period)
        await self._keeper.flush()
        found = []
        series = series_of(caller.place, members, members.get("Unit"))
        for unit in await self._keeper.units(series):
            points = await self._keeper.read(series._replace(unit=unit), start, end, period, int(start))
            for at, point in points.items():
                shown: Members = {"Timestamp": at, "Unit": unit}
                shown |= {name: _value(name, point) for name in basic}
                if extended:
                    values = {name: _value(name, point) for name in extended}
                    shown["ExtendedStatistics"] = {n: v for n, v in values.items() if v is not None}
                if basic or shown["ExtendedStatistics"]:
                    found.append(shown)
        return {"Label": members["MetricName"], "Datapoints": found}

    async def get_metric_data(self, members: Members, caller: Caller) -> Members:
        start, end = members["StartTime"], members["EndTime"]
        _check_times(start, end)
        queries = members["MetricDataQueries"]
        most = members.get("MaxDatapoints") or DATA_POINTS
        if not 1 <= most <= DATA_POINTS:
            raise faults.value(f"The parameter MaxDatapoints must be between 1 and {DATA_POINTS}.")
        await self._keeper.flush()
        found = await self.query(caller.place, queries, start, end)
        ascending = members.get("ScanBy") == "TimestampAscending"
        begin = _offset(members.get("NextToken"))
        results, position, full = [], 0, False
        for query in queries:
            if query.get("ReturnData") is False:
                continue
            label = query.get("Label") or _label(query)
            rows = sorted(found[query["Id"]].items(), reverse=not ascending)
            kept = rows[max(0, begin - position) : max(0, begin + most - position)]
            more = position + len(rows) > begin + most
            position += len(rows)
            full = full or more
            results.append(
                {"Id": query["Id"], "Label": label, "StatusCode": "PartialData" if more else "Complete",
                 "Timestamps": [at for at, _ in kept], "Values": [value for _, value in kept]}
            )  # fmt: skip
        return {
            "MetricDataResults": results, "Messages": [], "NextToken": str(begin + most) if full else None,
        }  # fmt: skip

    async def fresh(self) -> None:
        """What came until now can be read. Raises StoreError."""
        await self._keeper.flush()

    async def query(
        self, place: Place, queries: Sequence[Mapping[str, Any]], start: float, end: float
    ) -> dict[str, Values]:
        """The values of metrics and expressions, by their ids. Raises Fault."""
        check_queries(queries)
        found: dict[str, Values] = {}
        periods: dict[str, int] = {}
        for each in queries:
            if stat := each.get("MetricStat"):
                found[each["Id"]] = await self.values(place, stat, start, end)
                periods[each["Id"]] = stat["Period"]
        waiting = [each for each in queries if each.get("Expression")]
        while waiting:
            ready = [
                each
                for each in waiting
                if expressions.ids(each["Expression"]) & {w["Id"] for w in waiting} == set()
            ]
            if not ready:
                raise faults.invalid(f"Error in expression {waiting[0]['Id']!r}: Circular reference")
            for each in ready:
                used = [periods[name] for name in expressions.ids(each["Expression"]) if name in periods]
                period = max(used, default=each.get("Period", 60))
                times = list(range(int(start // period * period), math.ceil(end), period))
                value = expressions.evaluate(each["Expression"], found, times[:DATA_POINTS])
                if not isinstance(value, dict):  # a number is one at every time
                    value = dict.fromkeys(times[:DATA_POINTS], value)
                found[each["Id"]], periods[each["Id"]] = value, period
            waiting = [each for each in waiting if each not in ready]
        return found

    async def values(self, place: Place, stat: Mapping[str, Any], start: float, end: float) -> Values:
        """A MetricStat's, by the beginning of each period."""
        period = stat["Period"]
        series = series_of(place, stat["Metric"], stat.get("Unit"))
        points = await self._keeper.read(series, start // period * period, end, period)
        values = {at: _value(stat["Stat"], point) for at, point in points.items()}
        return {at: value for at, value in values.items() if value is not None}

    async def list_metrics(self, members: Members, caller: Caller) -> Members:
        await self._keeper.flush()
        wanted = Wanted(
            caller.place.region, caller.place.account, members.get("Namespace"), members.get("MetricName"),
            [(each["Name"], each.get("Value")) for each in members.get("Dimensions") or ()],
            self._keeper.metrics.clock() - (RECENT if members.get("RecentlyActive") else ACTIVE),
            _after(members.get("NextToken")),
        )  # fmt: skip
        rows = await self._keeper.page(wanted, LISTED + 1)
        shown = [
            {"Namespace": namespace, "MetricName": name, "Dimensions": listed(of)}
            for namespace, name, of in rows[:LISTED]
        ]
        return {"Metrics": shown, "NextToken": _token(rows[LISTED - 1]) if len(rows) > LISTED else None}

    def _rounded(self, start: float, period: int) -> float:
        """As CloudWatch rounds it, by its age."""
        age = self._keeper.metrics.clock() - start
        step = next((step for old, step in _RESOLUTIONS if age > old), 60 if period % 60 == 0 else period)
        return start // step * step


def check_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    """Raises Fault."""
    ids = [each["Id"] for each in queries]
    if not queries or len(queries) > QUERIES:
        raise faults.invalid(f"The collection MetricDataQueries must have a size between 1 and {QUERIES}.")
    for id in ids:
        if not (id[0].islower() and id.replace("_", "").isalnum() and id.isascii()):
            pattern = "^[a-z][a-zA-Z0-9_]*$."
            text = f"The value {id} for parameter MetricDataQueries.Id is not matching the expected pattern {pattern}"
            raise faults.invalid(text)
    if len(set(ids)) < len(ids):
        raise faults.invalid("The values for parameter MetricDataQueries.Id are not unique.")
    for each in queries:
        if bool(each.get("MetricStat")) == bool(each.get("Expression")):
            raise faults.invalid(f"Query {each['Id']} must have either MetricStat or Expression.")
        if each.get("AccountId"):
            raise faults.not_here("Metrics of other accounts are")
        if stat := each.get("MetricStat"):
            metric = stat["Metric"]
            for name in ("Namespace", "MetricName"):
                if not metric.get(name):
                    raise faults.missing(f"MetricDataQueries.{each['Id']}.MetricStat.Metric.{name}")
            dimensions(metric.get("Dimensions"))
            check_period(stat["Period"])
            if statistic(stat["Stat"]) is None:
                raise faults.invalid(
                    f"The value {stat['Stat']} for parameter MetricStat.Stat is not supported."
                )


def _value(name: str, point: Any) -> float | None:
    found = statistic(name)
    return found(point) if found else None


def _label(query: Mapping[str, Any]) -> str:
    return str(query["MetricStat"]["Metric"]["MetricName"] if query.get("MetricStat") else query["Id"])


def _check_times(start: float, end: float) -> None:
    if start >= end:
        raise faults.value("The parameter StartTime must be less than the parameter EndTime.")


def _offset(token: str | None) -> int:
    """Raises Fault."""
    if token is None:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise faults.bad_token()
    return int(token)


def _token(row: Listed) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(row)).decode()


def _after(token: str | None) -> Listed | None:
    """Raises Fault."""
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=Listed) if token else None
    except (ValueError, msgspec.MsgspecError):
        raise faults.bad_token() from None
