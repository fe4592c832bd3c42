"""Amazon MSK's access by IAM: SASL/OAUTHBEARER, whose token is a signed URL of kafka-cluster:Connect.

As AWS's own signers make it (aws-msk-iam-sasl-signer): base64url without padding, and the client's name behind the
signature.
"""

from __future__ import annotations

import base64
from typing import Any

from ...aws.clients import Clients
from ...aws.names import Place
from ...aws.signing import Clock, Credentials, presigned

LIFE = 900  # seconds
_AGENT = "stoker"


def token(region: str, credentials: Credentials, stamp: str) -> str:
    """stamp: now, YYYYMMDDTHHMMSSZ."""
    host, query = f"kafka.{region}.amazonaws.com", [("Action", "kafka-cluster:Connect")]
    url = presigned(host, query, credentials, (region, "kafka-cluster"), stamp, LIFE)
    return base64.urlsafe_b64encode(f"{url}&User-Agent={_AGENT}".encode()).rstrip(b"=").decode()


def options(clients: Clients, place: Place) -> dict[str, Any]:
    """What aiokafka needs for it; a token is made for each connection. place: the cluster's."""
    from aiokafka.abc import AbstractTokenProvider

    clock = Clock()

    class Tokens(AbstractTokenProvider):  # type: ignore[misc]
        async def token(self) -> str:
            return token(place.region, await clients.credentials(place), clock.stamp())

    return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens()}
