"""The sample thumbnail, initiated by uploads: pictures are put into a bucket, and their thumbnails come into it."""

from __future__ import annotations

import importlib.util
import io
import json
import time
from pathlib import Path
from typing import Any

from PIL import Image
from run import EXPECTED, HERE, duration, event_of
from server import Connect, deploy, percentiles

SAMPLE = "thumbnail"
BUCKET = "pictures"
FUNCTION = f"{SAMPLE}-of-uploads"
OUTPUT = "thumbnails/"
UPLOADS = 100
PATIENCE_S = 30.0


def option(folder: Path) -> list[str]:
    """What a server is started with so that it has the bucket."""
    (folder / BUCKET).mkdir()
    return ["--bucket", f"{BUCKET}=directory://{(folder / BUCKET).resolve()}"]


def run(connect: Connect) -> str:
    """Deploy the function, upload, and print how long it took. What was wrong, or an empty string."""
    api, s3 = connect("lambda"), connect("s3")
    arn = deploy(api, HERE / SAMPLE, FUNCTION, Environment={"Variables": {"OUTPUT_PREFIX": OUTPUT}})
    api.add_permission(
        FunctionName=FUNCTION, StatementId="uploads", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{BUCKET}",
    )  # fmt: skip
    rules = [{"Name": "prefix", "Value": "uploads/"}, {"Name": "suffix", "Value": ".png"}]
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {
                    "LambdaFunctionArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": rules}},
                }
            ]
        },
    )
    picture = _picture()
    took = []
    for n in range(UPLOADS):
        begin = time.time()
        s3.put_object(Bucket=BUCKET, Key=f"uploads/cat {n}.png", Body=picture)
        thumbnail = _thumbnail(s3, f"{OUTPUT}uploads/cat {n}.jpg")
        if thumbnail is None:
            return f"no thumbnail of upload {n} came within {PATIENCE_S:g} s"
        took.append(float(thumbnail["Metadata"]["received"]) - begin)
    with Image.open(io.BytesIO(thumbnail["Body"].read())) as image:
        found = {"format": image.format, "width": image.width, "height": image.height}
    cold = took.pop(0)
    print(
        f"{SAMPLE}  (initiated by uploads to s3://{BUCKET}, {len(picture):,} bytes each)\n  {json.dumps(found)}"
    )
    print(f"  from put to handler {percentiles(took)} uploads; the first, cold, {duration(cold * 1e9)}")
    expected = EXPECTED[SAMPLE]["thumbnails"][0]["thumbnail"]
    return "" if found == expected else f"the thumbnail is {found}, should be {expected}"


def _picture() -> bytes:
    """The one that the sample's event names."""
    record = json.loads(event_of(HERE / SAMPLE).read_bytes())["Records"][0]["s3"]
    package = importlib.util.find_spec(record["bucket"]["name"])
    assert package is not None and package.submodule_search_locations
    return (Path(package.submodule_search_locations[0]) / record["object"]["key"]).read_bytes()


def _thumbnail(s3: Any, key: str) -> Any:
    """The object, once it is there; None: it did not come."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            return s3.get_object(Bucket=BUCKET, Key=key)
        except s3.exceptions.NoSuchKey:
            time.sleep(0.01)
    return None
