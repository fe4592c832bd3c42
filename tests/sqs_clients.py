"""boto3 clients of SQS in either protocol: JSON as boto3 is now, and query as it was until 2023, by our own model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from served import REGION

from engine.services.sqs.protocols import described

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def client(url: str, protocol: str, folder: Path) -> Any:
    """folder: any that a model may be written to."""
    session = botocore.session.get_session()
    if protocol == "query":
        place = folder / "models" / "sqs" / "2012-11-05"
        place.mkdir(parents=True, exist_ok=True)
        (place / "service-2.json").write_text(json.dumps(described()))
        session.get_component("data_loader").search_paths.insert(0, str(folder / "models"))
    config = Config(retries={"max_attempts": 0}, read_timeout=60)
    made = boto3.Session(botocore_session=session).client(
        "sqs", endpoint_url=url, region_name=REGION, config=config, **KEYS
    )
    assert made.meta.service_model.metadata["protocol"] == protocol
    return made
