"""AWS SAM's transform, by AWS's own translator, in a process of its own.

Importing the translator takes a second and a hundred megabytes: a server does not keep it for ever, and a thread would
take the interpreter from whoever serves requests. So a Transform starts a process when it is asked, and lets it go when
nobody asks for a minute. `main` is what runs in it: a request a line, an outcome a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..aws.faults import Fault
from .documents import Missing

KEPT = 8  # outcomes: a diff, and then the deployment of the same
IDLE = 60.0  # seconds
_LINE = 64 << 20  # bytes of an outcome: a megabyte of template, and what becomes of it
_FAILED = "Transform AWS::Serverless-2016-10-31 failed with: "


class Transform:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._known: OrderedDict[bytes, str] = OrderedDict()

    async def __call__(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any], region: str
    ) -> dict[str, Any]:
        """The template that CloudFormation gets. parameters: their values, as text. Raises Fault: what the translator
        says is wrong with it; Missing."""
        asked = {"template": document, "parameters": dict(parameters), "region": region}
        request = json.dumps(asked).encode() + b"\n"
        outcome = self._known.get(request)
        if outcome is None:
            async with self._lock:
                outcome = await self._ask(request)
        found = json.loads(outcome)
        if "missing" in found:
            raise Missing(found["missing"])
        self._known[request] = outcome
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        if "fault" in found:
            raise Fault("ValidationError", found["fault"])
        return {name: each for name, each in found["template"].items() if name != "Transform"}

    async def aclose(self) -> None:
        async with self._lock:
            await self._end()

    async def _ask(self, request: bytes) -> str:
        if self._timer is not None:
            self._timer.cancel()
        if self._process is None or self._process.returncode is not None:
            code = f"import sys; sys.path[:] = {sys.path!r}; from engine.deploy.sam import main; main()"
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", code, limit=_LINE,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request)
            await process.stdin.drain()
            outcome = await process.stdout.readline()
        except BaseException as error:  # what it would answer next is nobody's
            await self._end()
            if isinstance(error, OSError | ValueError):
                raise Fault("ValidationError", f"{_FAILED}{error}") from None
            raise
        if not outcome:
            await self._end()
            raise Fault("ValidationError", f"{_FAILED}the translator ended")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(IDLE, lambda: loop.create_task(self.aclose()))
        return outcome.decode()

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def main() -> None:
    """Until nobody is there to ask."""
    stdout, sys.stdout = sys.stdout, sys.stderr  # whatever the translator prints
    for line in sys.stdin.buffer:
        request = json.loads(line)
        outcome: dict[str, Any]
        try:
            outcome = {"template": _translate(request["template"], request["parameters"], request["region"])}
        except ImportError as error:
            outcome = {"missing": f'AWS SAM templates need {error.name}: pip install "stoker[deploy]"'}
        except Fault as fault:
            outcome = {"fault": fault.message}
        except Exception as error:
            outcome = {"fault": f"{_FAILED}{type(error).__name__}: {error}"}
        stdout.write(json.dumps(outcome) + "\n")
        stdout.flush()


def _translate(template: dict[str, Any], parameters: dict[str, Any], region: str) -> dict[str, Any]:
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    try:
        translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
        found: dict[str, Any] = translator.translate(template, parameters)
    except InvalidDocumentException as error:
        causes = " ".join(cause.message for cause in error.causes)
        raise Fault(
            "ValidationError",
            f"{_FAILED}Invalid Serverless Application Specification document. "
            f"Number of errors found: {len(error.causes)}. {causes}",
        ) from None
    return found
