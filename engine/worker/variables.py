"""The environment variables that a function sees, as Lambda sets them."""

from __future__ import annotations

import os
import sys

from .. import wire

ACCOUNT = "000000000000"
REGION = "us-east-1"


def lambda_variables(spec: wire.FunctionSpec) -> dict[str, str]:
    """What is added to the engine's own environment for one function, or to nothing for one that has a base; its own
    variables win."""
    if spec.plain:
        return {**_threads(), **spec.environment}
    deployed = spec.deployed
    base = deployed.base or {}
    inherited = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    region = spec.environment.get("AWS_REGION") or base.get("AWS_REGION") or inherited
    arn = deployed.arn or f"arn:aws:lambda:{region}:{ACCOUNT}:function:{spec.name}"
    variables = {
        **base,
        "_HANDLER": f"{spec.module}.{spec.attribute}",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
        "AWS_LAMBDA_FUNCTION_VERSION": deployed.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": deployed.initialization
        or ("snap-start" if spec.snapshot else "on-demand"),
        "AWS_LAMBDA_LOG_GROUP_NAME": deployed.log_group or f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_TASK_ROOT": spec.code,
        "LAMBDA_RUNTIME_DIR": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        "STOKER_FUNCTION_ARN": arn,
        "TZ": ":UTC",
        "LANG": os.environ.get("LANG", "en_US.UTF-8"),
        "PWD": spec.code,
    }
    variables.update(_threads())
    variables.update(spec.environment)
    return variables


def _threads() -> dict[str, str]:
    """A worker has one core: a numeric library's own threads would only wait for each other, and a process that has
    threads cannot be forked."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {name: os.environ.get(name, "1") for name in names}
