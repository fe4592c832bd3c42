"""Concurrency: what a function has reserved, and what its versions are provisioned with."""

from __future__ import annotations

from ... import limits
from ...aws.faults import Fault
from ...aws.names import LATEST
from ...durable.state import Record
from .control import Control, Operations, Request, Response
from .lookup import bare, existing, latest
from .responses import INVALID, conflict, invalid, paged, timestamp

UNRESERVED = 100  # what must stay for functions that reserve nothing


class Concurrency(Operations):
    """The operations on reserved and provisioned concurrency."""

    def __init__(self, control: Control) -> None:
        super().__init__(control)
        self._warmed = control.warmed
        self._pending = {
            (name, qualifier)
            for name in self.state.owners("provisioned")
            for qualifier, record in self.state.owned("provisioned", name).items()
            if record["Status"] == "IN_PROGRESS"
        }

    def settle(self) -> None:
        """What is warm is ready."""
        pending, self._pending = self._pending, set()
        for name, qualifier in pending:
            record = self.state.get("provisioned", name, qualifier)
            if record is None:
                continue
            requested = record["RequestedProvisionedConcurrentExecutions"]
            warm = requested if self._warmed is None else self._warmed(name, qualifier)
            if warm is None:
                new = {**record, "Status": "FAILED", "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}
            elif warm < requested:
                self._pending.add((name, qualifier))
                continue
            else:
                counts = (
                    "AllocatedProvisionedConcurrentExecutions",
                    "AvailableProvisionedConcurrentExecutions",
                )
                new = {**record, **dict.fromkeys(counts, requested), "Status": "READY"}
            self.put("provisioned", name, qualifier, new)

    def _count(self) -> None:
        """Workers become warm between requests: a read counts those there are now."""
        if self._warmed is not None:
            self.settle()

    def put_function_concurrency(self, request: Request) -> Response:
        name = bare(self.control, request)
        latest(self.control, request, f"Function not found: {self.place.function(name, LATEST)}")
        reserved = request["ReservedConcurrentExecutions"]
        # AWS names no Type in these two.
        if reserved and limits.CONCURRENCY_MAX - self._reserved(name) - reserved < UNRESERVED:
            raise Fault(
                INVALID,
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{UNRESERVED}].",
            )
        total = self._requested(name)
        if reserved < total:
            raise Fault(
                INVALID,
                f" ReservedConcurrentExecutions  {reserved} should not be lower than function's total provisioned "
                f"concurrency [{total}].",
            )
        record = {"ReservedConcurrentExecutions": reserved}
        self.put("concurrency", name, "", record)
        return record

    def _reserved(self, but: str) -> int:
        """What all functions but one have reserved."""
        reserved = self.by_owner("concurrency")
        return sum(r["ReservedConcurrentExecutions"] for name, r in reserved.items() if name != but)

    def _requested(self, name: str, but: str = "") -> int:
        """What is provisioned for all of a function's versions and aliases but one."""
        records = self.state.owned("provisioned", name)
        return sum(r["RequestedProvisionedConcurrentExecutions"] for id, r in records.items() if id != but)

    def get_function_concurrency(self, request: Request) -> Response:
        name, _ = latest(self.control, request)
        return self.state.get("concurrency", name.name) or {}

    def delete_function_concurrency(self, request: Request) -> Response:
        name = bare(self.control, request)
        latest(self.control, request)
        self.discard("concurrency", name)
        return {}

    def put_provisioned_concurrency_config(self, request: Request) -> Response:
        name, qualifier = self._published(
            request, "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
        requested = request["ProvisionedConcurrentExecutions"]
        self._check(name, qualifier, requested)
        record = {
            "RequestedProvisionedConcurrentExecutions": requested,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "AvailableProvisionedConcurrentExecutions": 0,
            "Status": "IN_PROGRESS",
            "LastModified": timestamp(self.control.now()),
        }
        self.put("provisioned", name, qualifier, record)
        self._pending.add((name, qualifier))
        return record

    def _check(self, name: str, qualifier: str, requested: int) -> None:
        alias = self.state.get("alias", name, qualifier)
        for other in self.state.owned("provisioned", name):
            theirs = self.state.get("alias", name, other)
            if alias and other == alias["FunctionVersion"]:
                raise conflict(
                    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
                )
            if theirs and theirs["FunctionVersion"] == qualifier:
                raise conflict("Version is pointed by a Provisioned Concurrency alias")
        total = requested + self._requested(name, but=qualifier)
        reserved = self.state.get("concurrency", name)
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
            for other in self.state.owners("provisioned")
            if other != name and self.state.get("concurrency", other) is None
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

    def _found(self, request: Request) -> tuple[str, str, Record]:
        name, qualifier = self._published(request)
        record = self.state.get("provisioned", name, qualifier)
        if record is None:
            text = "No Provisioned Concurrency Config found for this function"
            raise Fault("ProvisionedConcurrencyConfigNotFoundException", text, Type="User")
        return name, qualifier, record

    def _published(
        self,
        request: Request,
        refusal: str = "The function resource provided must be an alias or a published version.",
    ) -> tuple[str, str]:
        name, _ = existing(self.control, request)
        if name.qualifier is None or name.qualifier == LATEST:
            raise invalid(refusal)
        return name.name, name.qualifier

    def get_provisioned_concurrency_config(self, request: Request) -> Response:
        self._count()
        name, qualifier, record = self._found(request)
        if self._warmed is None or record["Status"] != "READY":
            return record
        warm = min(record["AllocatedProvisionedConcurrentExecutions"], self._warmed(name, qualifier) or 0)
        return {**record, "AvailableProvisionedConcurrentExecutions": warm}

    def delete_provisioned_concurrency_config(self, request: Request) -> Response:
        name, qualifier = self._published(request)
        self.discard("provisioned", name, qualifier)
        return {}

    def list_provisioned_concurrency_configs(self, request: Request) -> Response:
        self._count()
        name = latest(self.control, request)[0].name
        records = self.state.owned("provisioned", name)
        configs = [{"FunctionArn": self.place.function(name, id), **records[id]} for id in sorted(records)]
        return paged("ProvisionedConcurrencyConfigs", configs, request)
