"""Row 50: a deployed function has Lambda's files and its own environment, and nothing of the server's or another's."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from engine._native import lib
from served import ROLE, RUNTIME, Served

from engine.hosting.environment import of_functions

SANDBOXES = lib.stk_namespaces_probe() == 0
pytestmark = pytest.mark.skipif(not SANDBOXES, reason="this machine has no user namespaces for sandboxes")
SECRET = "token-of-the-ci"
ROFS = "[Errno 30] Read-only file system"
PROBE = """
import ctypes, json, os, sys, traceback

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096


def attempt(what):
    try:
        return eval(what)
    except OSError as error:
        return f"[Errno {error.errno}] {error.strerror}"


def write(path):
    with open(path, "w") as file:
        file.write("x")
    return "written"


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def capabilities():
    # all that are permitted, effective
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    data[0], data[3] = data[1], data[4]
    libc.capset(header, data)


def break_out():
    # what code with all of a namespace's capabilities tries; in a child, for this process is still needed
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, json.dumps(all_attempts()).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as results:
        os.wait()
        return json.load(results)


def all_attempts():
    done = []
    capabilities()
    for namespace in (0, CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER):
        if namespace:
            libc.unshare(namespace)
        for place in (b"/var/task", b"/opt", b"/", b"/usr", b"/etc"):
            libc.umount2(place, 2)
            libc.mount(None, place, None, MS_REMOUNT | MS_BIND, None)
            libc.mount(None, place, None, MS_REMOUNT, None)
        done.append(attempt("write('/var/task/app.py')"))
        done.append(attempt("write('/usr/bin/written')"))
        done.append(attempt("os.listdir('/home')"))
    return done


def processes(name):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(read(f"/proc/{pid}/{name}") if name == "environ" else os.listdir(f"/proc/{pid}/{name}"))
        except OSError:
            pass
    return found


def listed(path):  # but for what is shared, and what the interpreter is made of
    visible = [sys.prefix, sys.base_prefix, os.environ["LAMBDA_RUNTIME_DIR"], *sys.path]
    kept = {each.split("/")[2] for each in visible if each.startswith("/tmp/")}
    return sorted(name for name in os.listdir(path) if name not in kept and not name.startswith("pytest-of-"))


INIT = {}


def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    return {what: attempt(what) for what in event["do"]}
"""


def archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    return out.getvalue()


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sandboxes")
    with environment(CI_TOKEN=SECRET, AWS_PROFILE="of-the-servers-user", TMPDIR=str(folder)):
        served = Served(folder / "state")
    yield served
    assert served.stop() == 0


Do = Callable[..., Any]


@pytest.fixture
def function(server: Served, request: pytest.FixtureRequest) -> Iterator[Do]:
    """Deploys the probe, with more files or another source; invoked by what it is to evaluate."""
    api = server.client()
    made: list[str] = []

    def deployed(source: str = PROBE, files: dict[str, str] | None = None, **more: Any) -> Do:
        name = f"{request.node.name.replace('_', '-').partition('[')[0][-50:]}-{len(made)}"
        code = {"ZipFile": archive({"app.py": source, **(files or {})})}
        api.create_function(
            FunctionName=name,
            Runtime=RUNTIME,
            Role=ROLE,
            Handler="app.handler",
            Code=code,
            Timeout=60,
            **more,
        )
        made.append(name)

        def do(*what: str, **event: Any) -> Any:
            payload = json.dumps({"do": what, **event})
            result = json.loads(api.invoke(FunctionName=name, Payload=payload)["Payload"].read())
            return result[what[0]] if len(what) == 1 and what[0] in result else result

        return do

    yield deployed
    for name in made:
        api.delete_function(FunctionName=name)


@pytest.mark.promise(100)
def test_row_50_files_are_as_on_lambda(server: Served, function: Do) -> None:
    layer = server.client().publish_layer_version(
        LayerName="data", Content={"ZipFile": archive({"data": "of a layer"})}
    )
    do = function(files={"cfg.json": '{"a": 1}'}, Layers=[layer["LayerVersionArn"]])
    assert do("read('/var/task/cfg.json')") == '{"a": 1}'
    assert do("read('/opt/data')") == "of a layer"
    assert do("read(__file__.replace('app.py', 'cfg.json'))") == '{"a": 1}'
    assert do("__file__, os.getcwd(), os.environ['LAMBDA_TASK_ROOT'], sys.path[0]") == [
        "/var/task/app.py", "/var/task", "/var/task", "/var/task",
    ]  # fmt: skip
    for path in ("/var/task/beside", "/var/task/cfg.json", "/opt/data", "/etc/passwd", "/usr/x", "/x"):
        assert do(f"write({path!r})") == ROFS, path
    assert do("write('/tmp/x')", "read('/tmp/x')") == {"write('/tmp/x')": "written", "read('/tmp/x')": "x"}
    assert do("os.getuid(), __import__('getpass').getuser()") == [993, "sbx_user1051"]
    failed = do(fail="it")
    assert failed["stackTrace"][0].startswith('  File "/var/task/app.py", line ')


@pytest.mark.promise(101)
def test_row_50_the_environment_is_lambdas_and_its_own(function: Do) -> None:
    do = function(Environment={"Variables": {"OWN": "value"}})
    variables = do("dict(os.environ)")
    assert set(variables) - set(of_functions()) == {
        "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_DISABLE_HOST_PREFIX_INJECTION", "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV", "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "AWS_XRAY_CONTEXT_MISSING", "AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT",
        "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT",
        "LANG", "LD_LIBRARY_PATH", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OWN", "PWD",
        "STOKER_ENDPOINT", "STOKER_FUNCTION_ARN", "TZ", "_HANDLER", "_X_AMZN_TRACE_ID",
    } - set(of_functions())  # fmt: skip
    assert variables["OWN"] == "value"
    assert variables["LD_LIBRARY_PATH"] == "/var/task:/var/task/lib"
    # Nor is it to be had from any process: a zygote's first environment, the server's.
    found = do("processes('environ')")
    assert len(found) > 0
    assert not [text for text in found if SECRET in text]
    assert (
        do("__import__('boto3').client('lambda').list_functions()['ResponseMetadata']['HTTPStatusCode']")
        == 200
    )


@pytest.mark.promise(100)
def test_row_50_the_state_directory_is_not_there(server: Served, function: Do) -> None:
    state = server.log.with_suffix("")
    do = function()
    assert "stoker.db" in os.listdir(state)
    # Not where it is, though it is in a directory that is shared; nor through another process's eyes.
    assert do(f"os.listdir({str(state)!r})") in ([], "[Errno 13] Permission denied")
    for name in ("root", "cwd"):
        assert not [names for names in do(f"processes({name + str(state)!r})") if names], name
    assert do("os.listdir('/var/task')") == ["app.py"]
    assert "home" not in do("os.listdir('/')")


@pytest.mark.promise(100)
@pytest.mark.parametrize("when", ["in the init", "in the handler"])
def test_row_50_there_is_no_way_out(server: Served, function: Do, when: str) -> None:
    """Even code that uses every capability it can get changes nothing of its package, nor of the machine."""
    source = PROBE.replace("INIT = {}", "INIT = break_out()") if when == "in the init" else PROBE
    do = function(source)
    tried = do("INIT") if when == "in the init" else do("break_out()")
    assert tried == [ROFS, ROFS, "[Errno 2] No such file or directory"] * 3
    assert not os.path.exists("/usr/bin/written")
    again = function(source)  # of the same bytes
    assert again("read('/var/task/app.py')") == source


@pytest.mark.promise(100)
def test_row_50_each_worker_has_its_own_tmp(server: Served, function: Do, tmp_path: Path) -> None:
    shared = server.log.parent  # where two that run at once can meet
    source = PROBE.replace("INIT = {}", "write('/tmp/of-the-init')\nos.mkdir('/tmp/d'); write('/tmp/d/e')")
    do = function(source, EphemeralStorage={"Size": 600})
    meet = (
        "write('/tmp/mine' + '{me}'), write('{shared}/{me}'), "
        "[None for _ in iter(lambda: os.path.exists('{shared}/{other}'), True)], listed('/tmp')"
    )
    with ThreadPoolExecutor(2) as pool:
        seen = list(
            pool.map(
                lambda pair: do(meet.format(me=pair[0], other=pair[1], shared=shared))[-1],
                [("a", "b"), ("b", "a")],
            )
        )
    assert seen == [["d", "minea", "of-the-init"], ["d", "mineb", "of-the-init"]]
    assert do("read('/tmp/d/e')") == "x"
    room = "os.posix_fallocate(os.open('/tmp/big', os.O_CREAT | os.O_RDWR), 0, {} << 20)"
    assert do(room.format(500)) is None
    assert do(room.format(601)) == "[Errno 28] No space left on device"
    other = function()
    assert other("listed('/tmp')") == []
    assert other(room.format(513)) == "[Errno 28] No space left on device"


@pytest.mark.promise(100)
def test_row_50_without_sandboxes_altered_code_does_not_run(tmp_path: Path) -> None:
    served = Served(tmp_path / "state", "--sandbox", "off")
    api = served.client()
    code = {"ZipFile": archive({"app.py": "import os\ndef handler(e, c):\n    return __file__\n"})}
    api.create_function(FunctionName="f", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)
    path = Path(json.loads(api.invoke(FunctionName="f")["Payload"].read()))
    for each in (path, path.parent):
        assert not stat.S_IMODE(each.lstat().st_mode) & 0o222, each
    os.chmod(path, 0o644)
    path.write_text("def handler(e, c):\n    return 'altered'\n")
    api.create_function(FunctionName="g", Runtime=RUNTIME, Role=ROLE, Handler="app.handler", Code=code)
    assert json.loads(api.invoke(FunctionName="g")["Payload"].read()) == str(path)
    assert served.stop() == 0


@pytest.mark.promise(101)
def test_row_50_what_is_passed_and_shared_by_name(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with environment(PASSED="through", CI_TOKEN=SECRET):
        (tmp_path / "server").mkdir()
        served = Served(tmp_path / "server" / "state", "--pass-env", "PASSED", "--share", str(shared))
    api = served.client()
    api.create_function(
        FunctionName="f",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": archive({"app.py": PROBE})},
    )

    def do(what: str) -> Any:
        payload = json.dumps({"do": [what]})
        return json.loads(api.invoke(FunctionName="f", Payload=payload)["Payload"].read())[what]

    assert do("os.environ.get('PASSED')") == "through"
    assert do("os.environ.get('CI_TOKEN')") is None
    assert do(f"write('{shared}/x')") == "written"
    assert (shared / "x").read_text() == "x"
    assert served.stop() == 0


@pytest.mark.promise(100)
def test_row_50_an_unprivileged_user_has_sandboxes_too() -> None:
    """The namespaces need no root: tried as nobody, in a child."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                # A process that changed its user is not dumpable, and so not its own /proc's owner, until it says so.
                __import__("ctypes").CDLL(None).prctl(4, 1, 0, 0, 0)
            os._exit(-lib.stk_namespaces_probe())
        os._exit(255)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
