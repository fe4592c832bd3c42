"""Modules that AWS's Python runtime has beside a function's own: `snapshot_restore_py`, and `bootstrap`, which SDKs
change so that they see each invocation.

A package's own module of that name wins. What is here has the names and the behaviour that those SDKs rely on, no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .handler import RuntimeFault

Hook = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Handler = Callable[[Any, Any], Any]


def install() -> None:
    """Before a deployed function is loaded."""
    sys.meta_path.append(_Finder())
    sys.modules["bootstrap"] = _bootstrap()


class _Finder:  # not of importlib.abc's classes, which bring a fifth of all that a worker imports
    """Behind all others: finds snapshot_restore_py when nothing else has."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == "snapshot_restore_py" else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        before: list[Hook] = []
        after: list[Hook] = []

        def register_before_snapshot(
            func: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Callable[..., Any]:
            before.append((func, args, kwargs))
            return func

        def register_after_restore(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
            after.append((func, args, kwargs))
            return func

        module.__dict__.update(
            register_before_snapshot=register_before_snapshot,
            register_after_restore=register_after_restore,
            get_before_snapshot=lambda: before,
            get_after_restore=lambda: after,
        )


class LambdaRuntimeClient:
    """What SDKs wrap to send what they have before an invocation ends."""

    def post_invocation_result(
        self, invoke_id: str, result_data: Any, content_type: str = "application/json", *more: Any
    ) -> None: ...

    def post_invocation_error(
        self, invoke_id: str, error_response_data: Any, xray_fault: Any = None, *more: Any
    ) -> None: ...

    def post_init_error(self, error_response_data: Any, error_type_override: Any = None) -> None: ...


def handle_event_request(
    lambda_runtime_client: LambdaRuntimeClient,
    request_handler: Handler,
    invoke_id: str,
    event_body: Any,
    *_more: Any,
) -> Any:
    """As in AWS's runtime; event_body: the event and its context."""
    event, context = event_body
    try:
        result = request_handler(event, context)
    except Exception as error:
        lambda_runtime_client.post_invocation_error(invoke_id, str(error))
        raise
    lambda_runtime_client.post_invocation_result(invoke_id, result)
    return result


def _bootstrap() -> ModuleType:
    module = ModuleType("bootstrap", "AWS's runtime, as far as SDKs change it.")
    module.__dict__.update(handle_event_request=handle_event_request, LambdaRuntimeClient=LambdaRuntimeClient)
    return module


def as_changed(handler: Handler) -> Handler:
    """The handler as the SDKs that have changed `bootstrap` call it; itself where none has."""
    module = sys.modules.get("bootstrap")
    posts = ("post_invocation_result", "post_invocation_error")
    changed = any(getattr(LambdaRuntimeClient, name) is not _ORIGINAL[name] for name in posts)
    if module is None or not (
        changed or getattr(module, "handle_event_request", None) is not handle_event_request
    ):
        return handler
    client = LambdaRuntimeClient()

    def handle(event: Any, context: Any) -> Any:
        return module.handle_event_request(
            client, handler, context.aws_request_id, (event, context), "application/json", None, None,
            context.invoked_function_arn, context._deadline_ms, context.tenant_id, None,
        )  # fmt: skip

    return handle


def init_failed(error: dict[str, Any]) -> None:
    """The SDKs hear of an init that failed."""
    if "bootstrap" in sys.modules:
        LambdaRuntimeClient().post_init_error(error)


def snapshot_hooks() -> Callable[[], None] | None:
    """Run the before-snapshot hooks; what is to run in each worker after its fork. Raises RuntimeFault."""
    module: Any = sys.modules.get("snapshot_restore_py")
    if module is None:
        return None
    try:
        for function, args, kwargs in reversed(list(module.get_before_snapshot())):
            function(*args, **kwargs)
    except Exception as error:
        raise RuntimeFault("Runtime.BeforeSnapshotError", str(error)) from error
    after = list(module.get_after_restore())

    def restore() -> None:
        try:
            for function, args, kwargs in after:
                function(*args, **kwargs)
        except Exception as error:
            raise RuntimeFault("Runtime.AfterRestoreError", str(error)) from error

    return restore if after else None


_ORIGINAL = dict(vars(LambdaRuntimeClient))
