"""Row 36: archives that lie, climb or explode are refused; nothing is written outside, nothing is left behind."""

from __future__ import annotations

import errno
import functools
import io
import os
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import until

from engine import limits
from engine.aws.faults import Fault
from engine.hosting.packages import Packages

COULD_NOT = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"
LINK = stat.S_IFLNK | 0o777
Member = tuple[str, bytes, int]  # name, content, mode with its file type


def raw_zip(*members: Member, **lies: int) -> bytes:
    """An archive, written byte by byte so that it can have any name, and say what is not so.

    Lies, of every member: method, flags, size (uncompressed), crc, packed (compressed size), count (of members)."""
    body, directory = b"", b""
    for name, content, mode in members:
        data = zlib.compress(content, wbits=-15)
        raw = name.encode("utf-8", "surrogateescape")
        fields = struct.pack(
            "<HHHHHLLLHH",
            20,
            lies.get("flags", 0x800),
            lies.get("method", zipfile.ZIP_DEFLATED),
            0,
            0x21,
            lies.get("crc", zlib.crc32(content)),
            lies.get("packed", len(data)),
            lies.get("size", len(content)),
            len(raw),
            0,
        )
        directory += b"PK\1\2" + struct.pack("<BB", 20, 3) + fields
        directory += struct.pack("<HHHLL", 0, 0, 0, mode << 16, len(body)) + raw
        body += b"PK\3\4" + fields + raw + data
    count = lies.get("count", len(members))
    return (
        body
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHLLH", 0, 0, count, count, len(directory), len(body), 0)
    )


def disk(folder: Path) -> int:
    """Bytes that a folder takes, with what its directories take."""
    return sum(path.lstat().st_blocks * 512 for path in [folder, *folder.rglob("*")])


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., None]:
    """Fails unless an archive is refused with that text, the folder stays empty, and nothing appears around it."""
    around = tmp_path / "around"
    packages = Packages(around / "code" / "deep")
    (around / "secret").write_text("as it was")

    def check(archive: bytes, text: str = COULD_NOT) -> None:
        with pytest.raises(Fault) as caught:
            packages.add(archive)
        assert caught.value.code == "InvalidParameterValueException"
        assert caught.value.members == {"Type": "User"}
        assert str(caught.value.message).startswith(text)
        assert str(tmp_path) not in str(caught.value.message)
        assert sorted(str(path.relative_to(around)) for path in around.rglob("*")) == [
            "code",
            "code/deep",
            "secret",
        ]
        assert (around / "secret").read_text() == "as it was"

    return check


def test_row_36_the_archives_of_these_tests_are_otherwise_in_order(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "code")
    package = packages.add(raw_zip(("a/app.py", b"hello", 0o100644), ("a/link", b"app.py", LINK)))
    assert (packages.tree(package.digest) / "a/link").read_bytes() == b"hello"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "//etc/passwd",
        "/",
        "../secret",
        "../../secret",
        "a/../../secret",
        "a/..",
        "..",
        ".",
        "./",
        "",
        "a/../b",
        "C:/secret",
        "a\0b",
        "a\0/../../secret",
        "x" * 256,
        "d/" + "x" * 256 + "/f",
        "/".join(["x" * 100] * 11),
        "\udc80",  # no UTF-8, whatever the flag says
    ],
)
@pytest.mark.parametrize("mode", [0o100644, LINK])
def test_row_36_names_that_leave_the_tree(refused: Callable[..., None], name: str, mode: int) -> None:
    refused(raw_zip(("fine", b"1", 0o100644), (name, b"fine", mode)))


@pytest.mark.parametrize("name", ["../out/", "/tmp/out/", "a/../../out/"])
def test_row_36_directories_that_leave_the_tree(refused: Callable[..., None], name: str) -> None:
    refused(raw_zip((name, b"", 0o40755)))


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("l", "/etc/passwd"),
        ("l", "/"),
        ("l", ".."),
        ("l", "../secret"),
        ("d/l", "../../secret"),
        ("d/l", ".././../secret"),
        ("d/l", "x/../../../secret"),
        ("l", ""),
        ("l", "a\0b"),
        ("l", "x" * 1025),
    ],
)
def test_row_36_links_that_leave_the_tree(refused: Callable[..., None], name: str, to: str) -> None:
    refused(raw_zip((name, to.encode(), LINK)))


def test_row_36_links_that_leave_the_tree_by_way_of_others(refused: Callable[..., None]) -> None:
    refused(raw_zip(("d/up", b"..", LINK), ("out", b"d/up/..", LINK)))
    refused(raw_zip(("a/b/c", b"1", 0), ("l", b"a/b", LINK), ("out", b"l/../../..", LINK)))


def test_row_36_nothing_is_written_behind_a_link(refused: Callable[..., None]) -> None:
    refused(raw_zip(("d/x", b"1", 0), ("l", b"d", LINK), ("l/y", b"2", 0)))
    refused(raw_zip(("l", b"later", LINK), ("l", b"2", 0)))
    refused(raw_zip(("d/x", b"1", 0), ("l", b"d", LINK), ("l/", b"", 0o40755)))
    refused(raw_zip(("l", b"l", LINK), ("l/y", b"2", 0)))
    refused(raw_zip(("d", b".", LINK), ("d/d/d/x", b"2", 0)))


KINDS = [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]


@pytest.mark.parametrize("kind", KINDS)
def test_row_36_what_is_no_file(refused: Callable[..., None], kind: int) -> None:
    refused(raw_zip(("node", b"", kind | 0o666)))


@pytest.mark.parametrize(
    "members",
    [
        [("a", b"1", 0), ("a", b"2", 0)],
        [("a", b"1", 0), ("./a", b"2", 0)],
        [("d/a", b"1", 0), ("d//a", b"2", 0)],
        [("a", b"1", 0), ("a/b", b"2", 0)],
        [("a/b", b"1", 0), ("a", b"2", 0)],
        [("a", b"1", 0), ("a/", b"", 0o40755)],
        [("a/", b"", 0o40755), ("a", b"1", 0)],
        [("a", b"b", LINK), ("a", b"b", LINK)],
    ],
)
def test_row_36_one_name_for_two_things(refused: Callable[..., None], members: list[Member]) -> None:
    refused(raw_zip(*members))


@pytest.mark.parametrize(
    "lies",
    [
        {"size": 5},
        {"size": 11},
        {"size": 0},
        {"size": 0xFFFFFFFE},
        {"packed": 3},
        {"packed": 5000},
        {"packed": 0xFFFFFFFE},
        {"crc": 1},
        {"count": 7},
        {"flags": 0x1},  # encrypted
        {"flags": 0x41},  # strongly
        {"method": zipfile.ZIP_BZIP2},
        {"method": zipfile.ZIP_LZMA},
        {"method": 9},  # Deflate64
        {"method": 99},  # AES
        {"method": zipfile.ZIP_STORED},
    ],
)
@pytest.mark.parametrize("mode", [0o100644, LINK])
def test_row_36_members_that_are_not_what_they_say(
    refused: Callable[..., None], lies: dict[str, int], mode: int, tmp_path: Path
) -> None:
    archive = raw_zip(("a", b"0123456789", mode), **lies)
    if lies == {"count": 7}:  # the directory is read, not counted
        assert Packages(tmp_path / "other").add(archive).unzipped == 10
    else:
        refused(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_row_36_other_compressions_in_order_or_broken(refused: Callable[..., None], method: int) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a", b"fine" * 1000)
    refused(out.getvalue())
    broken = bytearray(out.getvalue())
    broken[45:50] = b"\xff" * 5
    refused(bytes(broken))


def test_row_36_zip64_is_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as file:
        file.write(b"12345")
    packages = Packages(tmp_path / "code")
    package = packages.add(out.getvalue())
    assert package.unzipped == 5
    assert (packages.tree(package.digest) / "a").read_bytes() == b"12345"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"PK\5\6", b"not a zip", b"\0" * 22, b"PK\5\6" + b"\xff" * 18, b"PK\5\6" + b"\0" * 17],
)
def test_row_36_what_is_no_archive(refused: Callable[..., None], data: bytes) -> None:
    refused(data)


def test_row_36_a_truncated_archive(refused: Callable[..., None]) -> None:
    archive = raw_zip(*((f"f{n}", bytes([n]) * 50, 0) for n in range(4)))
    for length in range(0, len(archive), 7):
        refused(archive[:length])


@functools.cache
def zeros(size: int) -> tuple[bytes, int]:
    """So many zero bytes, compressed, and their checksum."""
    squeeze, piece, crc = zlib.compressobj(9, wbits=-15), bytes(1 << 20), 0
    data = b"".join(squeeze.compress(piece) for _ in range(size >> 20)) + squeeze.flush()
    for _ in range(size >> 20):
        crc = zlib.crc32(piece, crc)
    return data, crc


def bomb(size: int, copies: int = 1) -> bytes:
    """Members of so many zero bytes each; copies share the same compressed bytes, as overlapping bombs do."""
    data, crc = zeros(size)
    head = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0x21, crc, len(data), size, 4, 0)
    body = b"PK\3\4" + head + b"0000" + data
    directory = b"".join(
        b"PK\1\2" + struct.pack("<BB", 20, 3) + head + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + b"0000"
        for _ in range(copies)
    )
    return (
        body
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHLLH", 0, 0, copies, copies, len(directory), len(body), 0)
    )


def test_row_36_a_bomb_is_stopped_at_the_limit(refused: Callable[..., None], tmp_path: Path) -> None:
    """A gibibyte of zeros in a mebibyte: the disk never holds more than the limit, and the file that says it is
    small is believed no more than the one that tells the truth."""
    archive = bomb(1 << 30)
    assert len(archive) < 2 << 20
    refused(archive, TOO_LARGE)
    liar = bytearray(archive)
    size = archive.index(struct.pack("<L", 1 << 30))
    directory = archive.rindex(struct.pack("<L", 1 << 30))
    for at in (size, directory):
        liar[at : at + 4] = struct.pack("<L", 10)
    refused(bytes(liar))


def test_row_36_the_disk_is_bounded_while_a_bomb_goes_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    write = os.fdopen

    def watched(*args: object, **options: object) -> object:
        file = write(*args, **options)  # type: ignore[call-overload]
        fd = file.fileno()
        real = file.write

        class Counted:
            def __enter__(self) -> Counted:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: bytes) -> int:
                nonlocal most
                done: int = real(data)
                file.flush()
                most = max(most, os.fstat(fd).st_size)
                return done

        return Counted()

    monkeypatch.setattr("engine.hosting.packages.os.fdopen", watched)
    with pytest.raises(Fault, match=TOO_LARGE):
        Packages(tmp_path / "code").add(bomb(400 << 20))
    assert 0 < most <= limits.UNZIPPED_BYTES


def test_row_36_members_that_share_their_bytes_count_each(
    tmp_path: Path, refused: Callable[..., None]
) -> None:
    names = bytearray(bomb(100 << 20, copies=5))
    at = len(names)
    for n in range(4, 0, -1):  # in the directory: the first keeps the name of its local header
        at = names.rindex(b"0000", 0, at)
        names[at : at + 4] = b"%04d" % n
    refused(bytes(names))


def test_row_36_nested_archives_stay_archives(tmp_path: Path) -> None:
    inner = bomb(1 << 30)
    packages = Packages(tmp_path / "code")
    tree = packages.tree(packages.add(raw_zip(("inner.zip", inner, 0))).digest)
    assert (tree / "inner.zip").read_bytes() == inner
    assert len(list(tree.iterdir())) == 1


def test_row_36_too_many_members_cost_neither_time_nor_memory(refused: Callable[..., None]) -> None:
    one = (
        b"PK\1\2"
        + struct.pack("<BBHHHHHLLLHHHHHLL", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
        + b"a"
    )
    directory = one * 1_000_000
    archive = directory + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    began = time.monotonic()
    refused(archive)
    assert time.monotonic() - began < 2


def test_row_36_names_cannot_imply_more_directories_than_there_may_be_members(
    refused: Callable[..., None],
) -> None:
    deep = "/a" * 98
    began = time.monotonic()
    refused(raw_zip(*((f"{n}{deep}/f", b"", 0) for n in range(1100))))
    assert time.monotonic() - began < 10
    refused(raw_zip(("a/" * 100 + "f", b"", 0)))


def test_row_36_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks between unpacking and renaming, what was there stays and what was not is gone."""
    packages = Packages(tmp_path / "code")
    sync = os.fsync
    for breaks in range(1, 8):
        calls = 0

        def broken(fd: int, breaks: int = breaks) -> None:
            nonlocal calls
            calls += 1
            if calls == breaks:
                raise OSError(28, "No space left on device")
            sync(fd)

        monkeypatch.setattr("engine.hosting.packages.os.fsync", broken)
        archive = raw_zip(("a", b"%d" % breaks, 0), ("d/b", b"2", 0))
        try:
            package = packages.add(archive)
        except OSError:
            left = {path.name for path in (tmp_path / "code").iterdir()}
            assert not any(name.endswith(".new") for name in left)
        else:
            assert calls < breaks
            assert (packages.tree(package.digest) / "a").read_bytes() == b"%d" % breaks
            packages.close()  # a thread removes what was replaced
            return
    raise AssertionError("nothing was synced so often")


VALID = raw_zip(
    ("app.py", b"print(1)\n" * 20, 0o100644), ("d/l", b"../app.py", LINK), ("d/b", bytes(99), 0o100755)
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=4
)


def contained(packages: Packages, folder: Path, archive: bytes) -> None:
    """Taken or refused, but in order: nothing outside, nothing half, every link ends inside."""
    code = folder / "code"
    before = {path.name for path in folder.iterdir()}
    try:
        package = packages.add(archive)
    except Fault as fault:
        assert fault.code == "InvalidParameterValueException"
        assert list(code.iterdir()) == []
    else:
        assert {path.name for path in code.iterdir()} == {package.digest, f"{package.digest}.zip"}
        tree = packages.tree(package.digest)
        for path in tree.rglob("*"):
            mode = path.lstat().st_mode
            assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
            try:
                end = os.path.realpath(path, strict=True)
            except FileNotFoundError:
                end = os.path.realpath(path)
            except OSError as error:  # a link to itself ends nowhere
                assert error.errno == errno.ELOOP
                continue
            assert end.startswith(str(tree.resolve()))
        packages.release((package.digest,))
        until(lambda: list(code.iterdir()) == [])
    assert {path.name for path in folder.iterdir()} == before


@settings(max_examples=300, deadline=None)
@given(EDITS)
def test_row_36_damaged_archives(edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(VALID)
    for at, content in edits:
        data[at : at + len(content)] = content
    with tempfile.TemporaryDirectory() as folder:
        contained(Packages(Path(folder, "code")), Path(folder), bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"PK\5\6" + b"\0" * 18)
def test_row_36_noise(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contained(Packages(Path(folder, "code")), Path(folder), data)


PART = st.sampled_from(["a", "b", "l", ".", "..", "", "c:", "\\"])
NAME = st.lists(PART, min_size=1, max_size=4).map("/".join)
MODE = st.sampled_from([0, 0o100644, 0o40755, LINK, LINK, LINK])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAME, NAME.map(str.encode), MODE), max_size=5))
@example([("a/l", b"..", LINK), ("l", b"a/l/..", LINK)])
def test_row_36_names_and_links_of_every_kind(members: list[Member]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contained(Packages(Path(folder, "code")), Path(folder), raw_zip(*members))
