"""What a template names in the file system, brought to a server: code packed, its requirements installed, documents
put into the template."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..hosting.archives import pack
from . import includes
from .artifacts import BUCKET, PATH
from .building import Requirements, installed, requirements
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
_LAYERS = 5  # of a function, as on AWS
Upload = Callable[[bytes], str]  # keeps bytes on the server; their digest
Cache = dict[
    tuple[Path, str, str], str
]  # digests: by path, runtime of the requirements, path within the archive


class NotPackaged(EngineError):
    """A template names what is not there, or what cannot be built."""


@dataclass(frozen=True)
class Source:
    """Code of a resource. function: is it one's, packed without its requirements. runtime: "" for that of no Python."""

    logical: str
    path: Path
    function: bool
    runtime: str


@dataclass
class Packaged:
    """A template without local paths, and what it is made of. documents: files that are in it now."""

    template: dict[str, Any]
    sources: list[Source] = field(default_factory=list)
    documents: list[Path] = field(default_factory=list)


def packaged(
    document: Mapping[str, Any], folder: Path, upload: Upload, say: Callable[[str], None],
    cache: Cache | None = None, *, install: bool = True,
) -> Packaged:  # fmt: skip
    """folder: what paths are relative to. say: what takes long. cache: what is packed already. install: requirements,
    too. Raises NotPackaged, NotBuilt."""
    there = {each: path for each in includes.locations(document) if each and (path := _local(each, folder))}
    whole = includes.included(document, {each: _included(path) for each, path in there.items()})
    made = Packaged(copy.deepcopy(dict(whole)), documents=list(there.values()))
    defaults = (made.template.get("Globals") or {}).get("Function") or {}
    cache = {} if cache is None else cache
    packing = _Packing(upload, say, cache, install)
    for name, resource in list((made.template.get("Resources") or {}).items()):
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
                source, digest = packing.code(name, path, kind, resource, defaults)
                properties[member] = {bucket: BUCKET, key: digest}
                made.sources.append(source)
        if kind in _TEMPLATES and (path := _local(properties.get(_TEMPLATES[kind]), folder)) is not None:
            _check(path, name, _TEMPLATES[kind])
            inner = packaged(load(path.read_text()), path.parent, upload, say, cache, install=install)
            digest = upload(json.dumps(inner.template).encode())
            properties[_TEMPLATES[kind]] = f"http://localhost{PATH}{digest}"
            made.documents += [path, *inner.documents]
            made.sources += [replace(each, function=False) for each in inner.sources]
        if kind in _DOCUMENTS:
            member, inline = _DOCUMENTS[kind]
            if (path := _local(properties.get(member), folder)) is not None:
                _check(path, name, member)
                del properties[member]
                properties[inline] = load(path.read_text())
                made.documents.append(path)
    if packing.layers:
        made.template["Resources"] |= packing.layers
    if _local(defaults.get("CodeUri"), folder) is not None:
        del defaults["CodeUri"]  # each function has its own now
    return made


class _Packing:
    """Of one template. layers: resources that its functions' requirements are."""

    def __init__(self, upload: Upload, say: Callable[[str], None], cache: Cache, install: bool) -> None:
        self._upload = upload
        self._say = say
        self._cache = cache
        self._install = install
        self.layers: dict[str, Any] = {}

    def code(
        self, name: str, path: Path, kind: str, resource: dict[str, Any], defaults: Mapping[str, Any]
    ) -> tuple[Source, str]:
        """Pack a resource's code. A function's requirements are a layer of it, if it may have one more: so what is
        packed again when the code changes is the code."""
        runtime, under = _runtime(kind, resource, defaults)
        wanted = self._requirements(path, runtime)
        if wanted is not None and not under and self._layer(wanted, runtime, resource, kind, defaults):
            return Source(name, path, True, runtime), self._packed(path, runtime, "", None)
        source = Source(name, path, "Function" in kind and wanted is None, runtime)
        return source, self._packed(path, runtime, under, wanted)

    def _requirements(self, path: Path, runtime: str) -> Requirements | None:
        if not (self._install and runtime and path.is_dir()) or _BUILT in path.parts:
            return None
        try:
            return requirements(path)
        except (OSError, UnicodeDecodeError) as error:
            raise NotPackaged(f"the requirements of {path} cannot be read: {error}") from None

    def _layer(
        self, wanted: Requirements, runtime: str, resource: dict[str, Any], kind: str, defaults: Mapping[str, Any]
    ) -> bool:  # fmt: skip
        """Give the function a layer with its requirements. False: it can have none."""
        own = resource["Properties"].get("Layers") or []
        shared = (defaults.get("Layers") or []) if "Serverless" in kind else []
        if not (isinstance(own, list) and isinstance(shared, list) and len(own) + len(shared) < _LAYERS):
            return False
        built = installed(wanted, runtime, self._say)
        name = f"StokerRequirements{built.key[:16]}"
        if name not in self.layers:
            content = {"S3Bucket": BUCKET, "S3Key": self._upload(built.layer())}
            properties = {"Content": content, "CompatibleRuntimes": [runtime]}
            self.layers[name] = {"Type": "AWS::Lambda::LayerVersion", "Properties": properties}
        resource["Properties"]["Layers"] = [*own, {"Ref": name}]
        return True

    def _packed(self, path: Path, runtime: str, under: str, wanted: Requirements | None) -> str:
        key = (path, runtime if wanted else "", under)
        if key not in self._cache:
            beside = None if wanted is None else installed(wanted, runtime, self._say).tree
            self._cache[key] = self._upload(archive(path, beside, under))
        return self._cache[key]


def archive(path: Path, beside: Path | None = None, under: str = "") -> bytes:
    """Of a folder or a file. Raises NotPackaged."""
    try:
        if path.is_file() and path.suffix in (".zip", ".jar", ".json"):
            return path.read_bytes()
        return pack(path, beside=beside, under=under)
    except OSError as error:
        raise NotPackaged(f"cannot read {error.filename}: {error.strerror}") from None


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
