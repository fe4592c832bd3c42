"""AWS STS, as far as one needs it to ask who one is: GetCallerIdentity.

Every caller is its account's root: there are no users here; but for a function, which has its role's session. Nothing
else hands out credentials; those operations are refused.
"""

from __future__ import annotations

import re
from typing import Any

from ..aws.model import Model
from ..aws.service import Caller, ModelService


class Sts(ModelService):
    """STS of every account."""

    unsigned_paths = re.compile(r"/\Z")

    def __init__(self) -> None:
        super().__init__(Model.load("sts"), {"GetCallerIdentity": self._caller_identity})

    def _caller_identity(self, members: dict[str, Any], caller: Caller) -> dict[str, Any]:
        account, session = caller.place.account, caller.session
        if session is not None:
            return {"Arn": session.arn, "UserId": session.user_id, "Account": account}
        return {"Arn": f"arn:aws:iam::{account}:root", "UserId": account, "Account": account}
