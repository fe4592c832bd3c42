"""AWS::Include: a document that stands in a template where its Fn::Transform was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..aws.faults import Fault
from .documents import load

NAME = "Fn::Transform"
_MACRO = "AWS::Include"


def locations(value: Any) -> list[str]:
    """Of all the documents that a template includes. Raises Fault for a macro that is not here."""
    if isinstance(value, list):
        return [each for one in value for each in locations(one)]
    if not isinstance(value, dict):
        return []
    found = [each for one in value.values() for each in locations(one)]
    return [_location(value[NAME]), *found] if NAME in value else found


def included(value: Any, documents: Mapping[str, Any]) -> Any:
    """A template with the documents in it, by their locations."""
    if isinstance(value, list):
        return [included(each, documents) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: included(each, documents) for name, each in value.items() if name != NAME}
    if NAME in value and (location := _location(value[NAME])) in documents:
        document = documents[location]
        return {**document, **made} if isinstance(document, dict) else document
    return {**made, NAME: value[NAME]} if NAME in value else made


async def fetched(document: dict[str, Any], fetch: Callable[[str], Awaitable[str]]) -> dict[str, Any]:
    """A template with its includes. fetch: a document's text, by its s3:// address. Raises Fault."""
    named = {each for each in locations(document) if each}
    documents = {each: load(await fetch(each)) for each in sorted(named)}
    made: dict[str, Any] = included(document, documents)
    return made


def _location(given: Any) -> str:
    name = given.get("Name") if isinstance(given, dict) else given
    if name != _MACRO:
        raise Fault("ValidationError", f"No transform named {name} found.")
    found = (given.get("Parameters") or {}).get("Location")
    return found if isinstance(found, str) else ""
