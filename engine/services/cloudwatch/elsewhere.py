"""Operations that need what is not here, dashboards and metric streams say: refused, with a typed error."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import partial
from typing import Any

from ...aws.service import Caller, Handler
from .faults import no_dashboard, not_here

_WHAT = (
    ("AnomalyDetector", "Anomaly detectors are"),
    ("InsightRule", "Contributor Insights rules are"),
    ("MetricStream", "Metric streams are"),
    ("Dashboard", "Dashboards are"),
    ("WidgetImage", "Images of metrics are"),
    ("MuteRule", "Alarm mute rules are"),
    ("LogAlarm", "Alarms on logs are"),
    ("OTel", "OpenTelemetry enrichment is"),
    ("AlarmContributors", "Alarm contributors are"),
)
# A client that lists what there is finds nothing.
_EMPTY: dict[str, dict[str, Any]] = {
    "ListDashboards": {"DashboardEntries": []},
    "ListMetricStreams": {"Entries": []},
    "DescribeAnomalyDetectors": {"AnomalyDetectors": []},
    "DescribeInsightRules": {"InsightRules": []},
    "ListManagedInsightRules": {"ManagedRules": []},
}


def refused(names: Iterable[str], found: Container[str]) -> dict[str, Handler]:
    """Those of a model's operations that `found` has not."""
    return {name: _handler(name) for name in names if name not in found}


def _handler(name: str) -> Handler:
    if name in _EMPTY:
        return lambda members, caller: _EMPTY[name]
    if name == "GetDashboard":
        return lambda members, caller: _no_dashboard(members)
    return partial(_refuse, name)


def _no_dashboard(members: dict[str, Any]) -> Any:
    raise no_dashboard(members["DashboardName"])


def _refuse(name: str, _members: dict[str, Any], _caller: Caller) -> Any:
    raise not_here(next((text for part, text in _WHAT if part in name), f"{name} is"))
