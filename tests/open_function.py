"""A function that anybody may call by its URL."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from served import ECHO, ROLE, RUNTIME


def deploy(client: Any, name: str = "open", source: str = ECHO) -> tuple[str, str]:
    """Its package's link, and its URL."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", source)
    client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    url = client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    return client.get_function(FunctionName=name)["Code"]["Location"], url
