"""Thumbnails of the pictures that an S3 notification names, made with Pillow."""

import base64
import hashlib
import importlib.util
import io
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from PIL import Image, ImageOps

SIZE = int(os.environ.get("SIZE", "128"))
QUALITY = 85
# Set: pictures are objects of S3, and thumbnails are put into their buckets, under keys that begin with this.
OUTPUT = os.environ.get("OUTPUT_PREFIX", "")
if OUTPUT:
    import boto3

    s3 = boto3.client("s3")

# Pillow imports its file formats at the first open; doing it here keeps that out of a call.
Image.init()


@lru_cache(maxsize=64)
def bucket_folder(name: str) -> Path:
    """Where a bucket's objects lie: a folder of BUCKET_ROOT, else the Python package of that name."""
    root = os.environ.get("BUCKET_ROOT")
    if root:
        folder = Path(root).resolve() / name
        if folder.parent == Path(root).resolve() and folder.is_dir():
            return folder
        raise FileNotFoundError(f"NoSuchBucket: {name}")
    # find_spec of a top-level name runs no code of the package: only its data is needed.
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"NoSuchBucket: {name}")
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def get_object(bucket: str, key: str) -> bytes:
    """One object's bytes. A key that climbs out of its bucket names no object."""
    if OUTPUT:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    folder = bucket_folder(bucket)
    path = (folder / key).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise FileNotFoundError(f"NoSuchKey: {bucket}/{key}")
    return path.read_bytes()


def shrink(data: bytes, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a picture and its JPEG thumbnail, which fits a square of `size` pixels."""
    with Image.open(io.BytesIO(data)) as image:
        source = {"format": image.format, "width": image.width, "height": image.height, "bytes": len(data)}
        # For a JPEG this lets the decoder skip detail that the thumbnail cannot show.
        image.draft("RGB", (size * 2, size * 2))
        small = ImageOps.exif_transpose(image).convert("RGB")
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY, optimize=True)
    jpeg = out.getvalue()
    return source, {
        "format": "JPEG",
        "width": small.width,
        "height": small.height,
        "bytes": len(jpeg),
        "sha256": hashlib.sha256(jpeg).hexdigest(),
        "data": base64.b64encode(jpeg).decode("ascii"),
    }


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    thumbnails = []
    received = time.time()
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"])  # S3 sends keys form-encoded
        source, thumbnail = shrink(get_object(bucket, key), SIZE)
        if OUTPUT:
            s3.put_object(
                Bucket=bucket,
                Key=f"{OUTPUT}{key.rpartition('.')[0]}.jpg",
                Body=base64.b64decode(thumbnail.pop("data")),
                ContentType="image/jpeg",
                Metadata={"received": f"{received:.6f}"},
            )
        thumbnails.append({"bucket": bucket, "key": key, "source": source, "thumbnail": thumbnail})
    return {"thumbnails": thumbnails}
