"""Finding a handler and describing its failures, in the words of AWS's Python runtime."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from . import main_module, tracebacks

Handler = Callable[[Any, Any], Any]
# Members of an embedded function's error object beside Lambda's (errors.py reads them).
TRACEBACK, NOTES = "traceback", "notes"
MISFIT = "Runtime.InvalidHandler"  # what is no handler at all


class RuntimeFault(Exception):
    """A failure that AWS's runtime finds itself, with its error type ("Runtime.HandlerNotFound")."""

    def __init__(self, error_type: str, message: str, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.error_type, self.message, self.trace = error_type, message, list(trace)


def load(module: str, attribute: str, main_file: str = "", main_name: str = "") -> Handler:
    """Import a module and find the handler in it. Raises RuntimeFault; what the module itself raises passes."""
    if not attribute:
        message = f"Bad handler '{module}': not enough values to unpack (expected 2, got 1)"
        raise RuntimeFault("Runtime.MalformedHandlerName", message)
    try:
        loaded = _import_main(main_name, main_file) if main_file else _import(module)
    except ImportError as error:
        message = f"Unable to import module '{module}': {error}"
        raise RuntimeFault("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").rstrip()}']
        message = f"Syntax error in module '{module}': {error}"
        raise RuntimeFault("Runtime.UserCodeSyntaxError", message, trace) from error
    found: Any = loaded
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise RuntimeFault("Runtime.HandlerNotFound", f"Handler '{attribute}' missing on module '{module}'")
    if not callable(found):
        message = f"Handler '{attribute}' on module '{module}' is not callable"
        raise RuntimeFault("Runtime.HandlerNotFound", message)
    return found  # type: ignore[no-any-return]


def _import(module: str) -> Any:
    if module in sys.builtin_module_names:
        message = f"Cannot use built-in module {module} as a handler module"
        raise RuntimeFault("Runtime.BuiltInModuleConflict", message)
    return importlib.import_module(module.replace("/", "."))


def _import_main(name: str, path: str) -> Any:
    module = main_module.install(name, path)
    main_module.load(module)
    return module


_TEXT = 32_768  # characters of a traceback, at most


def error_object(error: BaseException, request_id: str) -> dict[str, Any]:
    """Lambda's error object for what a handler, or its init, raised."""
    if isinstance(error, RuntimeFault):
        kind, message, trace = error.error_type, error.message, error.trace
    else:
        kind, trace = type(error).__name__, tracebacks.stack_trace(error.__traceback__)
        message = tracebacks.message(error)
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def with_traceback(described: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """The error object, and how Python would print the error: with its causes, notes and sub-exceptions."""
    shown = error.__cause__ if isinstance(error, RuntimeFault) else error
    if shown is None:
        return described
    try:
        text = tracebacks.formatted(shown, tracebacks.stack_trace(shown.__traceback__))
    except Exception:  # it cannot be shown
        return described
    if len(text) > _TEXT:
        text = f"{text[: _TEXT // 2]}\n[…]\n{text[-_TEXT // 2 :]}"
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    return {**described, TRACEBACK: text, NOTES: notes}


def exit_status(error: BaseException) -> int:
    """The status that Python would exit with for an uncaught exception, printed to stderr as Python does."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr, flush=True)
    else:
        traceback.print_exception(error)
    return 1


def error_record(error: dict[str, Any], indent: str = " ") -> str:
    """The log record of an error object: its lines, or JSON, if logs are. indent: AWS's runtime has no-break spaces."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON":
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return json.dumps({"timestamp": stamp, "level": "ERROR", **error})
    text = f"[ERROR] {error['errorType']}: {error['errorMessage']}"
    if error["stackTrace"]:
        text += "\nTraceback (most recent call last):\n" + "".join(error["stackTrace"])
    lines = text.rstrip("\n").split("\n")
    return "\n".join(indent * (len(s) - len(s.lstrip(" "))) + s.lstrip(" ") for s in lines)
