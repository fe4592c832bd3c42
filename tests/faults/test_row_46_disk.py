"""Row 46, the disk's part: what no version has any more leaves it, and what runs keeps what it has."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import ECHO, ROLE, RUNTIME, Served

from engine.hosting.archives import pack

from .conftest import wait_until
from .deployed import SOURCE, deployed, trees, works


@pytest.mark.promise(92)
def test_row_46_packages_leave_the_disk_with_the_last_version_that_has_them(tmp_path: Path) -> None:
    """While the server runs: updated, published, shared, a layer's, deleted; what is needed stays."""
    state = tmp_path / "state"
    server = Served(state)
    api = server.client()
    deployed(api, "one", tmp_path)
    deployed(api, "two", tmp_path)
    works(api, ["one", "two"])
    assert len(trees(state)) == 4
    (tmp_path / "app.py").write_text(SOURCE)
    for n, name in enumerate(("one", "two")):
        api.update_function_code(FunctionName=name, ZipFile=pack(tmp_path / "app.py"))
        api.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0})
        wait_until(lambda n=n: len(trees(state)) == 4 - n)  # both share it then
    works(api, ["one", "two"])
    api.publish_version(FunctionName="one")
    for name in ("one", "two"):
        api.delete_layer_version(LayerName=name, VersionNumber=1)
    api.delete_function(FunctionName="two")
    wait_until(lambda: len(trees(state)) == 2)
    works(api, ["one"])
    link = api.get_function(FunctionName="one")["Code"]["Location"]
    digest = link.rsplit("/", 1)[1]
    assert base64.b64decode(api.get_function_configuration(FunctionName="one")["CodeSha256"]).hex() == digest
    assert (state / "code" / f"{digest}.zip").exists()
    api.delete_function(FunctionName="one")
    wait_until(lambda: not list((state / "code").iterdir()) and not list((state / "opt").iterdir()))
    assert server.stop() == 0


LATE = """
import os, time
def handler(event, context):
    open(event["began"], "w").close()
    while not os.path.exists(event["go"]): time.sleep(0.005)
    import late, shared
    return late.NAME + shared.NAME
"""


@pytest.mark.promise(92)
@pytest.mark.parametrize("end", ["delete", "update"])
def test_row_46_what_an_invocation_uses_stays_until_its_end(tmp_path: Path, end: str) -> None:
    """Its function is deleted, or has other code and no layer, and then it imports a module of its package."""
    state = tmp_path / "state"
    for name, files in {
        "code": {"app.py": LATE, "late.py": "NAME = 'late'"},
        "layer": {"python/shared.py": "NAME = ' and shared'"},
        "other": {"app.py": ECHO},
    }.items():
        for file, source in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(source)
    server = Served(state)
    api, other = server.client(), {"ZipFile": pack(tmp_path / "other")}
    arn = api.publish_layer_version(LayerName="l", Content={"ZipFile": pack(tmp_path / "layer")})[
        "LayerVersionArn"
    ]
    common = {"Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler", "Timeout": 60}
    api.create_function(FunctionName="f", Code={"ZipFile": pack(tmp_path / "code")}, Layers=[arn], **common)
    api.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0})
    api.delete_layer_version(LayerName="l", VersionNumber=1)
    began, go = tmp_path / "began", tmp_path / "go"
    event = json.dumps({"began": str(began), "go": str(go)})
    with ThreadPoolExecutor(1) as threads:
        invocation = threads.submit(server.client().invoke, FunctionName="f", Payload=event)
        try:
            wait_until(began.exists, 30.0)
            had, merged = trees(state), set((state / "opt").iterdir())
            assert len(had) == 2 and len(merged) == 1
            if end == "delete":
                api.delete_function(FunctionName="f")
            else:
                api.update_function_configuration(FunctionName="f", Layers=[])
                api.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 0})
                api.update_function_code(FunctionName="f", **other)
            # What another one leaves behind goes after it: by then it would be gone.
            api.create_function(
                FunctionName="g", Code={"ZipFile": pack(tmp_path / "layer" / "python")}, **common
            )
            api.delete_function(FunctionName="g")
            wait_until(lambda: len(trees(state) - had) == (end == "update"))
            assert had <= trees(state) and merged <= set((state / "opt").iterdir())
        finally:
            go.touch()
        assert json.loads(invocation.result()["Payload"].read()) == "late and shared"
    wait_until(lambda: not had & trees(state) and not list((state / "opt").iterdir()), 30.0)
    assert server.stop() == 0
