"""AWS SAM's transform, by AWS's own translator, in a process of its own.

Importing the translator takes a second and a hundred megabytes: a server does not keep it, and a thread would take the
interpreter from whoever serves requests. `transformed` starts the process; `main` is what runs in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from ..aws.faults import Fault
from .documents import Missing


async def transformed(
    document: Mapping[str, Any], parameters: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """The template that CloudFormation gets. parameters: their values, as text. Raises Fault: what the translator says
    is wrong with it; Missing."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from engine.deploy.sam import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", code,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "AWS_DEFAULT_REGION": region},
    )  # fmt: skip
    try:
        request = json.dumps({"template": document, "parameters": dict(parameters), "region": region})
        output, errors = await process.communicate(request.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Fault("ValidationError", f"Transform AWS::Serverless-2016-10-31 failed with: {last}")
    found = json.loads(output)
    if "missing" in found:
        raise Missing(found["missing"])
    if "fault" in found:
        raise Fault("ValidationError", found["fault"])
    return {name: each for name, each in found["template"].items() if name != "Transform"}


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    outcome: dict[str, Any]
    stdout, sys.stdout = sys.stdout, sys.stderr  # whatever the translator prints
    try:
        outcome = {"template": _translate(request["template"], request["parameters"], request["region"])}
    except ImportError as error:
        outcome = {"missing": f'AWS SAM templates need {error.name}: pip install "stoker[deploy]"'}
    except Fault as fault:
        outcome = {"fault": fault.message}
    stdout.write(json.dumps(outcome))
    stdout.flush()


def _translate(template: dict[str, Any], parameters: dict[str, Any], region: str) -> dict[str, Any]:
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    template.setdefault("Transform", "AWS::Serverless-2016-10-31")
    try:
        translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
        found: dict[str, Any] = translator.translate(template, parameters)
    except InvalidDocumentException as error:
        causes = " ".join(cause.message for cause in error.causes)
        raise Fault(
            "ValidationError",
            "Transform AWS::Serverless-2016-10-31 failed with: Invalid Serverless Application Specification document. "
            f"Number of errors found: {len(error.causes)}. {causes}",
        ) from None
    return found
