"""What an alarm does when its state changes: messages to topics, events of functions, and an event on the default bus.

Each is a row of a queue before the new state is seen, so that none is lost by a restart."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ... import wire
from ...aws.clients import CallFailed
from ...aws.names import Place
from ...aws.times import iso
from ...durable.queue import Leased, Queues
from ...hosting.permissions import may_invoke
from ...hosting.placements import Hosting
from ...observe.records import FunctionOutput
from ...routing import retry
from ...routing.deliveries import Again, Deliveries, again
from ...routing.targets import Message, Targets
from .catalog import Key, kind_of

SERVICE = "cloudwatch"  # of the queues' names
LOG_GROUP = "/aws/cloudwatch/failed-actions"
PRINCIPAL = "lambda.alarms.cloudwatch.amazonaws.com"
ACTION = re.compile(r"arn:aws[a-z-]*:(sns|lambda):[a-z0-9-]+:\d{12}:.+", re.ASCII)
LISTS = {"OK": "OKActions", "ALARM": "AlarmActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_STATISTICS = {
    "Average": "AVERAGE",
    "Sum": "SUM",
    "Minimum": "MINIMUM",
    "Maximum": "MAXIMUM",
    "SampleCount": "SAMPLE_COUNT",
}


class Job(msgspec.Struct, array_like=True):
    """target: an action's ARN, or "" for the bus."""

    region: str
    account: str
    alarm: str
    target: str
    subject: str = ""


_encode = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(Job).decode
Publish = Callable[[Place, Mapping[str, Any]], Any]


class Actions:
    """Belongs to the event loop."""

    def __init__(
        self,
        queues: Queues,
        targets: Targets,
        hosting: Hosting,
        publish: Publish,
        log: Callable[[FunctionOutput], object],
    ) -> None:
        """publish: puts an event on a place's default bus."""
        self._queues, self._targets, self._hosting = queues, targets, hosting
        self._publish, self._log = publish, log
        self._deliveries = Deliveries(queues, SERVICE, self._send, self._failed)

    def start(self) -> None:
        self._deliveries.start()

    def close(self) -> None:
        self._deliveries.close()

    async def changed(self, key: Key, before: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
        """Done once all that comes of it is durable; the ARNs of its actions. Raises QueueFull, StoreError."""
        place, state = key.place, record["StateValue"]
        pending = [self._put(Job(place.region, place.account, key.name, ""), _event(key, before, record))]
        acted = []
        for arn in record.get(LISTS[state]) or () if record["ActionsEnabled"] else ():
            acted.append(arn)
            made = _function_event if ":lambda:" in arn else _notification
            subject = f'{state}: "{key.name}" in {place.region}'[:100]
            job = Job(place.region, place.account, key.name, arn, subject)
            pending.append(self._put(job, made(key, before, record)))
        await asyncio.gather(*pending)
        return acted

    def _put(self, job: Job, body: Mapping[str, Any]) -> asyncio.Future[int]:
        line = f"{SERVICE}:{job.account}/{job.region}:{job.target or job.alarm}"
        return self._queues.put(line, wire.encode(body), meta=_encode(job))

    async def _send(self, _queue: str, row: Leased) -> None:
        job = _job(row.meta)
        place = Place(job.region, job.account)
        if not job.target:
            await self._publish(place, wire.decode(row.value))
            return
        if ":lambda:" in job.target and not self._may(Key(place, job.alarm), job.target):
            text = f"{PRINCIPAL} is not allowed to invoke {job.target}"
            raise CallFailed("AccessDeniedException", text, retriable=False)
        await self._targets.send(Message(job.target, row.value, subject=job.subject))

    def _may(self, key: Key, arn: str) -> bool:
        region, account, _, name, *qualifier = arn.split(":")[3:]
        state = self._hosting.of(Place(region, account)).state
        return may_invoke(
            state, name, qualifier[0] if qualifier else None, PRINCIPAL, key.arn, key.place.account
        )

    async def _failed(self, _queue: str, row: Leased, error: Exception) -> Again | None:
        if (step := again(self._queues, row, error, retry.TARGET_MAX_AGE)) is not None:
            return step
        job = _job(row.meta)
        text = f"[WARN] ActionFailed: {job.alarm} {job.target}: {error}\n"
        at = int(time.time() * 1e3)
        self._log(FunctionOutput(job.region, job.account, LOG_GROUP, "alarms", at, text))
        return None


def _state(record: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "value": record["StateValue"], "reason": record["StateReason"],
        "timestamp": _long(record["StateUpdatedTimestamp"]),
    }  # fmt: skip
    if record.get("StateReasonData"):
        found["reasonData"] = record["StateReasonData"]
    return found


def _configuration(record: Mapping[str, Any]) -> dict[str, Any]:
    if kind_of(record) != "MetricAlarm":
        return {"alarmRule": record["AlarmRule"], "description": record.get("AlarmDescription", "")}
    metrics = []
    if record.get("Metrics"):
        for each in record["Metrics"]:
            shown: dict[str, Any] = {"id": each["Id"], "returnData": each.get("ReturnData", True)}
            if stat := each.get("MetricStat"):
                shown["metricStat"] = _stat(stat["Metric"], stat["Period"], stat["Stat"])
            else:
                shown["expression"] = each["Expression"]
            metrics.append(shown)
    else:
        name = record.get("Statistic") or record.get("ExtendedStatistic") or ""
        stat = _stat(record, record["Period"], name)
        metrics.append({"id": "m1", "metricStat": stat, "returnData": True})
    return {"description": record.get("AlarmDescription", ""), "metrics": metrics}


def _stat(metric: Mapping[str, Any], period: int, name: str) -> dict[str, Any]:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions") or ()}
    return {
        "metric": {"namespace": metric["Namespace"], "name": metric["MetricName"], "dimensions": dimensions},
        "period": period, "stat": name,
    }  # fmt: skip


def _event(key: Key, before: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """As on the default bus."""
    detail = {
        "alarmName": key.name, "state": _state(record), "previousState": _state(before),
        "configuration": _configuration(record),
    }  # fmt: skip
    return {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch", "account": key.place.account, "region": key.place.region,
        "time": iso(record["StateUpdatedTimestamp"], "seconds"), "resources": [key.arn], "detail": detail,
    }  # fmt: skip


def _function_event(key: Key, before: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": "aws.cloudwatch", "alarmArn": key.arn, "accountId": key.place.account,
        "time": _long(record["StateUpdatedTimestamp"]), "region": key.place.region,
        "alarmData": {
            "alarmName": key.name, "state": _state(record), "previousState": _state(before),
            "configuration": _configuration(record),
        },
    }  # fmt: skip


def _notification(key: Key, before: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """A topic's message."""
    shown = {
        "AlarmName": key.name, "AlarmDescription": record.get("AlarmDescription"), "AWSAccountId": key.place.account,
        "AlarmConfigurationUpdatedTimestamp": _long(record["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": record["StateValue"], "NewStateReason": record["StateReason"],
        "StateChangeTime": _long(record["StateUpdatedTimestamp"]), "Region": key.place.region, "AlarmArn": key.arn,
        "OldStateValue": before["StateValue"],
        **{name: record.get(name) or [] for name in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }  # fmt: skip
    if kind_of(record) != "MetricAlarm":
        return {**shown, "AlarmRule": record["AlarmRule"]}
    trigger: dict[str, Any] = {
        "Period": record.get("Period"), "EvaluationPeriods": record["EvaluationPeriods"],
        "DatapointsToAlarm": record.get("DatapointsToAlarm") or record["EvaluationPeriods"],
        "ComparisonOperator": record["ComparisonOperator"], "Threshold": record["Threshold"],
        "TreatMissingData": record.get("TreatMissingData") or "missing",
        "EvaluateLowSampleCountPercentile": record.get("EvaluateLowSampleCountPercentile") or "",
    }  # fmt: skip
    if record.get("Metrics"):
        trigger["Metrics"] = record["Metrics"]
    else:
        trigger |= {
            "MetricName": record["MetricName"], "Namespace": record["Namespace"],
            "StatisticType": "Statistic" if record.get("Statistic") else "ExtendedStatistic",
            "Statistic": _STATISTICS.get(record.get("Statistic") or "") or record.get("ExtendedStatistic"),
            "Unit": record.get("Unit"),
            "Dimensions": [
                {"value": each["Value"], "name": each["Name"]} for each in record.get("Dimensions") or ()
            ],
        }  # fmt: skip
    return {**shown, "Trigger": trigger}


def _long(at: float) -> str:
    """As CloudWatch writes times into messages: 2026-01-01T00:00:00.000+0000."""
    return iso(at).removesuffix("Z") + "+0000"
