"""The VPC of a function's subnets, asked of the EC2 that this server knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...aws.clients import CallFailed, Clients
from ...aws.faults import Fault
from ...aws.names import Place

_PATIENCE = 5.0  # seconds


def vpc_finder(clients: Clients, place: Place, loop: asyncio.AbstractEventLoop) -> Callable[[list[str]], str]:
    """Finds the VPC of subnets on behalf of a place, in any thread but the loop's; "" when EC2 cannot be asked now.
    Raises Fault for one that is not there."""

    async def found(subnets: list[str]) -> str:
        try:
            async with asyncio.timeout(_PATIENCE):
                response = await clients.call("ec2", "DescribeSubnets", {"SubnetIds": subnets}, place)
        except TimeoutError:
            return ""
        except CallFailed as failed:
            if not failed.code.startswith("InvalidSubnet"):
                return ""
            text = f"EC2 Error Code: {failed.code}. EC2 Error Message: {failed.message}"
            raise Fault(
                "InvalidParameterValueException", f"Error occurred while DescribeSubnets. {text}", Type="User"
            ) from failed
        return next((str(subnet["VpcId"]) for subnet in response.get("Subnets", ())), "")

    return lambda subnets: asyncio.run_coroutine_threadsafe(found(subnets), loop).result()
