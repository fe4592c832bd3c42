"""Control planes side by side: each has its own region's and account's functions, and nothing of another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from control_plane import ACCOUNT, Plane, not_found

from engine.aws.names import Place
from engine.durable.records import Records
from engine.services.lambda_.records import KINDS


@pytest.mark.parametrize("place", [Place("us-east-1", ACCOUNT), Place("eu-west-1", "222222222222")])
def test_two_places_do_not_see_each_other(plane: Plane, place: Place, tmp_path: Path) -> None:
    other = Plane(tmp_path / "other", place=place)
    role = f"arn:aws:iam::{place.account}:role/r"
    assert plane.create()["FunctionArn"] != other.create(Role=role)["FunctionArn"] == place.function("f")
    plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=1)
    assert other.call("GetFunctionConcurrency", FunctionName="f") == {}
    other.call("DeleteFunction", FunctionName="f")
    assert other.refused("GetFunction", FunctionName="f") == not_found(
        f"Function not found: {place.function('f')}"
    )
    assert plane.call("GetFunction", FunctionName="f")["Configuration"]["State"] == "Active"
    other.close()


def test_a_deleted_function_leaves_no_record(plane: Plane) -> None:
    """What goes with it is read from the table of kinds."""
    plane.create(Tags={"a": "b"}, Publish=True)
    function = {"FunctionName": "f"}
    plane.call("CreateAlias", **function, Name="live", FunctionVersion="1")
    plane.call("CreateFunctionUrlConfig", **function, Qualifier="live", AuthType="NONE")
    plane.call("PutFunctionConcurrency", **function, ReservedConcurrentExecutions=1)
    plane.call("PutFunctionRecursionConfig", **function, RecursiveLoop="Allow")
    plane.call("PutRuntimeManagementConfig", **function, UpdateRuntimeOn="Auto")
    plane.call("PutFunctionEventInvokeConfig", **function, MaximumRetryAttempts=0)
    plane.call(
        "PutProvisionedConcurrencyConfig", **function, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    tables = {table for _, table, *_ in plane.store.load(Records())}
    others = {"code-signing", "code-signing-config", "event-source-mapping", "policy"}
    assert tables == {kind for kind in KINDS if not kind.startswith("layer")} - others
    plane.call("DeleteFunction", **function)
    assert list(plane.store.load(Records())) == []
