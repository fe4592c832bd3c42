"""Dynamic references ({{resolve:ssm:…}}, {{resolve:secretsmanager:…}}) and SSM's parameters, looked up when they are
needed: a stack keeps the reference, not the secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..aws.clients import CallFailed
from ..aws.faults import Fault
from .kinds.base import Aws, NotMade
from .parameters import SSM

_REFERENCE = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]*)\}\}")


async def looked_up(value: Any, aws: Aws) -> Any:
    """A value with what its references stand for. Raises NotMade."""
    if isinstance(value, dict):
        return {key: await looked_up(each, aws) for key, each in value.items()}
    if isinstance(value, list):
        return [await looked_up(each, aws) for each in value]
    if not isinstance(value, str) or "{{resolve:" not in value:
        return value
    pieces, end = [], 0
    for found in _REFERENCE.finditer(value):
        try:
            known = await (_secret if found[1] == "secretsmanager" else _parameter)(found[2], aws)
        except (CallFailed, KeyError, ValueError) as error:
            raise NotMade(f"{found[0]} could not be resolved: {error}") from None
        pieces += [value[end : found.start()], known]
        end = found.end()
    return "".join([*pieces, value[end:]])


async def parameters(
    declared: Mapping[str, Mapping[str, Any]], values: Mapping[str, str], aws: Aws
) -> dict[str, str]:
    """Values of a template's parameters, those that name one of SSM's as what that has. Raises Fault."""
    found = dict(values)
    for name, value in values.items():
        if not str(declared[name].get("Type", "")).startswith(SSM):
            continue
        try:
            found[name] = await _parameter(value, aws)
        except CallFailed as error:
            text = f"Unable to fetch parameters [{value}] from parameter store for this account. ({error})"
            raise Fault("ValidationError", text) from None
    return found


async def _parameter(name: str, aws: Aws) -> str:
    asked = {"Name": name, "WithDecryption": True}
    return str((await aws.call("ssm", "GetParameter", asked))["Parameter"]["Value"])


async def _secret(text: str, aws: Aws) -> str:
    """ID:SecretString:KEY:STAGE:VERSION, of which all but the first may be missing; an ARN has six colons itself."""
    parts = text.split(":")
    head = 7 if parts[0] == "arn" else 1
    id, rest = ":".join(parts[:head]), [*parts[head:], "", "", "", ""]
    asked = {"SecretId": id}
    asked |= {"VersionStage": rest[2]} if rest[2] else {}
    asked |= {"VersionId": rest[3]} if rest[3] else {}
    value = str((await aws.call("secretsmanager", "GetSecretValue", asked))["SecretString"])
    return str(json.loads(value)[rest[1]]) if rest[1] else value
