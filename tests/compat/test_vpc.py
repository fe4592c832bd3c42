"""Subnets of a function, looked up where there is an EC2 to be asked."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from served import ECHO, REGION, ROLE, RUNTIME, Served, zipped


@pytest.fixture(scope="module")
def server(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("vpc") / "state", "--aws-endpoint", moto)
    yield served
    assert served.stop() == 0


def create(api: Any, subnet: str, group: str) -> Any:
    return api.create_function(
        FunctionName=f"f-{uuid.uuid4().hex[:8]}", Runtime=RUNTIME, Role=ROLE, Handler="app.handler",
        Code={"ZipFile": zipped(**{"app.py": ECHO})},
        VpcConfig={"SubnetIds": [subnet], "SecurityGroupIds": [group]},
    )  # fmt: skip


@pytest.mark.promise(192)
def test_the_vpc_is_the_subnet_s(server: Served, moto: str) -> None:
    api = server.client()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    ec2 = boto3.client("ec2", endpoint_url=moto, region_name=REGION, **keys)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    made = create(api, subnet, "sg-1234567890abcdef0")
    assert made["VpcConfig"]["VpcId"] == vpc
    assert api.get_function_configuration(FunctionName=made["FunctionName"])["VpcConfig"] == {
        "SubnetIds": [subnet], "SecurityGroupIds": ["sg-1234567890abcdef0"], "VpcId": vpc,
        "Ipv6AllowedForDualStack": False,
    }  # fmt: skip


@pytest.mark.promise(192)
def test_a_subnet_that_is_not_there(server: Served) -> None:
    api = server.client()
    with pytest.raises(api.exceptions.InvalidParameterValueException) as refused:
        create(api, "subnet-0123456789abcdef0", "sg-1234567890abcdef0")
    assert refused.value.response["Error"]["Message"] == (
        "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet "
        "ID 'subnet-0123456789abcdef0' does not exist"
    )
