"""What requests carry and what is expected back, as a scenario says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ..generate.payloads import Durations, Fixed, Payloads, Sampled, Template
from ..generate.replies import Check, expectation
from .reading import Source, build, content, file, table
from .units import plain

_SOURCES = ("fixed", "template", "sample")


def _template(value: Any, source: Source) -> str:
    try:
        text = content(value, source).decode()
    except UnicodeDecodeError:
        raise ValueError("a template is a text in UTF-8") from None
    Template(text, durations=lambda number: 0.0)
    return text


def _expect(value: Any, source: Source) -> str | dict[str, Any]:
    if not isinstance(value, str | dict):
        raise ValueError("use json, echo, any, or a table of what members must be")
    expectation(value)
    return value


@dataclass(frozen=True, kw_only=True)
class Payload:
    """At most one of fixed bytes, a template, and a file whose lines are drawn. expect: as replies.expectation takes
    it; None: as is usual for the target."""

    fixed: Annotated[bytes | None, content] = None
    template: Annotated[str | None, _template] = None
    sample: Annotated[Path | None, file] = None
    expect: Annotated[str | dict[str, Any] | None, _expect] = None

    def __post_init__(self) -> None:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} at once: use one of {', '.join(_SOURCES)}")

    @property
    def lasting(self) -> bool:
        """Does it say how long an invocation took in a trace?"""
        if self.template is None:
            return False
        try:
            Template(self.template)
        except ValueError:  # all fields but that one were found when it was read
            return True
        return False

    def made(self, seed: int | str, usual: bytes, durations: Durations | None) -> Payloads:
        """Raises OSError and ValueError for a file that cannot be drawn from."""
        if self.template is not None:
            return Template(self.template, seed, durations)
        if self.sample is not None:
            return Sampled(self.sample, seed)
        return Fixed(usual if self.fixed is None else self.fixed)

    def check(self, usual: str) -> Check:
        return expectation(usual if self.expect is None else self.expect)

    def words(self, usual: bytes) -> str:
        if self.template is not None:
            return f"template of {plain(len(self.template))} characters"
        if self.sample is not None:
            return f"lines of {self.sample.name}"
        fixed = usual if self.fixed is None else self.fixed
        return f"{plain(len(fixed))} byte{'s' * (len(fixed) != 1)}, the same each time"


def payload_of(value: Any, source: Source) -> Payload:
    """A `payload` of a scenario or of a function. Raises ScenarioError, ValueError."""
    return build(Payload, table(value), source)
