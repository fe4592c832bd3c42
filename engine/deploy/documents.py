"""Templates as text: JSON, or YAML with CloudFormation's short forms (!Ref, !Sub, !GetAtt, …)."""

from __future__ import annotations

import json
from typing import Any

from ..aws.faults import Fault
from ..errors import EngineError

BYTES = 1_000_000  # of a template, as AWS takes it from S3
_PLAIN = {"Ref", "Condition"}  # which are written without "Fn::"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Missing(EngineError):
    """A library of stoker[deploy] is not installed."""


def load(text: str) -> dict[str, Any]:
    """A template as plain dicts, lists and scalars. Raises Fault: ValidationError, in AWS's words; Missing."""
    try:
        document = json.loads(text) if text.lstrip()[:1] == "{" else _yaml(text)
    except json.JSONDecodeError as error:
        text = f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})"
        raise Fault("ValidationError", text) from None
    except RecursionError:
        raise Fault("ValidationError", "Template format error: it is nested too deeply.") from None
    if not isinstance(document, dict):
        raise Fault("ValidationError", "Template format error: unsupported structure.")
    return document


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise Missing('templates in YAML need PyYAML: pip install "stoker[deploy]"') from None
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """YAML as CloudFormation reads it: dates stay text, keys are text, short forms are their long ones."""

    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != _TIMESTAMP]
        for first, pairs in base.yaml_implicit_resolvers.items()
    }

    def mapping(loader: Any, node: Any, deep: bool = True) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in found:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key}", key_node.start_mark
                )
            found[key] = loader.construct_object(value_node, deep=True)
        return found

    def short_form(loader: Any, tag: str, node: Any) -> dict[str, Any]:
        name = tag if tag in _PLAIN else f"Fn::{tag}"
        value: Any
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
            if tag == "GetAtt":
                value = value.split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = mapping(loader, node)
        return {name: value}

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_multi_constructor("!", short_form)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=base)):
            text = "Template error: YAML aliases are not allowed in CloudFormation templates"
            raise Fault("ValidationError", text)
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        text = f"Template format error: YAML not well-formed.{place} {error.problem or ''}".rstrip()
        raise Fault("ValidationError", text) from None
    except (yaml.YAMLError, ValueError) as error:
        raise Fault("ValidationError", f"Template format error: YAML not well-formed. {error}") from None
