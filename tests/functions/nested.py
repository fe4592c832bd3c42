"""Handlers that invoke other functions of their engine."""

import os
import signal
import threading
import time


def call(event, context):
    """{"name": …, "event": …}"""
    return context.invoke(event["name"], event.get("event"))


def call_bytes(event, context):
    return context.invoke(event["name"], event["text"].encode()).decode()


def deep(event, context):
    """Invokes itself event["levels"] times."""
    if event["levels"] == 0:
        return 0
    return 1 + context.invoke(event["name"], {**event, "levels": event["levels"] - 1})


def caught(event, context):
    try:
        return context.invoke(event["name"], event.get("event"))
    except Exception as error:
        return {"type": type(error).__name__, "text": str(error), "is": vars(error)}


def at_once(event, context):
    """From several threads."""
    got = {}
    threads = [
        threading.Thread(target=lambda n=n: got.update({n: context.invoke(event["name"], n)}))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got[n] for n in range(8)]


def alarmed(event, context):
    """Gives up what it invoked by a signal, then invokes again."""

    def ring(number, frame):
        raise TimeoutError("rung")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        context.invoke(event["name"], event["event"])
    except TimeoutError as error:
        return [str(error), context.invoke(event["other"], "again")]


kept = []


def keep(event, context):
    """Invokes by the context of the invocation before."""
    kept.append(context)
    try:
        return kept[-2].invoke("echo") if len(kept) > 1 else None
    except Exception as error:
        return str(error)


def child(event, context):
    """In a child process."""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        try:
            context.invoke("echo")
        except Exception as error:
            os.write(theirs, str(error).encode())
        os._exit(0)
    return os.read(ours, 1000).decode()


def traced(event, context):
    os.environ["_X_AMZN_TRACE_ID"] = event["trace"]
    return context.invoke(event["name"])


def slow(event, context):
    time.sleep(event)
    return event
