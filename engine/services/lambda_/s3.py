"""Code that lies in S3: fetched from the endpoint that serves AWS's other services."""

from __future__ import annotations

from collections.abc import Callable

from ...aws.faults import Fault

Fetch = Callable[[str, str, str | None], bytes]


def fetcher(endpoint: str | None) -> Fetch | None:
    """Fetches (bucket, key, version) from the S3 at `endpoint`, raising Fault; None when there is none."""
    if endpoint is None:
        return None

    def fetch(bucket: str, key: str, version: str | None) -> bytes:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        session = botocore.session.get_session()
        session.set_credentials("stoker", "stoker")
        client = session.create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=60),
        )
        try:
            wanted = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
            data: bytes = client.get_object(**wanted)["Body"].read()
            return data
        except ClientError as error:
            details = error.response["Error"]
            text = "S3 Error Code: {Code}. S3 Error Message: {Message}".format(**details)
        except BotoCoreError as error:
            text = str(error)
        raise Fault("InvalidParameterValueException", f"Error occurred while GetObject. {text}", Type="User")

    return fetch
