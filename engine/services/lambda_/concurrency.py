"""Concurrency: what a function has reserved, and what its versions are provisioned with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import limits
from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Record
from .control import Control, Operation
from .lookup import INVALID, conflict, invalid, latest, not_found, page, timestamp
from .resource import existing, whole

UNRESERVED = 100  # what must stay for functions that reserve nothing


class Concurrency:
    """The operations on reserved and provisioned concurrency.

    warmed: how many workers of (name, qualifier) are there, None if it cannot be initialised; what was asked for, if
    nobody is asked."""

    def __init__(self, control: Control, warmed: Callable[[str, str], int | None] | None = None) -> None:
        self._control = control
        self._warmed = warmed
        self._pending = {
            (name, qualifier)
            for name in control.state.owners("provisioned")
            for qualifier, record in control.state.owned("provisioned", name).items()
            if record["Status"] == "IN_PROGRESS"
        }

    def operations(self) -> dict[str, Operation]:
        return {
            "PutFunctionConcurrency": self.put,
            "GetFunctionConcurrency": self.get,
            "DeleteFunctionConcurrency": self.delete,
            "PutProvisionedConcurrencyConfig": self.provision,
            "GetProvisionedConcurrencyConfig": self.provisioned,
            "DeleteProvisionedConcurrencyConfig": self.unprovision,
            "ListProvisionedConcurrencyConfigs": self.list_provisioned,
        }

    def settle(self) -> None:
        """What is warm is ready."""
        state = self._control.state
        pending, self._pending = self._pending, set()
        for name, qualifier in pending:
            record = state.get("provisioned", name, qualifier)
            if record is not None:
                wanted = record["RequestedProvisionedConcurrentExecutions"]
                warm = wanted if self._warmed is None else self._warmed(name, qualifier)
                if warm is None:
                    new = {**record, "Status": "FAILED", "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}
                elif warm < wanted:
                    self._pending.add((name, qualifier))
                    continue
                else:
                    new = {
                        **record,
                        "AllocatedProvisionedConcurrentExecutions": wanted,
                        "AvailableProvisionedConcurrentExecutions": wanted,
                        "Status": "READY",
                    }
                with state.change() as change:
                    change.put("provisioned", name, qualifier, new)

    def _count(self) -> None:
        """Workers come up without anybody asking, so who asks hears of those there are now."""
        if self._warmed is not None:
            self.settle()

    def put(self, request: dict[str, Any]) -> dict[str, Any]:
        control, state = self._control, self._control.state
        name = whole(control, request)
        if state.get("function", name, LATEST) is None:
            raise not_found(f"Function not found: {control.place.function(name, LATEST)}")
        wanted = request["ReservedConcurrentExecutions"]
        # AWS names no Type in these two.
        if wanted and limits.CONCURRENCY_MAX - self._reserved(name) - wanted < UNRESERVED:
            raise Fault(
                INVALID,
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{UNRESERVED}].",
            )
        total = self._requested(name)
        if wanted < total:
            raise Fault(
                INVALID,
                f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned "
                f"concurrency [{total}].",
            )
        record = {"ReservedConcurrentExecutions": wanted}
        with state.change() as change:
            change.put("concurrency", name, "", record)
        return record

    def _reserved(self, but: str) -> int:
        """What all functions have reserved, but for one."""
        state = self._control.state
        return sum(
            record["ReservedConcurrentExecutions"]
            for other in state.owners("concurrency")
            if other != but and (record := state.get("concurrency", other))
        )

    def _requested(self, name: str, but: str = "") -> int:
        """What is provisioned of a function's versions and aliases, but for one."""
        return sum(
            record["RequestedProvisionedConcurrentExecutions"]
            for qualifier, record in self._control.state.owned("provisioned", name).items()
            if qualifier != but
        )

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        named, _ = latest(self._control, request)
        return self._control.state.get("concurrency", named.name) or {}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        name = whole(self._control, request)
        latest(self._control, request)
        if self._control.state.get("concurrency", name) is not None:
            with self._control.state.change() as change:
                change.delete("concurrency", name, "")
        return {}

    def provision(self, request: dict[str, Any]) -> dict[str, Any]:
        control, state = self._control, self._control.state
        named, _ = existing(control, request)
        name, qualifier = named.name, named.qualifier or LATEST
        if qualifier == LATEST:
            raise invalid(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        wanted = request["ProvisionedConcurrentExecutions"]
        self._check(name, qualifier, wanted)
        record = {
            "RequestedProvisionedConcurrentExecutions": wanted,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "AvailableProvisionedConcurrentExecutions": 0,
            "Status": "IN_PROGRESS",
            "LastModified": timestamp(control.now()),
        }
        with state.change() as change:
            change.put("provisioned", name, qualifier, record)
        self._pending.add((name, qualifier))
        return record

    def _check(self, name: str, qualifier: str, wanted: int) -> None:
        state = self._control.state
        alias = state.get("alias", name, qualifier)
        for other in state.owned("provisioned", name):
            theirs = state.get("alias", name, other)
            if alias and other == alias["FunctionVersion"]:
                raise conflict(
                    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
                )
            if theirs and theirs["FunctionVersion"] == qualifier:
                raise conflict("Version is pointed by a Provisioned Concurrency alias")
        total = wanted + self._requested(name, but=qualifier)
        reserved = state.get("concurrency", name)
        if reserved is not None:
            if total > reserved["ReservedConcurrentExecutions"]:
                raise invalid(
                    "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                    "function"
                )
            return
        # AWS names no Type in these two.
        unreserved = limits.CONCURRENCY_MAX - self._reserved(name)
        taken = sum(
            self._requested(other)
            for other in state.owners("provisioned")
            if other != name and state.get("concurrency", other) is None
        )
        if total > unreserved:
            raise Fault(
                INVALID,
                "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
                f"[{unreserved}].",
            )
        if unreserved - taken - total < UNRESERVED:
            raise Fault(
                INVALID,
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below "
                f"its minimum value of [{UNRESERVED}].",
            )

    def _found(self, request: dict[str, Any]) -> tuple[str, str, Record]:
        name, qualifier = self._named(request)
        record = self._control.state.get("provisioned", name, qualifier)
        if record is None:
            raise Fault(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                Type="User",
            )
        return name, qualifier, record

    def _named(self, request: dict[str, Any]) -> tuple[str, str]:
        named, _ = existing(self._control, request)
        if named.qualifier in (None, LATEST):
            raise invalid("The function resource provided must be an alias or a published version.")
        return named.name, named.qualifier or LATEST

    def provisioned(self, request: dict[str, Any]) -> dict[str, Any]:
        self._count()
        name, qualifier, record = self._found(request)
        if self._warmed is None or record["Status"] != "READY":
            return record
        warm = min(record["AllocatedProvisionedConcurrentExecutions"], self._warmed(name, qualifier) or 0)
        return {**record, "AvailableProvisionedConcurrentExecutions": warm}

    def unprovision(self, request: dict[str, Any]) -> dict[str, Any]:
        name, qualifier = self._named(request)
        if self._control.state.get("provisioned", name, qualifier) is not None:
            with self._control.state.change() as change:
                change.delete("provisioned", name, qualifier)
        return {}

    def list_provisioned(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        self._count()
        named, _ = latest(control, request)
        records = control.state.owned("provisioned", named.name)
        whole = [
            {"FunctionArn": control.place.function(named.name, q), **records[q]} for q in sorted(records)
        ]
        some, more = page(whole, request)
        return {"ProvisionedConcurrencyConfigs": some, **more}
