"""Names and ARNs: the forms in which a function, a version or an alias may be named, and how AWS writes them back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .faults import Fault

LATEST = "$LATEST"
_FUNCTION = re.compile(
    r"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?(?P<name>[a-zA-Z0-9-_.]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function as a request names it; qualifier: a version, an alias, "$LATEST", or None."""

    name: str
    qualifier: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Whose functions these are: a region and an account (12 digits), which every ARN carries."""

    region: str
    account: str

    @classmethod
    def of(cls, partition: str) -> Place:
        """The place whose records are in a partition of the store."""
        return _place(partition)

    @property
    def partition(self) -> str:
        return f"{self.account}/{self.region}"

    def arn(self, resource: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:{resource}"

    def function(self, name: str, qualifier: str | None = None) -> str:
        """A function's ARN, qualified when there is a qualifier."""
        return self.arn(f"function:{name}" + (f":{qualifier}" if qualifier else ""))

    def layer(self, name: str, version: int | str | None = None) -> str:
        return self.arn(f"layer:{name}" + (f":{version}" if version is not None else ""))

    def parse(self, text: str, qualifier: str | None = None) -> FunctionName:
        """A name, "name:qualifier", "account:function:name", or an ARN, as the FunctionName member takes them all.

        `qualifier` is the request's own Qualifier. Raises Fault: InvalidParameterValueException when the two differ,
        ResourceNotFoundException (AWS's text) for another region or account."""
        found = _FUNCTION.fullmatch(text)
        if found is None:
            raise Fault("InvalidParameterValueException", f"Invalid function name: {text}", Type="User")
        name, own = found["name"], found["qualifier"]
        if own and qualifier and own != qualifier:
            raise Fault(
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified qualifier.",
                Type="User",
            )
        if found["region"] not in (None, self.region):
            raise Fault(
                "ResourceNotFoundException",
                f"Functions from '{found['region']}' are not reachable in this region ('{self.region}')",
                Type="User",
            )
        if found["account"] not in (None, self.account):
            raise Fault("AccessDeniedException", None)
        return FunctionName(name, own or qualifier)


@lru_cache(maxsize=1024)
def _place(partition: str) -> Place:
    account, region = partition.split("/")
    return Place(region, account)
