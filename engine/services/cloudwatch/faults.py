"""CloudWatch's errors, in its words."""

from __future__ import annotations

from ...aws.faults import Fault


def value(text: str) -> Fault:
    return Fault("InvalidParameterValueException", text)


def combination(text: str) -> Fault:
    return Fault("InvalidParameterCombinationException", text)


def missing(name: str) -> Fault:
    return Fault("MissingRequiredParameterException", f"The parameter {name} is required.")


def invalid(text: str) -> Fault:
    return Fault("ValidationException", text)


def no_alarm(name: str) -> Fault:
    return Fault("ResourceNotFound", f"Alarm {name} does not exist")


def no_resource(arn: str) -> Fault:
    return Fault(
        "ResourceNotFoundException",
        f"{arn} does not exist",
        ResourceType="AWS::CloudWatch::Alarm",
        ResourceId=arn,
    )


def bad_token() -> Fault:
    return Fault("InvalidNextToken", "The next token specified is invalid.")


def not_here(what: str) -> Fault:
    return invalid(f"{what} not served by this endpoint.")


def no_dashboard(name: str) -> Fault:
    return Fault("DashboardNotFoundError", f"Dashboard {name} does not exist")
