"""The AWS CLI, pointed at a server by nothing but AWS_ENDPOINT_URL: what its users type does what it does on AWS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import AWS_CLI, needs_aws_cli
from served import ROLE, ROOT, RUNTIME, Served
from support import until

from engine.hosting.archives import pack

pytestmark = needs_aws_cli
Deploy = Callable[..., str]
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture(scope="module")
def prepared() -> Iterator[subprocess.Popen[str]]:
    """See aws_cli.py."""
    command = [str(AWS_CLI.with_name("python")), str(ROOT / "tests/aws_cli.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


class Cli:
    """The command `aws`, in a directory of its own, that finds no configuration but its environment."""

    def __init__(self, url: str, directory: Path, prepared: subprocess.Popen[str]) -> None:
        self.directory = directory
        self._prepared = prepared
        nowhere = str(directory / "nowhere")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.environment |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "AWS_MAX_ATTEMPTS": "1",  # a response that a retry would hide is to be seen
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert self._prepared.stdin is not None and self._prepared.stdout is not None
        stdout, stderr = self.directory / "stdout", self.directory / "stderr"
        command = {
            "arguments": arguments, "directory": str(self.directory), "environment": self.environment,
            "stdout": str(stdout), "stderr": str(stderr),
        }  # fmt: skip
        self._prepared.stdin.write(json.dumps(command) + "\n")
        self._prepared.stdin.flush()
        status = int(self._prepared.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, stdout.read_text(), stderr.read_text())

    def started(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """As a user starts it."""
        return subprocess.run(
            [str(AWS_CLI), *arguments],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def text(self, *arguments: str) -> str:
        """What it prints when it succeeds."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __call__(self, *arguments: str) -> Any:
        """What it prints when it succeeds, as JSON."""
        return json.loads(self.text(*arguments))

    def error(self, *arguments: str) -> str:
        """What it says when the service refuses."""
        done = self.run(*arguments)
        assert done.returncode in (254, 255), done.stdout  # version 2, and 1
        assert done.stdout == ""
        return done.stderr.strip()

    def zip(self, source: str) -> str:
        """The argument for a package with this app.py."""
        file = self.directory / "app.py"
        file.write_text(source)
        (self.directory / "app.zip").write_bytes(pack(file))
        return "fileb://app.zip"

    @property
    def payload(self) -> Any:
        """What the last `aws lambda invoke … out` brought."""
        return json.loads((self.directory / "out").read_text())


@pytest.fixture
def aws(server: Served, tmp_path: Path, prepared: subprocess.Popen[str]) -> Cli:
    directory = tmp_path / "aws"
    directory.mkdir()
    return Cli(server.url, directory, prepared)


def test_a_function_from_its_creation_to_its_end(aws: Cli, named: str) -> None:
    made = aws(
        "lambda", "create-function", "--function-name", named, "--runtime", RUNTIME, "--role", ROLE,
        "--handler", "app.handler", "--zip-file", aws.zip("def handler(event, c):\n    return event['n'] + 1\n"),
        "--environment", "Variables={ONE=1,TWO=two words}", "--tags", "team=a", "--timeout", "7",
    )  # fmt: skip
    assert made["FunctionArn"] == ARN + named
    assert made["State"] == "Pending"
    assert (made["Timeout"], made["Environment"]) == (7, {"Variables": {"ONE": "1", "TWO": "two words"}})
    assert aws.text("lambda", "wait", "function-active-v2", "--function-name", named) == ""
    response = aws("lambda", "invoke", "--function-name", named, "--payload", '{"n": 41}', "out")
    assert response == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert aws.payload == 42
    got = json.loads(aws.started("lambda", "get-function", "--function-name", named).stdout)
    assert got["Configuration"]["State"] == "Active"
    assert got["Tags"] == {"team": "a"}
    with urllib.request.urlopen(got["Code"]["Location"]) as package:
        assert package.read() == (aws.directory / "app.zip").read_bytes()
    aws.text("lambda", "delete-function", "--function-name", named)
    assert aws.error("lambda", "get-function", "--function-name", named) == (
        "An error occurred (ResourceNotFoundException) when calling the GetFunction operation: "
        f"Function not found: {ARN}{named}"
    )


def test_the_tail_of_the_log(aws: Cli, deploy: Deploy) -> None:
    name = deploy("def handler(event, c):\n    print('a', 'word')\n    raise KeyError('k')\n")
    tail = aws.text(
        "lambda", "invoke", "--function-name", name, "--log-type", "Tail",
        "--query", "[FunctionError, LogResult]", "--output", "text", "out",
    )  # fmt: skip
    error, log = tail.split()
    lines = base64.b64decode(log).decode().splitlines()
    assert error == "Unhandled"
    assert lines[0].startswith("START RequestId: ")
    assert lines[1] == "a word"
    assert lines[2] == "[ERROR] KeyError: 'k'"
    assert lines[-1].startswith("REPORT RequestId: ")
    assert (aws.payload["errorType"], aws.payload["errorMessage"]) == ("KeyError", "'k'")


def test_an_event_is_accepted_and_run(aws: Cli, deploy: Deploy) -> None:
    note, payload = aws.directory / "note", aws.directory / "payload"
    name = deploy("def handler(e, c):\n    open(e, 'w').close()\n")
    payload.write_text(json.dumps(str(note)))
    response = aws(
        "lambda", "invoke", "--function-name", name, "--invocation-type", "Event",
        "--payload", "fileb://payload", "out",
    )  # fmt: skip
    assert response == {"StatusCode": 202}
    assert (aws.directory / "out").read_bytes() == b""
    until(note.exists)


def test_new_code_and_a_new_configuration(aws: Cli, deploy: Deploy) -> None:
    name = deploy("def handler(event, c):\n    return 'old'\n")
    source = "import os\ndef handler(event, c):\n    return [os.environ['AGE'], c.memory_limit_in_mb]\n"
    code = aws("lambda", "update-function-code", "--function-name", name, "--zip-file", aws.zip(source))
    aws.text("lambda", "wait", "function-updated-v2", "--function-name", name)
    response = aws(
        "lambda", "update-function-configuration", "--function-name", name, "--memory-size", "256",
        "--environment", "Variables={AGE=new}",
    )  # fmt: skip
    assert response["CodeSha256"] == code["CodeSha256"]
    assert response["RevisionId"] != code["RevisionId"]
    aws.text("lambda", "wait", "function-updated-v2", "--function-name", name)
    aws("lambda", "invoke", "--function-name", name, "out")
    assert aws.payload == ["new", "256"]


def test_versions_and_aliases(aws: Cli, deploy: Deploy) -> None:
    name = deploy("def handler(event, c):\n    return c.invoked_function_arn\n")
    published = aws("lambda", "publish-version", "--function-name", name, "--description", "the first")
    assert (published["Version"], published["FunctionArn"]) == ("1", f"{ARN}{name}:1")
    aws.text("lambda", "wait", "published-version-active", "--function-name", name, "--qualifier", "1")
    alias = aws(
        "lambda", "create-alias", "--function-name", name, "--name", "live", "--function-version", "1"
    )
    assert alias["AliasArn"] == f"{ARN}{name}:live"
    response = aws("lambda", "invoke", "--function-name", name, "--qualifier", "live", "out")
    assert (response["ExecutedVersion"], aws.payload) == ("1", f"{ARN}{name}:live")
    versions = aws(
        "lambda", "list-versions-by-function", "--function-name", name, "--query", "Versions[].Version"
    )
    assert versions == ["$LATEST", "1"]


def test_functions_are_listed_in_pages(aws: Cli, api: Any, deploy: Deploy, tmp_path: Path) -> None:
    code = {"ZipFile": pack(tmp_path / "app.py")} if deploy() else {}
    more = [f"listed-{n}" for n in range(3)]
    for name in more:
        api.create_function(FunctionName=name, Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)
    try:
        all = [each["FunctionName"] for each in api.list_functions()["Functions"]]
        assert set(more) < set(all)
        # One request for each function, put together by the CLI.
        paged = aws("lambda", "list-functions", "--page-size", "1", "--query", "Functions[].FunctionName")
        assert paged == all
        first = aws("lambda", "list-functions", "--max-items", "2", "--page-size", "1")
        rest = aws("lambda", "list-functions", "--starting-token", first["NextToken"])
        pages = [[each["FunctionName"] for each in page["Functions"]] for page in (first, rest)]
        assert pages == [all[:2], all[2:]]
    finally:
        for name in more:
            api.delete_function(FunctionName=name)


def test_a_function_url(aws: Cli, deploy: Deploy) -> None:
    name = deploy("def handler(e, c):\n    return e['rawPath']\n")
    made = aws(
        "lambda", "create-function-url-config", "--function-name", name, "--auth-type", "NONE",
        "--cors", "AllowOrigins=https://here.example,AllowMethods=GET,POST",
    )  # fmt: skip
    assert made["Cors"] == {"AllowOrigins": ["https://here.example"], "AllowMethods": ["GET", "POST"]}
    with urllib.request.urlopen(made["FunctionUrl"] + "a/b") as response:
        assert response.read() == b"/a/b"
    twice = aws.error("lambda", "create-function-url-config", "--function-name", name, "--auth-type", "NONE")
    assert twice.startswith("An error occurred (ResourceConflictException) when calling ")
    got = aws("lambda", "get-function-url-config", "--function-name", name)
    assert got["FunctionUrl"] == made["FunctionUrl"]


def test_reserved_concurrency(aws: Cli, deploy: Deploy) -> None:
    name = deploy()
    put = ("lambda", "put-function-concurrency", "--function-name", name, "--reserved-concurrent-executions")
    assert aws(*put, "0") == {"ReservedConcurrentExecutions": 0}
    error = aws.error("lambda", "invoke", "--function-name", name, "out")
    assert error.startswith("An error occurred (TooManyRequestsException) when calling the Invoke operation")
    assert error.endswith("Rate Exceeded.")
    aws.text("lambda", "delete-function-concurrency", "--function-name", name)
    assert aws("lambda", "invoke", "--function-name", name, "out")["StatusCode"] == 200


def test_tags(aws: Cli, deploy: Deploy) -> None:
    arn = ARN + deploy(Tags={"team": "a"})
    assert aws.text("lambda", "tag-resource", "--resource", arn, "--tags", "team=b,cost=a b") == ""
    assert aws("lambda", "list-tags", "--resource", arn) == {"Tags": {"team": "b", "cost": "a b"}}
    aws.text("lambda", "untag-resource", "--resource", arn, "--tag-keys", "team")
    assert aws("lambda", "list-tags", "--resource", arn, "--query", "Tags") == {"cost": "a b"}


def test_its_log_is_read(aws: Cli, server: Served, api: Any, deploy: Deploy) -> None:
    # Version 1 has no `aws logs tail`; filter-log-events, interleaved, is what that asks for.
    name = deploy("def handler(event, c):\n    print('says', event)\n")
    for event in (b"1", b"2"):
        api.invoke(FunctionName=name, Payload=event)
    group = f"/aws/lambda/{name}"
    logs = server.client("logs")

    def ended() -> bool:
        groups = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        events = logs.filter_log_events(logGroupName=group)["events"] if groups else []
        return sum(event["message"].startswith("REPORT") for event in events) == 2

    until(ended)
    command = ("logs", "filter-log-events", "--log-group-name", group, "--interleaved", "--start-time", "1")
    lines = aws(*command, "--query", "events[].message")
    kinds = ["INIT_START", "START", "says", "END", "REPORT", "START", "says", "END", "REPORT"]
    assert [line.split()[0] for line in lines] == kinds
    assert aws(*command, "--filter-pattern", "says", "--query", "events[].message") == [
        "says 1\n",
        "says 2\n",
    ]
    streams = aws("logs", "describe-log-streams", "--log-group-name", group, "--order-by", "LastEventTime")
    stream = streams["logStreams"][0]["logStreamName"]
    assert "[$LATEST]" in stream
    got = aws("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream)
    assert [event["message"] for event in got["events"]] == lines


def test_who_one_is(aws: Cli) -> None:
    assert aws("sts", "get-caller-identity") == {
        "UserId": "000000000000",
        "Account": "000000000000",
        "Arn": "arn:aws:iam::000000000000:root",
    }


def test_refusals(aws: Cli, deploy: Deploy) -> None:
    assert aws.error("lambda", "invoke", "--function-name", "nobody", "out") == (
        "An error occurred (ResourceNotFoundException) when calling the Invoke operation: "
        f"Function not found: {ARN}nobody:$LATEST"
    )
    update = (
        "lambda",
        "update-function-configuration",
        "--function-name",
        deploy(),
        "--handler",
        "app handler",
    )
    assert aws.error(*update) == (
        "An error occurred (ValidationException) when calling the UpdateFunctionConfiguration operation: "
        "1 validation error detected: Value 'app handler' at 'handler' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [^\s]+"
    )
