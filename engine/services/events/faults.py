"""What EventBridge refuses, in AWS's words."""

from __future__ import annotations

from ...aws.faults import Fault


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def missing(message: str) -> Fault:
    return Fault("ResourceNotFoundException", message)


def exists(message: str) -> Fault:
    return Fault("ResourceAlreadyExistsException", message)


def no_bus(name: str) -> Fault:
    return missing(f"Event bus {name} does not exist.")


def no_rule(name: str, bus: str) -> Fault:
    return missing(f"Rule {name} does not exist on EventBus {bus}.")


def managed(name: str) -> Fault:
    text = f"Rule {name} is managed by EventBridge: it changes with its archive, and ends with it."
    return Fault("ManagedRuleException", text)


def not_here(what: str) -> Fault:
    """A part of the service that needs AWS itself."""
    return Fault("OperationDisabledException", f"{what} are not available on this endpoint.")
