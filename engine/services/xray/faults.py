"""X-Ray's errors."""

from __future__ import annotations

from ...aws.faults import Fault


def invalid(text: str) -> Fault:
    return Fault("InvalidRequestException", text)


def not_here(what: str) -> Fault:
    return invalid(f"{what} not served by this endpoint.")
