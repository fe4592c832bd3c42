"""What an interpreter must find when it starts, it finds: variables, a wrapper, libraries; and a layer's .pth files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from served import RUNTIME

Deploy = Callable[..., str]
SOURCE = """
import ctypes, os, sys
def handler(event, context):
    return eval(event, globals(), {"context": context})
"""
WRAPPER = """#!/bin/sh
export WRAPPED="by $0 with $#"
exec "$@"
"""
needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler here")


def packed(**files: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100755 << 16
            archive.writestr(info, content)
    return out.getvalue()


@pytest.fixture
def layer(api: Any, named: str) -> Callable[..., str]:
    def publish(**files: str | bytes) -> str:
        made = api.publish_layer_version(LayerName=named, Content={"ZipFile": packed(**files)})
        return str(made["LayerVersionArn"])

    return publish


@pytest.fixture
def evaluated(api: Any, deploy: Deploy) -> Callable[..., Any]:
    """The value of an expression in the test's function."""
    made: list[str] = []

    def value(expression: str, **more: Any) -> Any:
        name = made[0] if made else deploy(SOURCE, Timeout=30, **more)
        made.append(name)
        found = api.invoke(FunctionName=name, Payload=json.dumps(expression))
        payload = json.loads(found["Payload"].read())
        return payload if "FunctionError" not in found else (payload["errorType"], payload["errorMessage"])

    return value


def variables(**values: str) -> dict[str, Any]:
    return {"Environment": {"Variables": values}}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.c").write_text("int the_answer(void) { return 42; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "a.so", folder / "a.c"], check=True)
    return (folder / "a.so").read_bytes()


@pytest.mark.promise(178)
def test_variables_of_the_interpreter(evaluated: Callable[..., Any]) -> None:
    own = variables(
        PYTHONPATH="/var/task/more", PYTHONHASHSEED="7", PYTHONWARNINGS="error", PYTHONOPTIMIZE="1"
    )
    assert evaluated("sys.path[:2]", **own) == ["/var/task", "/var/task/more"]
    seeded = subprocess.run(
        [sys.executable, "-c", "print(hash('text'))"],
        check=True,
        env={"PYTHONHASHSEED": "7"},
        text=True,
        stdout=subprocess.PIPE,
    )
    assert evaluated("hash('text')") == int(seeded.stdout)
    assert evaluated("[sys.warnoptions, sys.flags.optimize]") == [["error"], 1]
    assert evaluated("[n for n in os.environ if 'TEMPLATE' in n]") == []


@pytest.mark.promise(178)
def test_such_a_function_s_workers_have_tmp_and_deadlines_as_any(evaluated: Callable[..., Any]) -> None:
    assert evaluated("open('/tmp/own', 'w').write('x')", **variables(PYTHONUNBUFFERED="1")) == 1
    assert evaluated("os.path.exists('/tmp/own')") is True
    assert evaluated("os._exit(3)")[0] == "Runtime.ExitError"
    sandboxed = evaluated("os.getuid() == 993")
    assert evaluated("os.path.exists('/tmp/own')") is not sandboxed
    assert evaluated("open('/proc/self/status').read().split('CapAmb:')[1].split()[0]").strip("0") == ""


@pytest.mark.promise(178)
def test_a_wrapper_runs_it(evaluated: Callable[..., Any], layer: Callable[..., str]) -> None:
    arn = layer(**{"wrap/it": WRAPPER})
    seen = evaluated(
        "os.environ['WRAPPED']", Layers=[arn], **variables(AWS_LAMBDA_EXEC_WRAPPER="/opt/wrap/it")
    )
    assert seen == "by /opt/wrap/it with 2"
    assert evaluated("context.function_name").startswith("test-a-wrapper")


@pytest.mark.promise(178)
@pytest.mark.parametrize(
    ("path", "status"), [("/opt/nothing", 127), ("/var/task", 126)], ids=["absent", "folder"]
)
def test_a_wrapper_that_is_none(evaluated: Callable[..., Any], path: str, status: int) -> None:
    failed = evaluated("1", **variables(AWS_LAMBDA_EXEC_WRAPPER=path))
    assert failed == ("Runtime.ExitError", f"Error: Runtime exited with error: exit status {status}")


@needs_cc
@pytest.mark.promise(178)
def test_libraries_of_a_layer(
    evaluated: Callable[..., Any], layer: Callable[..., str], library: bytes
) -> None:
    arn = layer(**{"lib/libanswer.so": library})
    assert evaluated("ctypes.CDLL('libanswer.so').the_answer()", Layers=[arn]) == 42


@needs_cc
@pytest.mark.promise(178)
def test_a_library_is_loaded_before_all(
    evaluated: Callable[..., Any], layer: Callable[..., str], library: bytes
) -> None:
    preload = variables(LD_PRELOAD="/opt/extra/answer.so")
    arn = layer(**{"extra/answer.so": library})
    assert evaluated("ctypes.CDLL(None).the_answer()", Layers=[arn], **preload) == 42


@pytest.mark.promise(178)
def test_pth_files_of_a_layer(evaluated: Callable[..., Any], layer: Callable[..., str]) -> None:
    site = f"python/lib/{RUNTIME}/site-packages"
    files = {
        f"{site}/more.pth": "nested\nimport os; os.environ['PTH'] = 'ran'\n",
        f"{site}/nested/within.py": "x = 5\n",
    }
    arn = layer(**files)
    assert evaluated("[__import__('within').x, os.environ['PTH']]", Layers=[arn]) == [5, "ran"]
