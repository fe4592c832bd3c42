"""Stacks as the tests make them, of tests/templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from served import RUNTIME

TEMPLATES = Path(__file__).resolve().parent / "templates"
ALL = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


def body(name: str = "plain") -> str:
    (path,) = (TEMPLATES / name).glob("template.*")
    return path.read_text().replace("python3.11", RUNTIME)


def outputs(cloud: Any, name: str) -> dict[str, str]:
    found = cloud.describe_stacks(StackName=name)["Stacks"][0]
    return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


def status(cloud: Any, name: str) -> str:
    return str(cloud.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])


def given(**values: str) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def created(cloud: Any, name: str, **values: str) -> str:
    """The id of a stack of the plain template."""
    made = cloud.create_stack(
        StackName=name, TemplateBody=body(), Capabilities=ALL, Parameters=given(**values)
    )
    return str(made["StackId"])
