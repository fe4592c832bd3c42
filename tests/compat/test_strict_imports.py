"""`--strict-imports`: a function that would not find a module on AWS does not find it here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROLE, RUNTIME, Served, zipped

Create = Callable[..., Any]
ASKED = """
import importlib, importlib.util, sys
def handler(event, context):
    found = {}
    for name in event:
        try:
            importlib.import_module(name)
            found[name] = True
        except ModuleNotFoundError as error:
            assert error.name == name.partition(".")[0], error
            assert importlib.util.find_spec(name.partition(".")[0]) is None
            found[name] = str(error)
    return found
"""
HERE = (
    "msgspec",
    "cffi",
    "_cffi_backend",
    "engine",
    "uvicorn",
    "pytest",
    "pip",
    "yaml",
    "engine.worker.worker",
)
EVERYWHERE = (
    "json",
    "sqlite3",
    "ctypes",
    "xml.etree.ElementTree",
    "boto3",
    "urllib3",
    "dateutil",
    "snapshot_restore_py",
)


@pytest.fixture(scope="module", params=["auto", "off"])
def create(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Create]:
    """Creates a function of files, by their names; in a sandbox, and without. What runs it and returns its result."""
    served = Served(
        tmp_path_factory.mktemp("strict") / "state", "--strict-imports", "--sandbox", request.param
    )
    api = served.client()
    names = iter(range(100))

    def made(
        layers: tuple[bytes, ...] = (), variables: dict[str, str] | None = None, **files: str
    ) -> Callable[[Any], Any]:
        name = f"f{next(names)}"
        arns = [
            api.publish_layer_version(LayerName=f"{name}-{n}", Content={"ZipFile": layer})["LayerVersionArn"]
            for n, layer in enumerate(layers)
        ]
        api.create_function(
            FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=30, Layers=arns,
            Code={"ZipFile": zipped(**files)}, Environment={"Variables": variables or {}},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
        return lambda event: json.loads(
            api.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read()
        )

    yield made
    assert served.stop() == 0


@pytest.mark.promise(191)
@pytest.mark.parametrize(
    "variables", [{}, {"PYTHONHASHSEED": "1"}]
)  # forked from the zygote, and a new program
def test_what_this_machine_has_is_not_there(create: Create, variables: dict[str, str]) -> None:
    found = create(**{"app.py": ASKED}, variables=variables)([*HERE, *EVERYWHERE])
    assert {name: found[name] for name in HERE} == {
        name: f"No module named '{name.partition('.')[0]}'" for name in HERE
    }
    assert all(found[name] is True for name in EVERYWHERE), found


@pytest.mark.promise(191)
def test_what_is_in_the_package_or_a_layer_is(create: Create) -> None:
    layer = zipped(
        **{
            "python/yaml.py": "OURS = 2\n",
            f"python/lib/{RUNTIME}/site-packages/pytest/__init__.py": "OURS = 3\n",
        }
    )
    source = """
import msgspec, yaml, pytest, sys
sys.path.insert(0, "/tmp")
def handler(event, context):
    with open("/tmp/written.py", "w") as file: file.write("OURS = 4")
    import written
    return [msgspec.OURS, yaml.OURS, pytest.OURS, written.OURS]
"""
    run = create((layer,), **{"app.py": source, "msgspec/__init__.py": "OURS = 1\n"})
    assert run({}) == [1, 2, 3, 4]


@pytest.mark.promise(191)
def test_what_is_installed_is_listed_alike(create: Create) -> None:
    """By importlib.metadata, as SDKs ask."""
    source = """
from importlib.metadata import PackageNotFoundError, distributions, version
def handler(event, context):
    found = {}
    for name in event:
        try: found[name] = version(name)
        except PackageNotFoundError: found[name] = None
    return found, sorted({each.name.lower() for each in distributions()})
"""
    metadata = {"ours-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n"}
    found, listed = create(**{"app.py": source}, **metadata)(["ours", "pytest", "boto3", "python-dateutil"])
    assert (found["ours"], found["pytest"]) == ("1.0", None)
    assert found["boto3"] and found["python-dateutil"]
    runtime = {"boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"}
    assert set(listed) <= runtime | {"ours", "snapshot-restore-py"}


@pytest.mark.promise(191)
def test_the_error_is_awss(create: Create) -> None:
    failed = create(**{"app.py": "import pytest\ndef handler(e, c): ...\n"})({})
    assert failed["errorType"] == "Runtime.ImportModuleError"
    assert failed["errorMessage"] == "Unable to import module 'app': No module named 'pytest'"


def test_without_it_what_is_here_is_there(tmp_path: Path) -> None:
    served = Served(tmp_path / "state")
    api = served.client()
    try:
        api.create_function(
            FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Timeout=30,
            Code={"ZipFile": zipped(**{"app.py": ASKED})},
        )  # fmt: skip
        api.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0})
        result = json.loads(api.invoke(FunctionName="f", Payload=b'["pytest"]')["Payload"].read())
        assert result == {"pytest": True}
    finally:
        assert served.stop() == 0
