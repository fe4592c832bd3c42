"""The types of resources that a template may have, and who makes each: one table."""

from __future__ import annotations

from . import apigateway, cloudwatch, elsewhere, events, iam, lambda_, local, messaging
from .base import Kind

KINDS: dict[str, Kind] = {
    kind.type: kind
    for module in (lambda_, messaging, events, iam, apigateway, cloudwatch, elsewhere, local)
    for kind in module.KINDS
}
