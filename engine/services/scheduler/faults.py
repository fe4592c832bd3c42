"""What EventBridge Scheduler refuses, in AWS's words."""

from __future__ import annotations

from ...aws.faults import Fault


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def conflict(message: str) -> Fault:
    return Fault("ConflictException", message)


def full(message: str) -> Fault:
    return Fault("ServiceQuotaExceededException", message)


def no_schedule(name: str) -> Fault:
    return Fault("ResourceNotFoundException", f"Schedule {name} does not exist.")


def no_group(name: str) -> Fault:
    return Fault("ResourceNotFoundException", f"Schedule group {name} does not exist.")
