"""What a template names in the file system, brought to a server: code packed, its requirements installed, documents
put into the template."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..hosting.archives import pack
from . import includes
from .artifacts import BUCKET, PATH
from .building import installed
from .documents import load

_ELSEWHERE = ("s3://", "http://", "https://")
# Properties with code, and how they name an object of S3.
_CODE = {
    "AWS::Serverless::Function": ("CodeUri", "Bucket", "Key"),
    "AWS::Serverless::LayerVersion": ("ContentUri", "Bucket", "Key"),
    "AWS::Lambda::Function": ("Code", "S3Bucket", "S3Key"),
    "AWS::Lambda::LayerVersion": ("Content", "S3Bucket", "S3Key"),
    "AWS::StepFunctions::StateMachine": ("DefinitionS3Location", "Bucket", "Key"),
}
# Properties with documents, and the ones that have them as they are.
_DOCUMENTS = {
    "AWS::Serverless::Api": ("DefinitionUri", "DefinitionBody"),
    "AWS::Serverless::HttpApi": ("DefinitionUri", "DefinitionBody"),
    "AWS::Serverless::StateMachine": ("DefinitionUri", "Definition"),
    "AWS::ApiGateway::RestApi": ("BodyS3Location", "Body"),
}
# Properties with templates of stacks within the stack.
_TEMPLATES = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}
_BUILT = ".aws-sam"  # what `sam build` made has its requirements already


class NotPackaged(EngineError):
    """A template names what is not there, or what cannot be built."""


def packaged(
    document: Mapping[str, Any], folder: Path, upload: Callable[[bytes], str], say: Callable[[str], None]
) -> dict[str, Any]:
    """A template without local paths. folder: what they are relative to. upload: keeps bytes on the server, returns
    their digest. say: what takes long. Raises NotPackaged."""
    there = {each: _local(each, folder) for each in includes.locations(document)}
    documents = {each: _included(path) for each, path in there.items() if each and path is not None}
    made = copy.deepcopy(dict(includes.included(document, documents)))
    defaults = (made.get("Globals") or {}).get("Function") or {}
    cache: dict[tuple[Path, str, str], str] = {}

    def code(path: Path, runtime: str, under: str) -> str:
        key = (path, runtime, under)
        if key not in cache:
            cache[key] = upload(_archive(path, runtime, under, say))
        return cache[key]

    for name, resource in (made.get("Resources") or {}).items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Properties"), dict):
            continue
        kind, properties = str(resource.get("Type")), resource["Properties"]
        if kind in _CODE:
            member, bucket, key = _CODE[kind]
            value = properties.get(member)
            if value is None and kind == "AWS::Serverless::Function":
                value = _global_code(properties, defaults)
            if (path := _local(value, folder)) is not None:
                _check(path, name, member)
                runtime, under = _runtime(kind, resource, defaults)
                digest = code(path, runtime, under)
                properties[member] = {bucket: BUCKET, key: digest}
        if kind in _TEMPLATES and (path := _local(properties.get(_TEMPLATES[kind]), folder)) is not None:
            _check(path, name, _TEMPLATES[kind])
            inner = packaged(load(path.read_text()), path.parent, upload, say)
            properties[_TEMPLATES[kind]] = f"http://localhost{PATH}{upload(json.dumps(inner).encode())}"
        if kind in _DOCUMENTS:
            member, inline = _DOCUMENTS[kind]
            if (path := _local(properties.get(member), folder)) is not None:
                _check(path, name, member)
                del properties[member]
                properties[inline] = load(path.read_text())
    if _local(defaults.get("CodeUri"), folder) is not None:
        del defaults["CodeUri"]  # each function has its own now
    return made


def _included(path: Path) -> Any:
    """Raises NotPackaged."""
    _check(path, "Fn::Transform", "Location")
    return load(path.read_text())


def _global_code(properties: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    """Globals' CodeUri, for a function that has no other code."""
    has_own = "InlineCode" in properties or "ImageUri" in properties
    return None if has_own else defaults.get("CodeUri")


def _local(value: Any, folder: Path) -> Path | None:
    if not isinstance(value, str) or value.startswith(_ELSEWHERE):
        return None
    return (folder / value).resolve()


def _check(path: Path, name: str, member: str) -> None:
    if not path.exists():
        raise NotPackaged(f"{name}: {member} is {path}, which is not there")


def _runtime(kind: str, resource: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[str, str]:
    """The runtime that requirements are for, "" to install none; and where in an archive they belong."""
    properties = resource["Properties"]
    if "Function" in kind:
        runtime = properties.get("Runtime", defaults.get("Runtime"))
        return (runtime if isinstance(runtime, str) and runtime.startswith("python") else ""), ""
    method = (resource.get("Metadata") or {}).get("BuildMethod", "")
    return (method, "python/") if "LayerVersion" in kind and str(method).startswith("python") else ("", "")


def _archive(path: Path, runtime: str, under: str, say: Callable[[str], None]) -> bytes:
    try:
        if path.is_file() and path.suffix in (".zip", ".jar", ".json"):
            return path.read_bytes()
        requirements = path / "requirements.txt"
        wanted = runtime and path.is_dir() and requirements.exists() and _BUILT not in path.parts
        beside = installed(requirements, runtime, under, say) if wanted else None
        return pack(path, beside=beside, under=under)
    except OSError as error:
        raise NotPackaged(f"cannot read {error.filename}: {error.strerror}") from None
