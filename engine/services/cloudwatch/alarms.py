"""The operations on alarms: made, described, set, silenced, deleted; their history and their tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ... import wire
from ...aws.faults import Fault
from ...aws.names import Place
from ...aws.service import Caller
from ...durable.state import Record
from . import faults, rules
from .actions import ACTION, LISTS
from .catalog import ALARMS, COMPOSITE, METRIC, Catalog, Key, kind_of, now
from .judging import COMPARISONS, INSUFFICIENT, OK, TREATMENTS
from .naming import check_period, dimensions
from .reading import check_queries
from .statistics import BASIC, statistic
from .watching import Watching

MOST = 5_000  # of a region and account
TAGS = 50
RANGE = 86_400  # seconds that an alarm's periods may be in all
LONG_RANGE = 7 * 86_400  # of periods of an hour and more
_ACTIONS = tuple(LISTS.values())
_UNSUPPORTED = (
    "EvaluationCriteria",
    "EvaluationWindow",
    "EvaluationInterval",
    "ThresholdMetricId",
    "WarmUpConfiguration",
    "ActionConfiguration",
)
_STATES = (
    "StateValue",
    "StateReason",
    "StateReasonData",
    "StateUpdatedTimestamp",
    "StateTransitionedTimestamp",
)
_ALARM_ARN = re.compile(r"arn:aws[a-z-]*:cloudwatch:(?P<region>[^:]+):(?P<account>\d{12}):alarm:(?P<name>.+)")
Members = dict[str, Any]


class Alarms:
    def __init__(self, catalog: Catalog, watching: Watching) -> None:
        self._catalog, self._watching = catalog, watching

    async def put_metric_alarm(self, members: Members, caller: Caller) -> None:
        _check(members)
        kept = {"ActionsEnabled": True, **members}
        for name in ("Tags", "StateValue"):
            kept.pop(name, None)
        await self._put(Key(caller.place, members["AlarmName"]), kept, members.get("Tags"), METRIC)

    async def put_composite_alarm(self, members: Members, caller: Caller) -> None:
        key = Key(caller.place, members["AlarmName"])
        _check_actions(members)
        if members.get("ActionsSuppressor"):
            raise faults.not_here("Suppressors of actions are")
        _, names = rules.parse(members["AlarmRule"])
        for name in names:
            if self._catalog.find(Key(caller.place, name.rpartition(":alarm:")[2])) is None:
                text = f"Could not save the composite alarm as alarms [{name}] in the alarm rule do not exist"
                raise faults.invalid(text)
        self._check_circle(key, names, caller.place)
        kept = {"ActionsEnabled": True, **members}
        kept.pop("Tags", None)
        await self._put(key, kept, members.get("Tags"), COMPOSITE)

    def _check_circle(self, key: Key, names: list[str], place: Place) -> None:
        seen: set[str] = set()
        waiting = [name.rpartition(":alarm:")[2] for name in names]
        while waiting:
            name = waiting.pop()
            if name == key.name:
                raise faults.invalid(f"Could not save the composite alarm: {key.name} would depend on itself")
            record = self._catalog.find(Key(place, name))
            if name not in seen and record is not None and kind_of(record) == COMPOSITE:
                seen.add(name)
                waiting += [each.rpartition(":alarm:")[2] for each in rules.parse(record["AlarmRule"])[1]]

    async def _put(self, key: Key, kept: Record, tags: list[dict[str, str]] | None, kind: str) -> None:
        at = now()
        async with self._catalog.changes.lock:
            before = self._catalog.find(key)
            if before is not None and kind_of(before) != kind:
                raise faults.invalid(f"An alarm of another type already has the name {key.name}.")
            if before is None and len(self._catalog.names(key.place)) >= MOST:
                raise Fault("LimitExceededFault", f"The number of alarms exceeds the maximum of {MOST}.")
            first = {
                "StateValue": INSUFFICIENT if kind == METRIC else OK, "StateUpdatedTimestamp": at,
                "StateReason": "Unchecked: Initial alarm creation", "StateTransitionedTimestamp": at,
            }  # fmt: skip
            state = {name: before[name] for name in _STATES if name in before} if before else first
            record = {
                **kept, **state, "AlarmArn": key.arn, "AlarmConfigurationUpdatedTimestamp": at,
                "_tags": before["_tags"] if before else _tags({}, tags),
            }  # fmt: skip
            if kind == METRIC:  # an action may be the same twice, a tag of an alarm that is there stays
                record["Dimensions"] = [
                    {"Name": n, "Value": v} for n, v in dimensions(kept.get("Dimensions"))
                ]
            done = "updated" if before else "created"
            data = wire.encode({"version": "1.0", "type": done.title()[:-1], "alarmName": key.name}).decode()
            steps = self._catalog.noted(key, kind, "ConfigurationUpdate", f'Alarm "{key.name}" {done}', data)
            await self._catalog.write(key.place, (ALARMS, key.name, "", record), *steps)
        if kind == METRIC:
            self._watching.changed(key)
        else:
            await self._watching.composites(key)

    async def delete_alarms(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            names = members["AlarmNames"]
            there = [name for name in names if self._catalog.find(Key(caller.place, name)) is not None]
            missing = [name for name in names if name not in there]
            if missing and not there:
                raise Fault("ResourceNotFound", f"Alarms [{', '.join(missing)}] do not exist")
            for other in self._catalog.names(caller.place):
                record = self._catalog.find(Key(caller.place, other)) or {}
                if other in there or kind_of(record) == METRIC:
                    continue
                used = {each.rpartition(":alarm:")[2] for each in rules.parse(record["AlarmRule"])[1]} & set(
                    there
                )
                if used:
                    raise faults.invalid(
                        f"Alarm {sorted(used)[0]} is in the rule of the composite alarm {other}."
                    )
            await self._catalog.write(caller.place, *((ALARMS, name, "", None) for name in there))

    async def set_alarm_state(self, members: Members, caller: Caller) -> None:
        key = Key(caller.place, members["AlarmName"])
        if self._catalog.find(key) is None:
            raise Fault("ResourceNotFound", f"Alarm {key.name} does not exist")
        data = members.get("StateReasonData")
        if data is not None:
            try:
                wire.decode(data.encode())
            except (ValueError, RecursionError):
                raise Fault("InvalidFormatFault", "StateReasonData is not JSON") from None
        await self._watching.set(key, members["StateValue"], members["StateReason"], data)

    async def enable_alarm_actions(self, members: Members, caller: Caller) -> None:
        await self._enable(members, caller, True)

    async def disable_alarm_actions(self, members: Members, caller: Caller) -> None:
        await self._enable(members, caller, False)

    async def _enable(self, members: Members, caller: Caller, enabled: bool) -> None:
        async with self._catalog.changes.lock:
            steps = []
            for name in members["AlarmNames"]:
                record = self._catalog.find(Key(caller.place, name))
                if record is not None:
                    steps.append((ALARMS, name, "", {**record, "ActionsEnabled": enabled}))
            await self._catalog.write(caller.place, *steps)

    async def describe_alarms(self, members: Members, caller: Caller) -> Members:
        if members.get("AlarmNames") and members.get("AlarmNamePrefix"):
            raise faults.combination("AlarmNames and AlarmNamePrefix are mutually exclusive.")
        for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
            if members.get(name):
                raise faults.not_here(f"{name} is")
        wanted, prefix = members.get("AlarmNames"), members.get("AlarmNamePrefix") or ""
        types = members.get("AlarmTypes") or [METRIC]
        action, limit = members.get("ActionPrefix"), members.get("MaxRecords") or 50
        found = []
        for name in self._catalog.names(caller.place):
            record = self._catalog.find(Key(caller.place, name))
            if record is None or (wanted is not None and name not in wanted) or not name.startswith(prefix):
                continue
            if kind_of(record) not in types or members.get("StateValue") not in (None, record["StateValue"]):
                continue
            arns = [arn for each in _ACTIONS for arn in record.get(each) or ()]
            if action is None or any(arn.startswith(action) for arn in arns):
                found.append(record)
        rest = [each for each in found if each["AlarmName"] > (members.get("NextToken") or "")]
        shown, more = rest[:limit], len(rest) > limit
        return {
            "MetricAlarms": [_shown(each) for each in shown if kind_of(each) == METRIC],
            "CompositeAlarms": [_shown(each) for each in shown if kind_of(each) == COMPOSITE],
            "NextToken": shown[-1]["AlarmName"] if more else None,
        }

    async def describe_alarms_for_metric(self, members: Members, caller: Caller) -> Members:
        found = []
        for name in self._catalog.names(caller.place):
            record = self._catalog.find(Key(caller.place, name)) or {}
            same = all(record.get(each) == members[each] for each in ("Namespace", "MetricName"))
            others = ("Statistic", "ExtendedStatistic", "Period", "Unit")
            same = same and all(members.get(each) in (None, record.get(each)) for each in others)
            if same and dimensions(record.get("Dimensions")) == dimensions(members.get("Dimensions")):
                found.append(_shown(record))
        return {"MetricAlarms": found}

    async def describe_alarm_history(self, members: Members, caller: Caller) -> Members:
        one, type = members.get("AlarmName"), members.get("HistoryItemType")
        start, end = members.get("StartDate", 0), members.get("EndDate", float("inf"))
        types = members.get("AlarmTypes") or [METRIC, COMPOSITE]
        names = [one] if one else self._catalog.historians(caller.place)
        items = sorted(
            (id, item)
            for name in names
            for id, item in self._catalog.history(caller.place, name).items()
            if type in (None, item["HistoryItemType"]) and start <= item["Timestamp"] <= end
            and item["AlarmType"] in types
        )  # fmt: skip
        ascending = members.get("ScanBy") == "TimestampAscending"
        if not ascending:
            items.reverse()
        token, limit = members.get("NextToken"), members.get("MaxRecords") or 100
        if token:
            items = [each for each in items if (each[0] > token if ascending else each[0] < token)]
        more = items[limit - 1][0] if len(items) > limit else None
        return {"AlarmHistoryItems": [item for _, item in items[:limit]], "NextToken": more}

    async def tag_resource(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller)
            fresh = {**record, "_tags": _tags(record["_tags"], members["Tags"])}
            await self._catalog.write(key.place, (ALARMS, key.name, "", fresh))

    async def untag_resource(self, members: Members, caller: Caller) -> None:
        async with self._catalog.changes.lock:
            key, record = self._tagged(members, caller)
            tags = {name: value for name, value in record["_tags"].items() if name not in members["TagKeys"]}
            await self._catalog.write(key.place, (ALARMS, key.name, "", {**record, "_tags": tags}))

    async def list_tags_for_resource(self, members: Members, caller: Caller) -> Members:
        _, record = self._tagged(members, caller)
        return {"Tags": [{"Key": name, "Value": value} for name, value in record["_tags"].items()]}

    def _tagged(self, members: Members, caller: Caller) -> tuple[Key, Record]:
        """Raises Fault."""
        arn = members["ResourceARN"]
        found = _ALARM_ARN.fullmatch(arn)
        if found is None or (found["region"], found["account"]) != (
            caller.place.region,
            caller.place.account,
        ):
            raise faults.no_resource(arn)
        key = Key(caller.place, found["name"])
        record = self._catalog.find(key)
        if record is None:
            raise faults.no_resource(arn)
        return key, record


def _shown(record: Mapping[str, Any]) -> Members:
    found = {name: value for name, value in record.items() if not name.startswith("_")}
    return {**found, **{name: found.get(name) or [] for name in _ACTIONS}}


def _tags(before: dict[str, str], given: list[dict[str, str]] | None) -> dict[str, str]:
    tags = {**before, **{each["Key"]: each["Value"] for each in given or ()}}
    if len(tags) > TAGS:
        raise faults.invalid(f"A resource can have at most {TAGS} tags.")
    return tags


def _check_actions(members: Members) -> None:
    for name in _ACTIONS:
        for arn in members.get(name) or ():
            if not ACTION.fullmatch(arn):
                if arn.startswith("arn:"):
                    raise faults.not_here(f"The action {arn} of {name} is")
                raise faults.invalid(f"Invalid arn syntax: {arn}")


def _check(members: Members) -> None:
    """Raises Fault."""
    for name in _UNSUPPORTED:
        if members.get(name):
            raise faults.not_here(f"{name} is")
    _check_actions(members)
    for name in ("EvaluationPeriods", "ComparisonOperator", "Threshold"):
        if members.get(name) is None:
            raise faults.missing(name)
    if members["ComparisonOperator"] not in COMPARISONS:
        raise faults.not_here(
            f"The ComparisonOperator {members['ComparisonOperator']}, of anomaly detection, is"
        )
    if (treat := members.get("TreatMissingData")) and treat not in TREATMENTS:
        raise faults.invalid(f"The value {treat} for parameter TreatMissingData is not supported.")
    periods = members["EvaluationPeriods"]
    if (members.get("DatapointsToAlarm") or 1) > periods:
        raise faults.invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    if members.get("Metrics"):
        _check_math(members)
        longest = max(
            (each["MetricStat"]["Period"] for each in members["Metrics"] if "MetricStat" in each), default=60
        )
    else:
        for name in ("Namespace", "MetricName", "Period"):
            if members.get(name) is None:
                raise faults.missing(name)
        if bool(members.get("Statistic")) == bool(members.get("ExtendedStatistic")):
            raise faults.combination("Exactly one of Statistic and ExtendedStatistic must be specified.")
        extended = members.get("ExtendedStatistic")
        if extended and (extended in BASIC or statistic(extended) is None):
            raise faults.invalid(f"The value {extended} for parameter ExtendedStatistic is not supported.")
        longest = members["Period"]
        if longest not in (10, 20, 30) and longest % 60:
            raise faults.invalid("Period must be 10, 20, 30 or a multiple of 60.")
        check_period(longest)
        dimensions(members.get("Dimensions"))
    if longest * periods > (LONG_RANGE if longest >= 3600 else RANGE):
        text = (
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400)."
        )
        raise faults.invalid(text)


def _check_math(members: Members) -> None:
    for name in ("Namespace", "MetricName", "Period", "Statistic", "ExtendedStatistic", "Dimensions"):
        if members.get(name):
            raise faults.combination(f"Metrics and {name} are mutually exclusive.")
    check_queries(members["Metrics"])
    if sum(1 for each in members["Metrics"] if each.get("ReturnData") is not False) != 1:
        raise faults.invalid("Exactly one element of the metrics list should return data.")
