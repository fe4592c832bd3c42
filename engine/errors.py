"""Every error a caller can meet, once.

EngineError
├── FunctionError          the function failed: its own exception ("Unhandled"), or one of
│   ├── FunctionTimeout    it ran past its timeout and was killed (Sandbox.Timedout)
│   ├── FunctionCrashed    its process ended before it replied (Runtime.ExitError, Runtime.OutOfMemory)
│   └── InitError          it could not be imported or initialised (Runtime.ImportModuleError, …)
├── TooManyRequests        every worker is busy and the waiting line is full
├── PayloadTooLarge        the event is larger than the engine's limit
├── InvalidEvent           the event is not JSON, or cannot be encoded as JSON
├── InvalidConfiguration   a function's configuration makes no sense (also a ValueError)
├── FunctionNotFound       no such function, or it was removed
├── EngineClosed           the engine was closed
└── UnsupportedPlatform    this machine cannot run the engine
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, which is slow to import
if TYPE_CHECKING:
    from typing import Any


class EngineError(Exception):
    """The root of every error that the engine raises."""


class FunctionError(EngineError):
    """The function failed. Lambda marks its response with X-Amz-Function-Error: Unhandled.

    error_type and error_message are Lambda's errorType and errorMessage; stack_trace is a list of
    lines as `traceback` formats them (the user's frames only); request_id is a UUID.
    """

    function_error = "Unhandled"

    def __init__(
        self,
        error_type: str,
        error_message: str,
        stack_trace: list[str] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(f"{error_type}: {error_message}" if error_message else error_type)
        self.error_type = error_type
        self.error_message = error_message
        self.stack_trace = stack_trace or []
        self.request_id = request_id

    def payload(self) -> dict[str, Any]:
        """The object that Lambda puts into the response's body."""
        return {"errorType": self.error_type, "errorMessage": self.error_message}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class _RemoteTraceback(Exception):
    """The cause of a FunctionError: how Python shows what the handler raised, with its own causes and notes, in the
    worker."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def described(kind: type[FunctionError], error: dict[str, Any], request_id: str = "") -> FunctionError:
    """The error that an error object of Lambda's describes; of an embedded function, with its traceback as the cause,
    and its notes."""
    made = kind(
        str(error.get("errorType", "Unhandled")),
        str(error.get("errorMessage", "")),
        [str(line) for line in error.get("stackTrace") or []],
        request_id,
    )
    if text := error.get("traceback"):
        made.__cause__ = _RemoteTraceback(str(text))
    for note in error.get("notes") or ():
        made.add_note(str(note))
    return made


class FunctionTimeout(FunctionError, TimeoutError):
    """The invocation ran past the function's timeout; its process was killed."""

    def __init__(self, request_id: str, timeout: float) -> None:
        message = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
        super().__init__("Sandbox.Timedout", message, request_id=request_id)
        self.timeout = timeout


class FunctionCrashed(FunctionError):
    """The function's process ended before it replied.

    signal is the signal's name ("SIGSEGV") or None; exit_status the process's exit status or None.
    """

    def __init__(
        self, request_id: str, exit_status: int | None, signal: str | None, oom: bool = False
    ) -> None:
        if oom:
            cause = "Runtime exited with error: signal: killed"
        elif signal is not None:
            cause = f"Runtime exited with error: signal: {signal_description(signal)} ({signal})"
        elif exit_status:
            cause = f"Runtime exited with error: exit status {exit_status}"
        else:
            cause = "Runtime exited without providing a reason"
        error_type = "Runtime.OutOfMemory" if oom else "Runtime.ExitError"
        super().__init__(error_type, f"RequestId: {request_id} Error: {cause}", request_id=request_id)
        self.exit_status = exit_status
        self.signal = signal


class InitError(FunctionError):
    """The function could not be imported or initialised; nothing was invoked."""


class TooManyRequests(EngineError):
    """Every worker is busy and the waiting line is full: try again later. Nothing was accepted."""

    def __init__(
        self, message: str, reason: str = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ) -> None:
        super().__init__(message)
        self.reason = reason


class PayloadTooLarge(EngineError):
    """The event is larger than the engine accepts. Nothing was accepted."""


class InvalidEvent(EngineError):
    """The event is not valid JSON, or is an object that JSON cannot express."""


class InvalidConfiguration(EngineError, ValueError):
    """A function's configuration makes no sense; the message says what would."""


class FunctionNotFound(EngineError, LookupError):
    """There is no such function, or it was removed."""


class EngineClosed(EngineError):
    """The engine is closed, or belongs to another process (it was forked)."""


class UnsupportedPlatform(EngineError):
    """This machine lacks what the engine stands on; the message says what."""


def _rebuild(kind: type[FunctionError], args: tuple[Any, ...], state: dict[str, Any]) -> FunctionError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


_DESCRIPTIONS = {  # as Go's os package words them, which is what Lambda prints
    "SIGABRT": "aborted",
    "SIGALRM": "alarm clock",
    "SIGBUS": "bus error",
    "SIGFPE": "floating point exception",
    "SIGHUP": "hangup",
    "SIGILL": "illegal instruction",
    "SIGINT": "interrupt",
    "SIGKILL": "killed",
    "SIGPIPE": "broken pipe",
    "SIGQUIT": "quit",
    "SIGSEGV": "segmentation fault",
    "SIGTERM": "terminated",
    "SIGTRAP": "trace/breakpoint trap",
}


def signal_name(number: int) -> str:
    """A signal's name ("SIGSEGV"), or "signal 99" for one that has none."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_description(name: str) -> str:
    """A signal in words ("segmentation fault"), as Lambda's messages have it."""
    return _DESCRIPTIONS.get(name, name)
