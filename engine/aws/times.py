"""Times as AWS writes them into records and events."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(seconds: float, timespec: str = "milliseconds") -> str:
    """Epoch seconds as "2026-01-01T00:00:00.000Z"; timespec: as datetime's isoformat has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
