"""Alarms are looked at when their periods end; what they find changes their state, and that has its actions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from ... import wire
from ...aws.faults import Fault
from ...aws.times import iso
from ...durable.folder import StoreError
from ...durable.queue import QueueFull
from ...durable.state import Record
from . import rules
from .actions import Actions
from .catalog import ALARMS, METRIC, Catalog, Key, kind_of, now
from .judging import ALARM, EXTRA, OK, Judgement, judge
from .reading import Reading

SWEEP = 3600.0  # seconds between two looks at the history
EVERY = 10.0  # seconds: the shortest period of an alarm
LATE = 3.0  # seconds after a period's end at which its values are there


class Watching:
    """Belongs to the event loop."""

    def __init__(self, catalog: Catalog, reading: Reading, actions: Actions) -> None:
        self._catalog, self._reading, self._actions = catalog, reading, actions
        self._seen: dict[Key, int] = {}  # the end of the period that each was last looked at
        self._task: asyncio.Task[None] | None = None
        self._soon: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        for task in [self._task, *self._soon]:
            if task is not None:
                task.cancel()

    def changed(self, key: Key) -> None:
        """An alarm is another one now: it is looked at, at once."""
        self._seen.pop(key, None)
        task = asyncio.ensure_future(self._look([key]))
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    async def _run(self) -> None:
        swept = 0.0
        while True:
            moment = now()
            if moment - swept >= SWEEP:
                swept = moment
                with contextlib.suppress(StoreError):
                    await self._catalog.sweep()
            await asyncio.sleep(EVERY - (moment - LATE) % EVERY)
            found = {key for key, _ in self._catalog.all()}
            self._seen = {key: end for key, end in self._seen.items() if key in found}
            with contextlib.suppress(StoreError):
                await self._reading.fresh()
            await self._look(sorted(found))

    async def _look(self, keys: Iterable[Key]) -> None:
        for key in keys:
            record = self._catalog.find(key)
            if record is None or kind_of(record) != METRIC:
                continue
            period = period_of(record)
            end = int((now() - (LATE if key in self._seen else 0)) // period) * period
            if self._seen.get(key) == end:
                continue
            try:
                await self._evaluate(key, record, period, end)
                self._seen[key] = end
            except (Fault, StoreError, QueueFull):  # again, in a while
                continue
            except Exception as error:  # a mistake with one keeps no other from its turn
                context = {"message": f"the alarm {key.name} could not be evaluated", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    async def _evaluate(self, key: Key, record: Record, period: int, end: int) -> None:
        count = record["EvaluationPeriods"] + EXTRA
        periods = [end - period * n for n in range(1, count + 1)]
        queries = queries_of(record)
        found = await self._reading.query(key.place, queries, periods[-1], end)
        (shown,) = [each["Id"] for each in queries if each.get("ReturnData") is not False]
        judged = judge(record, found[shown], periods, record["StateValue"])
        if judged.state is None or judged.state == record["StateValue"]:
            return
        data = _data(record, period, judged)
        await self.set(key, judged.state, judged.reason, wire.encode(data).decode(), record)

    async def set(
        self, key: Key, state: str, reason: str, data: str | None, looked_at: Record | None = None
    ) -> None:
        """An alarm has a new state. looked_at: the record that was looked at; of another one it says nothing. Raises
        StoreError, QueueFull."""
        async with self._catalog.changes.lock:
            before = self._catalog.find(key)
            if before is None or (looked_at is not None and before is not looked_at):
                return
            at = now()
            record = {
                **before, "StateValue": state, "StateReason": reason[:1023], "StateReasonData": data,
                "StateUpdatedTimestamp": at,
            }  # fmt: skip
            changed = state != before["StateValue"]
            steps = []
            if changed:
                record["StateTransitionedTimestamp"] = at
                acted = await self._actions.changed(key, before, record)
                kind = kind_of(record)
                summary = f"Alarm updated from {before['StateValue']} to {state}"
                steps = self._catalog.noted(key, kind, "StateUpdate", summary, _transition(before, record))
                for arn in acted:
                    text = f"Successfully executed action {arn}"
                    body = wire.encode({"actionState": "Succeeded", "notificationResource": arn}).decode()
                    steps += self._catalog.noted(key, kind, "Action", text, body)
            await self._catalog.write(key.place, (ALARMS, key.name, "", record), *steps)
        if changed:
            await self.composites(key)

    async def composites(self, changed: Key) -> None:
        """An alarm has another state, or rule: the composite ones that it is, or that name it."""
        place = changed.place

        def state_of(each: str) -> str | None:
            found = self._catalog.find(Key(place, each.rpartition(":alarm:")[2]))
            return found["StateValue"] if found else None

        for name in self._catalog.names(place):
            key = Key(place, name)
            record = self._catalog.find(key)
            if record is None or kind_of(record) == METRIC:
                continue
            rule, names = rules.parse(record["AlarmRule"])
            if key != changed and not {changed.name, changed.arn} & set(names):
                continue
            state = ALARM if rule(state_of) else OK
            if state != record["StateValue"]:
                reason = f"{changed.arn} transitioned to {state_of(changed.name)}"
                await self.set(key, state, "Its rule was evaluated" if key == changed else reason, None)


def period_of(record: Mapping[str, Any]) -> int:
    """Seconds."""
    if record.get("Period"):
        return int(record["Period"])
    return max(
        (each["MetricStat"]["Period"] for each in record["Metrics"] if each.get("MetricStat")), default=60
    )


def queries_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an alarm is about, as GetMetricData has it."""
    if record.get("Metrics"):
        return list(record["Metrics"])
    metric = {name: record.get(name) for name in ("Namespace", "MetricName", "Dimensions")}
    stat = record.get("Statistic") or record.get("ExtendedStatistic")
    found = {"Metric": metric, "Period": record["Period"], "Stat": stat, "Unit": record.get("Unit")}
    return [{"Id": "m1", "MetricStat": found}]


def _data(record: Mapping[str, Any], period: int, judged: Judgement) -> dict[str, Any]:
    points = judged.points
    shown = {
        "version": "1.0", "queryDate": _long(now()), "period": period,
        "recentDatapoints": [value for _, value in reversed(points)],
        "threshold": record["Threshold"],
        "evaluatedDatapoints": [{"timestamp": _long(at), "value": value} for at, value in points],
    }  # fmt: skip
    if points:
        shown["startDate"] = _long(points[-1][0])
    if stat := record.get("Statistic") or record.get("ExtendedStatistic"):
        shown["statistic"] = stat
    return shown


def _transition(before: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    def shown(each: Mapping[str, Any]) -> dict[str, Any]:
        found = {"stateValue": each["StateValue"], "stateReason": each["StateReason"]}
        data = each.get("StateReasonData")
        return {**found, "stateReasonData": wire.decode(data.encode())} if data and _is_json(data) else found

    return wire.encode({"version": "1.0", "oldState": shown(before), "newState": shown(record)}).decode()


def _is_json(text: str) -> bool:
    try:
        wire.decode(text.encode())
    except (ValueError, RecursionError):
        return False
    return True


def _long(at: float) -> str:
    return iso(at).removesuffix("Z") + "+0000"
