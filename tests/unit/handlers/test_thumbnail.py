"""The sample thumbnail: small JPEGs of photographs."""

import base64
import hashlib
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sample_functions import event, invoke


def picture(response: dict[str, Any]) -> tuple[bytes, Image.Image]:
    data = base64.b64decode(response["data"], validate=True)
    return data, Image.open(io.BytesIO(data))


def photograph(key: str) -> Path:
    spec = importlib.util.find_spec("imageio")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / key


def test_thumbnail_describes_the_photograph_and_keeps_its_proportions() -> None:
    cat, portrait = invoke("thumbnail", "two")["thumbnails"]
    assert (cat["bucket"], cat["key"]) == ("imageio", "resources/images/chelsea.png")
    assert cat["source"] == {"format": "PNG", "width": 451, "height": 300, "bytes": 221294}
    assert portrait["source"] == {"format": "PNG", "width": 512, "height": 512, "bytes": 791555}
    assert [(t["thumbnail"]["width"], t["thumbnail"]["height"]) for t in (cat, portrait)] == [
        (128, 85),
        (128, 128),
    ]


def test_thumbnail_is_a_small_jpeg_of_the_same_picture() -> None:
    response = invoke("thumbnail", "cat")["thumbnails"][0]["thumbnail"]
    data, image = picture(response)
    assert image.format == "JPEG"
    assert image.size == (response["width"], response["height"]) == (128, 85)
    assert len(data) == response["bytes"] < 6000
    assert hashlib.sha256(data).hexdigest() == response["sha256"]
    # Another way down to the same size: the mean of each block. A wrong picture is dozens of levels away.
    with Image.open(photograph("resources/images/chelsea.png")) as source:
        expected = np.asarray(source.convert("RGB").resize((128, 85), Image.Resampling.BOX), dtype=float)
    actual = np.asarray(image.convert("RGB"), dtype=float)
    assert np.abs(actual - expected).mean() < 4
    assert np.abs(actual[:, ::-1] - expected).mean() > 20


def test_thumbnail_size_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "48")
    assert picture(invoke("thumbnail", "cat")["thumbnails"][0]["thumbnail"])[1].size == (48, 32)


def test_thumbnail_turns_a_photograph_upright_out_of_a_bucket_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "holiday").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    with Image.open(photograph("resources/images/chelsea.png")) as source:
        source.convert("RGB").save(tmp_path / "holiday" / "my cat.jpg", exif=exif)
    monkeypatch.setenv("BUCKET_ROOT", str(tmp_path))
    payload = event("thumbnail", "cat")
    payload["Records"][0]["s3"]["bucket"]["name"] = "holiday"
    payload["Records"][0]["s3"]["object"]["key"] = "my+cat.jpg"
    response = invoke("thumbnail", payload)["thumbnails"][0]
    assert (response["key"], response["source"]["format"]) == ("my cat.jpg", "JPEG")
    assert (response["thumbnail"]["width"], response["thumbnail"]["height"]) == (85, 128)


@pytest.mark.parametrize(
    ("bucket", "key", "message"),
    [
        (
            "imageio",
            "resources/images/no+such+cat.png",
            "NoSuchKey: imageio/resources/images/no such cat.png",
        ),
        ("imageio", "../numpy/__init__.py", "NoSuchKey"),
        ("imageio", "/etc/hostname", "NoSuchKey"),
        ("no_such_bucket", "a.png", "NoSuchBucket: no_such_bucket"),
        ("..", "a.png", "NoSuchBucket"),
    ],
)
def test_thumbnail_refuses_what_is_not_in_a_bucket(bucket: str, key: str, message: str) -> None:
    payload = event("thumbnail", "bad-no-such-key")
    payload["Records"][0]["s3"]["bucket"]["name"] = bucket
    payload["Records"][0]["s3"]["object"]["key"] = key
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        invoke("thumbnail", payload)


def test_thumbnail_bucket_cannot_climb_out_of_the_bucket_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    monkeypatch.setenv("BUCKET_ROOT", str(tmp_path / "root"))
    payload = event("thumbnail", "cat")
    payload["Records"][0]["s3"]["bucket"]["name"] = "../outside"
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        invoke("thumbnail", payload)
