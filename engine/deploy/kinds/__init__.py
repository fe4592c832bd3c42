"""The types of resources that a template may have, and who makes each: one table."""

from __future__ import annotations

from typing import Any

from . import (
    apigateway,
    balancing,
    buckets,
    cloudwatch,
    custom,
    elsewhere,
    events,
    iam,
    lambda_,
    local,
    messaging,
    nested,
    simple,
)
from .base import Kind


class _Kinds(dict[str, Kind]):
    """By type; those that users name themselves are there, too."""

    def __missing__(self, type: str) -> Kind:
        kind = custom.custom(type)
        if kind is None:
            raise KeyError(type)
        return kind

    def __contains__(self, type: object) -> bool:
        return super().__contains__(type) or (isinstance(type, str) and custom.custom(type) is not None)

    def get(self, type: str, default: Any = None) -> Any:
        return super().get(type) or custom.custom(type) or default


_MODULES = (
    lambda_,
    messaging,
    events,
    iam,
    apigateway,
    cloudwatch,
    elsewhere,
    local,
    custom,
    nested,
    simple,
    balancing,
    buckets,
)
KINDS: dict[str, Kind] = _Kinds((kind.type, kind) for module in _MODULES for kind in module.KINDS)
