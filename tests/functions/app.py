"""The handlers that the tests invoke."""

import fcntl
import logging
import os
import random
import signal
import subprocess
import sys

SEEN_AT_INIT = {"pid": os.getpid(), "random": random.random()}
calls = 0


class Trouble(Exception):
    pass


def echo(event, context):
    return event


def raw_echo(event, context):
    return event


def raw_slice(event, context):
    return event[7:-1]


def raw_kind(event, context):
    return f"{type(event).__name__} {event.readonly} {len(event)}"


def represent(event, context):
    return repr(event)


def evaluate(event, context):
    """The value of a Python expression: for results that JSON has no literal for."""
    import decimal  # noqa: F401

    return eval(event)


def gated(event, context):
    with open(event["arrivals"], "a") as file:
        file.write(repr(event["value"]) + "\n")
    with open(event["gate"]) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    return event["value"]


def pid(event, context):
    return os.getpid()


def count(event, context):
    global calls
    calls += 1
    return calls


def init_facts(event, context):
    return {**SEEN_AT_INIT, "worker": os.getpid(), "now": random.random()}


def environment(event, context):
    return dict(os.environ)


def place(event, context):
    return {
        "cwd": os.getcwd(),
        "path0": sys.path[0],
        "argv": sys.argv,
        "session": os.getsid(0) == os.getpid(),
    }


def cores(event, context):
    return sorted(os.sched_getaffinity(0))


def members(event, context):
    return {
        name: getattr(context, name)
        for name in (
            "aws_request_id", "function_name", "function_version", "memory_limit_in_mb", "invoked_function_arn",
            "log_group_name", "log_stream_name", "tenant_id", "client_context",
        )
    } | {
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "remaining": context.get_remaining_time_in_millis(),
        "repr": repr(context),
    }  # fmt: skip


def remaining_twice(event, context):
    first = context.get_remaining_time_in_millis()
    while context.get_remaining_time_in_millis() >= first - event:
        pass
    return first, context.get_remaining_time_in_millis()


def fail(event, context):
    inner(event)


def inner(event):
    raise Trouble(event)


def fail_chained(event, context):
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("outer") from error


def fail_if_odd(event, context):
    if event % 2:
        raise Trouble(f"odd: {event}")
    return event


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def fail_unprintable(event, context):
    raise Unprintable


def fail_surrogate(event, context):
    raise Trouble("lone \ud800")


def fail_large(event, context):
    raise Trouble("x" * event)


def exit_with(event, context):
    sys.exit(event)


def exit_hard(event, context):
    os._exit(event)


def kill_with(event, context):
    os.kill(os.getpid(), getattr(signal, event))


def interrupt(event, context):
    raise KeyboardInterrupt


def forever(event, context):
    while True:
        signal.pause()


def large(event, context):
    return "x" * (event - 2)  # two quotes


def raw_large(event, context):
    return b"y" * int(bytes(event))


def raw_give(event, context):
    """What a raw handler may return."""
    return {"str": "ü", "none": None, "bytearray": bytearray(b"ab"), "view": event[:2], "dict": {"a": 1}}[
        bytes(event).decode()
    ]


def speak(event, context):
    print("printed", event)
    print("to stderr", event, file=sys.stderr)
    logging.getLogger("mine").warning("logged %s", event)
    os.write(1, f"native {event}\n".encode())
    subprocess.run([sys.executable, "-S", "-c", f"print('child {event}')"], check=True)
    context.log(f"context {event}\n")


def speak_once(event, context):
    print(f"<{event}>")


def speak_much(event, context):
    print("a" * event + "END")


def close_stdout(event, context):
    sys.stdout.close()
    raise Trouble("after close")
