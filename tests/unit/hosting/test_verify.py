"""A tree that is not what its archive holds is found out, whatever was altered."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.hosting.packages import unpack
from engine.hosting.verify import altered

FILES = {
    "app.py": b"def handler(e, c): ...\n",
    "pkg/__init__.py": b"",
    "pkg/data.bin": bytes(range(256)) * 50,
}


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, Path, str]:
    """Tree, archive, digest."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.mkdir("empty")
        for name, content in FILES.items():
            zipped.writestr(f"./{name}" if name == "app.py" else name, content)
        link = zipfile.ZipInfo("pkg/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "data.bin")
    data = out.getvalue()
    archive = tmp_path / "x.zip"
    archive.write_bytes(data)
    unpack(data, tmp_path / "tree")
    return tmp_path / "tree", archive, hashlib.sha256(data).hexdigest()


def test_as_it_was_deployed(package: tuple[Path, Path, str]) -> None:
    assert altered(*package) == ""


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    def change(tree: Path) -> None:
        path = tree / name
        path.parent.chmod(0o755)
        if path.exists():
            path.chmod(0o644)
        path.write_bytes(content)

    return change


def _replace(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(tree: Path) -> None:
        (tree / name).parent.chmod(0o755)
        (tree / name).unlink()
        make(tree / name)

    return change


@pytest.mark.promise(100)
@pytest.mark.parametrize(
    "change",
    [
        _write("app.py", b"def handler(e, c): pass\n"),  # of the same length, almost
        _write("app.py", FILES["app.py"].replace(b"c", b"d")),  # of the same length
        _write("app.py", b""),
        _write("pkg/__init__.py", b"\n"),
        _write("pkg/data.bin", FILES["pkg/data.bin"][:-1]),
        _write("pkg/more.py", b""),
        _write("sitecustomize.py", b""),
        _replace("pkg/__init__.py", lambda path: None),
        _replace("pkg/__init__.py", lambda path: path.mkdir()),
        _replace("pkg/__init__.py", lambda path: path.symlink_to("/dev/null")),
        _replace("pkg/link", lambda path: path.symlink_to("../app.py")),
        _replace("pkg/link", lambda path: path.write_bytes(FILES["pkg/data.bin"])),
        _replace("pkg/__init__.py", os.mkfifo),
    ],
)  # fmt: skip
def test_any_change_is_found(package: tuple[Path, Path, str], change: Callable[[Path], object]) -> None:
    change(package[0])
    assert altered(*package) != ""


@pytest.mark.promise(100)
def test_an_altered_archive_is_found(package: tuple[Path, Path, str]) -> None:
    archive = package[1]
    data = bytearray(archive.read_bytes())
    data[40] ^= 1
    archive.write_bytes(data)
    assert altered(*package) == "x.zip"
    archive.unlink()
    assert "No such file" in altered(*package)
