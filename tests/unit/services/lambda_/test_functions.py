"""Functions in the control plane: what AWS was recorded to response, member for member and word for word."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from control_plane import (
    ARN,
    CREATING,
    DONE,
    PASSING,
    REGION,
    RUNTIME,
    STALE,
    UPDATING,
    Plane,
    archive,
    conflict,
    function,
    invalid,
    not_found,
    settled,
)
from hypothesis import given
from hypothesis import strategies as st

from engine.aws.faults import Fault
from engine.services.lambda_.responses import page, timestamp

OTHER = archive("def handler(event, context):\n    return 2\n")


def test_create_answers_every_member_that_aws_does(plane: Plane) -> None:
    code = archive()
    response = plane.ask("CreateFunction", **function("my-function", Environment={"Variables": {}}))
    arn = response["RuntimeVersionConfig"]["RuntimeVersionArn"]
    assert re.fullmatch(rf"arn:aws:lambda:{REGION}::runtime:[0-9a-f]{{64}}", arn)
    assert response == {
        "Architectures": ["x86_64"],
        "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
        "CodeSize": len(code),
        "Description": "",
        "Environment": {"Variables": {}},
        "EphemeralStorage": {"Size": 512},
        "FunctionArn": f"{ARN}function:my-function",
        "FunctionName": "my-function",
        "Handler": "index.handler",
        "LastModified": "2025-11-24T16:00:00.000+0000",
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/my-function"},
        "MemorySize": 128,
        "PackageType": "Zip",
        "RevisionId": response["RevisionId"],
        "Role": "arn:aws:iam::111111111111:role/lambda-role",
        "Runtime": RUNTIME,
        "RuntimeVersionConfig": {"RuntimeVersionArn": arn},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        **CREATING,
        "Timeout": 3,
        "TracingConfig": {"Mode": "PassThrough"},
        "Version": "$LATEST",
    }


def test_a_function_without_environment_has_no_such_member(plane: Plane) -> None:
    assert "Environment" not in plane.create()


def test_what_is_pending_moves_on_with_a_new_revision(plane: Plane) -> None:
    created = plane.create()
    got = plane.call("GetFunctionConfiguration", FunctionName="f")
    assert settled(got) == settled(created)
    assert {name: got[name] for name in got.keys() & PASSING} == DONE
    assert got["RevisionId"] != created["RevisionId"]
    assert plane.call("GetFunctionConfiguration", FunctionName="f") == got  # and then it rests


def test_what_was_pending_when_the_server_died_moves_on_at_the_next_start(tmp_path: Path) -> None:
    first = Plane(tmp_path)
    first.ask("CreateFunction", **function())
    first.close()
    second = Plane(tmp_path)
    assert second.call("GetFunctionConfiguration", FunctionName="f")["State"] == "Active"
    second.close()


def test_get_function(plane: Plane) -> None:
    plane.create()
    got = plane.call("GetFunction", FunctionName="f")
    assert got.keys() == {"Configuration", "Code"}
    assert got["Configuration"] == plane.call("GetFunctionConfiguration", FunctionName="f")
    digest = hashlib.sha256(archive()).hexdigest()
    assert got["Code"] == {
        "RepositoryType": "S3",
        "Location": f"http://127.0.0.1:9001/2015-03-31/functions/f/code-archive/{digest}",
    }
    assert plane.packages.archive(digest).read_bytes() == archive()


def test_get_function_tells_tags_and_concurrency_when_there_are_any(plane: Plane) -> None:
    plane.create(Tags={"team": "blue"})
    with plane.state.change() as change:
        change.put("concurrency", "f", "", {"ReservedConcurrentExecutions": 7})
    got = plane.call("GetFunction", FunctionName="f")
    assert got["Tags"] == {"team": "blue"}
    assert got["Concurrency"] == {"ReservedConcurrentExecutions": 7}


@pytest.mark.parametrize("name", ["f", "function:f", "111111111111:function:f", f"{ARN}function:f"])
def test_a_function_has_many_names(plane: Plane, name: str) -> None:
    plane.create()
    assert plane.call("GetFunction", FunctionName=name)["Configuration"]["FunctionArn"] == f"{ARN}function:f"


def test_the_arn_is_qualified_as_the_request_is(plane: Plane) -> None:
    plane.create()
    for request in ({"FunctionName": "f", "Qualifier": "$LATEST"}, {"FunctionName": "f:$LATEST"}):
        response = plane.call("GetFunctionConfiguration", **request)
        assert (response["FunctionArn"], response["Version"]) == (f"{ARN}function:f:$LATEST", "$LATEST")


@pytest.mark.parametrize("operation", ["GetFunction", "GetFunctionConfiguration"])
def test_functions_that_are_not_there(plane: Plane, operation: str) -> None:
    missing = f"Function not found: {ARN}function:nope"
    assert plane.refused(operation, FunctionName="nope") == not_found(missing)
    assert plane.refused(operation, FunctionName="nope", Qualifier="$LATEST") == not_found(
        f"{missing}:$LATEST"
    )
    plane.create()
    there = f"Function not found: {ARN}function:f"
    for qualifier in ("1221", "aliasdoesnotexist", "valid-with-$-but-doesnotexist"):
        assert plane.refused(operation, FunctionName="f", Qualifier=qualifier) == not_found(
            f"{there}:{qualifier}"
        )
    assert plane.refused(operation, FunctionName="f:$LATEST", Qualifier="1") == invalid(
        "The derived qualifier from the function name does not match the specified qualifier."
    )
    long = "a" * 65
    assert plane.refused(operation, FunctionName=long) == not_found(
        f"Function not found: {ARN}function:{long}"
    )
    other = "arn:aws:lambda:ap-southeast-1:111111111111:function:f"
    assert plane.refused(operation, FunctionName=other) == not_found(
        f"Functions from 'ap-southeast-1' are not reachable in this region ('{REGION}')"
    )
    strange = f"arn:aws:lambda:{REGION}:222222222222:function:f"
    assert plane.refused(operation, FunctionName=strange) == ("AccessDeniedException", None)


def test_names_that_cannot_be_created(plane: Plane) -> None:
    long = "a" * 65
    assert plane.refused("CreateFunction", **function(long)) == invalid(
        f"1 validation error detected: Value '{long}' at 'functionName' failed to satisfy constraint: "
        "Member must have length less than or equal to 64"
    )
    plane.create("a" * 64)
    assert plane.create(f"{ARN}function:by-arn")["FunctionName"] == "by-arn"
    assert plane.create("111111111111:function:by-half")["FunctionArn"] == f"{ARN}function:by-half"
    assert plane.refused("CreateFunction", **function("by-arn")) == conflict("Function already exist: by-arn")


def test_names_that_only_other_kinds_of_functions_have(plane: Plane) -> None:
    plane.create()
    for name in ("a.b", "f:$LATEST.PUBLISHED"):
        assert plane.refused("GetFunction", FunctionName=name) == not_found(
            f"Function not found: {ARN}function:{name}"
        )


def test_the_key_of_the_code_is_told_with_the_code(plane: Plane) -> None:
    key = "arn:aws:kms:eu-west-1:111111111111:key/k"
    plane.create(Code={"ZipFile": archive(), "SourceKMSKeyArn": key})
    assert plane.call("GetFunction", FunctionName="f")["Code"]["SourceKMSKeyArn"] == key
    plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
    assert "SourceKMSKeyArn" not in plane.call("GetFunction", FunctionName="f")["Code"]


@pytest.mark.parametrize("absent", ["Runtime", "Handler"])
def test_a_zip_needs_runtime_and_handler(plane: Plane, absent: str) -> None:
    request = function()
    del request[absent]
    assert plane.refused("CreateFunction", **request) == invalid(
        "Runtime and Handler are mandatory parameters for functions created with deployment packages."
    )


def test_code_that_cannot_be_taken(plane: Plane) -> None:
    unzip = invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
    assert plane.refused("CreateFunction", **function(Code={"ZipFile": b"no zip"})) == unzip
    assert plane.refused("CreateFunction", **function(Code={"ZipFile": b""})) == invalid(
        "Uploaded file must be a non-empty zip"
    )
    assert plane.refused("CreateFunction", **function(Code={})) == invalid(
        "Please provide a source for function code."
    )
    large = ("RequestEntityTooLargeException", "Zipped size must be smaller than 52428800 bytes")
    assert plane.refused("CreateFunction", **function(Code={"ZipFile": bytes(52_428_801)})) == large
    plane.create()
    assert plane.refused("UpdateFunctionCode", FunctionName="f", ImageUri="a/b:c") == invalid(
        "Please don't provide ImageUri when updating a function with packageType Zip."
    )


def test_code_from_s3(tmp_path: Path) -> None:
    requests = []

    def fetch(bucket: str, key: str, version: str | None) -> bytes:
        requests.append((bucket, key, version))
        if bucket != "code":
            raise Fault("InvalidParameterValueException", "Error occurred while GetObject.", Type="User")
        return OTHER

    plane = Plane(tmp_path, fetch)
    there = {"S3Bucket": "code", "S3Key": "f.zip", "S3ObjectVersion": "v1"}
    response = plane.create(Code=there)
    assert response["CodeSha256"] == base64.b64encode(hashlib.sha256(OTHER).digest()).decode()
    assert requests == [("code", "f.zip", "v1")]
    code, _ = plane.refused("UpdateFunctionCode", FunctionName="f", S3Bucket="none", S3Key="f.zip")
    assert code == "InvalidParameterValueException"
    plane.close()


def test_without_an_s3_the_refusal_says_what_to_do(plane: Plane) -> None:
    code, message = plane.refused("CreateFunction", **function(Code={"S3Bucket": "code", "S3Key": "f.zip"}))
    assert code == "InvalidParameterValueException"
    assert "--aws-endpoint" in str(message)


def test_update_code(plane: Plane) -> None:
    created = plane.create()
    response = plane.ask("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
    assert settled(response) == settled(created) | {
        "CodeSha256": base64.b64encode(hashlib.sha256(OTHER).digest()).decode(),
        "CodeSize": len(OTHER),
    }
    assert {name: response[name] for name in response.keys() & PASSING} == UPDATING
    busy = conflict(
        "The operation cannot be performed at this time. "
        f"An update is in progress for resource: {ARN}function:f"
    )
    assert plane.refused("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER) == busy
    assert plane.refused("UpdateFunctionConfiguration", FunctionName="f", Timeout=9) == busy
    plane.settle()
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)


def test_a_dry_run_changes_nothing(plane: Plane) -> None:
    plane.create()
    before = plane.call("GetFunctionConfiguration", FunctionName="f")
    response = plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER, DryRun=True)
    assert response["CodeSize"] == len(OTHER)
    assert plane.call("GetFunctionConfiguration", FunctionName="f") == before
    assert plane.refused("UpdateFunctionCode", FunctionName="f", ZipFile=b"no zip", DryRun=True)[
        0
    ].startswith("Invalid")


def test_revisions(plane: Plane) -> None:
    created = plane.create()
    for operation, more in (
        ("UpdateFunctionCode", {"ZipFile": OTHER}),
        ("UpdateFunctionConfiguration", {"Timeout": 9}),
        ("PublishVersion", {}),
    ):
        assert plane.refused(operation, FunctionName="f", RevisionId=created["RevisionId"], **more) == STALE
        now = plane.call("GetFunctionConfiguration", FunctionName="f")["RevisionId"]
        plane.call(operation, FunctionName="f", RevisionId=now, **more)


def test_code_signing(plane: Plane) -> None:
    none = f"{ARN}code-signing-config:csc-0123456789abcdefg"
    assert plane.refused("CreateFunction", **function(CodeSigningConfigArn=none)) == (
        "CodeSigningConfigNotFoundException",
        "The code signing configuration cannot be found. "
        f"Check that the provided configuration is not deleted: {none}.",
    )
    profile = f"arn:aws:signer:{REGION}:111111111111:/signing-profiles/test"
    made = plane.call("CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": [profile]})
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    plane.create(CodeSigningConfigArn=arn)
    attached = plane.call("GetFunctionCodeSigningConfig", FunctionName="f")
    assert attached == {"CodeSigningConfigArn": arn, "FunctionName": "f"}


def test_list(plane: Plane) -> None:
    plane.create("b", Publish=True)
    plane.create("a")
    listed = plane.call("ListFunctions")
    assert listed.keys() == {"Functions"}
    assert [each["FunctionArn"] for each in listed["Functions"]] == [f"{ARN}function:a", f"{ARN}function:b"]
    hidden = PASSING | {"RuntimeVersionConfig"}
    for each in listed["Functions"]:
        got = plane.call("GetFunctionConfiguration", FunctionName=each["FunctionName"])
        assert each == {name: value for name, value in got.items() if name not in hidden}
    everything = plane.call("ListFunctions", FunctionVersion="ALL")["Functions"]
    assert [each["FunctionArn"].split("function:")[1] for each in everything] == [
        "a:$LATEST",
        "b:$LATEST",
        "b:1",
    ]
    assert all(not each.keys() & hidden for each in everything)


def test_no_function_is_a_replica_of_another_region_s(plane: Plane) -> None:
    plane.create()
    assert plane.call("ListFunctions", FunctionVersion="ALL", MasterRegion="us-east-1") == {"Functions": []}
    assert len(plane.call("ListFunctions", FunctionVersion="ALL", MasterRegion="ALL")["Functions"]) == 1
    assert plane.refused("ListFunctions", MasterRegion="ALL")[0] == "InvalidParameterValueException"


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@given(
    marker=st.one_of(st.text(min_size=1), st.integers().map(lambda n: forged(str(n))), st.text().map(forged))
)
def test_a_marker_is_one_that_was_given_or_refused(marker: str) -> None:
    try:
        items, more = page(["a", "b", "c"], {"Marker": marker, "MaxItems": 2})
    except Fault as fault:
        assert fault.code == "InvalidParameterValueException"
    else:
        assert (items, bool(more)) in ((["a", "b"], True), (["b", "c"], False), (["c"], False), ([], False))


@given(names=st.sets(st.from_regex(r"[a-z]{1,6}", fullmatch=True), max_size=12), size=st.integers(1, 5))
def test_pages_are_the_list(names: set[str], size: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    plane = Plane(tmp_path_factory.mktemp("pages"))
    for name in names:
        plane.create(name)
    found, more = [], {"MaxItems": size}
    while True:
        response = plane.call("ListFunctions", **more)
        assert len(response["Functions"]) <= size
        found += [each["FunctionName"] for each in response["Functions"]]
        if "NextMarker" not in response:
            break
        more["Marker"] = response["NextMarker"]
    assert found == sorted(names)
    plane.close()


def test_delete(plane: Plane) -> None:
    plane.create(Publish=True, Tags={"a": "b"})
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    assert plane.call("DeleteFunction", FunctionName="f") == {"StatusCode": 204}
    missing = not_found(f"Function not found: {ARN}function:f")
    assert plane.refused("DeleteFunction", FunctionName="f") == missing
    assert plane.refused("DeleteFunction", FunctionName="f", Qualifier="1233") == missing
    for table in ("function", "alias", "tags"):
        assert plane.state.owners(table) == []
    assert plane.create()["Version"] == "$LATEST"
    assert "Tags" not in plane.call("GetFunction", FunctionName="f")


def test_delete_a_version(plane: Plane) -> None:
    plane.create(Publish=True)
    plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    plane.call("PublishVersion", FunctionName="f")
    plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="2")
    assert plane.call("DeleteFunction", FunctionName="f", Qualifier="1") == {"StatusCode": 204}
    assert plane.call("DeleteFunction", FunctionName="f", Qualifier="1233") == {"StatusCode": 204}
    assert plane.refused("DeleteFunction", FunctionName="f", Qualifier="2") == conflict(
        "Unable to delete version because the following aliases reference it: [live]"
    )
    versions = plane.call("ListVersionsByFunction", FunctionName="f")["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST", "2"]


@pytest.mark.parametrize("there", [True, False])
def test_what_delete_does_not_do(plane: Plane, there: bool) -> None:
    if there:
        plane.create()
    latest = invalid("$LATEST version cannot be deleted without deleting the function.")
    assert plane.refused("DeleteFunction", FunctionName="f:$LATEST", Qualifier="$LATEST") == latest
    assert plane.refused("DeleteFunction", FunctionName="f", Qualifier="live") == invalid(
        "Deletion of aliases is not currently supported."
    )


def test_every_change_survives_a_restart(tmp_path: Path) -> None:
    first = Plane(tmp_path)
    first.create(Publish=True, Tags={"a": "b"}, Environment={"Variables": {"ENV_A": "1"}})
    first.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    requests = [
        ("GetFunction", {"FunctionName": "f"}),
        ("GetFunction", {"FunctionName": "f:live"}),
        ("ListFunctions", {"FunctionVersion": "ALL"}),
        ("ListAliases", {"FunctionName": "f"}),
        ("GetAccountSettings", {}),
    ]
    before = [first.call(operation, **request) for operation, request in requests]
    first.close()
    second = Plane(tmp_path)
    assert [second.call(operation, **request) for operation, request in requests] == before
    second.close()


@given(st.floats(0, 4e9))
def test_timestamps(now: float) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", timestamp(now))
    assert timestamp(1.9999) == "1970-01-01T00:00:01.999+0000"
