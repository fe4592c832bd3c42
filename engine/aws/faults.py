"""A refusal in AWS's words: what an operation of the Lambda API raises when it cannot do what was asked."""

from __future__ import annotations

from typing import Any

from ..errors import EngineError


class Fault(EngineError):
    """`code` is an error shape of the service's model ("ResourceNotFoundException"), `members` what that shape has
    beside its message (Type="User", Reason="…"). Status and the members' spelling are the model's."""

    def __init__(self, code: str, message: str | None, **members: Any) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.members = members
