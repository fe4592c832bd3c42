"""Packages: what was packed comes back, once, by its digest, and read-only; limits; garbage collection; pack()."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import os
import stat
import tempfile
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import until

from engine.aws.faults import Fault
from engine.hosting.archives import _SKIPPED, backslashed, pack, unpack
from engine.hosting.packages import _LARGE_MEMBERS, Package, Packages, merged_name, needs

Contents = dict[str, bytes | None]  # by name; None: a directory


def read(tree: Path) -> Contents:
    """Everything in a tree, by name."""
    return {
        str(path.relative_to(tree)): path.read_bytes() if path.is_file() else None for path in tree.rglob("*")
    }


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    """An archive of (name, content, mode with its file type)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path / "code")


def test_a_package_is_kept_by_its_digest(packages: Packages) -> None:
    archive = zipped(("app.py", b"x = 1\n", 0o644), ("lib/inner.py", b"y", 0), ("bin/run", b"#!", 0o100755))
    package = packages.add(archive)
    raw = hashlib.sha256(archive).digest()
    assert package == Package(raw.hex(), base64.b64encode(raw).decode(), len(archive), 6 + 1 + 2)
    assert packages.archive(package.digest).read_bytes() == archive
    assert read(packages.tree(package.digest)) == {
        "app.py": b"x = 1\n",
        "lib": None,
        "lib/inner.py": b"y",
        "bin": None,
        "bin/run": b"#!",
    }


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_files_are_readable_and_nobodys_to_write(packages: Packages, umask: int) -> None:
    before = os.umask(umask)
    try:
        archive = zipped(
            ("a/app.py", b"", 0o600), ("a/tool", b"", 0o100700), ("b/", b"", 0o40700), ("s", b"", 0o6777)
        )
        tree = packages.tree(packages.add(archive).digest)
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tree)): stat.S_IMODE(path.stat().st_mode) for path in [tree, *tree.rglob("*")]
    }
    assert modes == {".": 0o555, "a": 0o555, "b": 0o555, "a/app.py": 0o444, "a/tool": 0o555, "s": 0o555}


def test_the_same_bytes_again_change_nothing(packages: Packages) -> None:
    archive = zipped(("d/a", b"12", 0), ("d/l", b"a", stat.S_IFLNK | 0o777), ("b", b"345", 0))
    first = packages.add(archive)
    inode = packages.tree(first.digest).stat().st_ino
    assert packages.add(archive) == first
    assert packages.tree(first.digest).stat().st_ino == inode
    assert sorted(path.name for path in packages.archive("x").parent.iterdir()) == [
        first.digest,
        f"{first.digest}.zip",
    ]


@pytest.mark.parametrize("lost", ["tree", "archive"])
def test_a_half_kept_package_is_made_whole(packages: Packages, lost: str) -> None:
    archive = zipped(("a", b"12", 0))
    package = packages.add(archive)
    tree, kept = packages.tree(package.digest), packages.archive(package.digest)
    if lost == "tree":
        (tree / "a").unlink()
        tree.rmdir()
    else:
        kept.unlink()
        (tree / "a").unlink()
    assert packages.add(archive) == package
    assert read(tree) == {"a": b"12"}
    assert kept.read_bytes() == archive


def test_links_within_the_tree_are_kept(packages: Packages) -> None:
    links = {
        "lib/so": b"so.1",
        "lib/deep/up": b"../so",
        "top": b"./lib/so.1",
        "dir": b"lib",
        "none": b"later",
    }
    archive = zipped(
        ("lib/so.1", b"elf", 0o100755),
        *((name, to, stat.S_IFLNK | 0o777) for name, to in links.items()),
    )
    tree = packages.tree(packages.add(archive).digest)
    assert {name: os.readlink(tree / name).encode() for name in links} == links
    assert (tree / "lib/deep/up").read_bytes() == (tree / "dir/so").read_bytes() == b"elf"


@pytest.mark.promise(193)
def test_a_backslash_is_a_character(packages: Packages) -> None:
    """As on AWS: what an archiver of Windows' means for a directory is a file of that name."""
    members = {r"a\b.py": b"1", r"..\c": b"2", r"c:\d": b"3", r"e/f\g": b"4"}
    archive = zipped(*((name, content, 0o100644) for name, content in members.items()))
    package = packages.add(archive)
    assert {
        name: content for name, content in read(packages.tree(package.digest)).items() if content
    } == members
    assert backslashed(archive) == 4
    assert backslashed(zipped(("a/b.py", b"\\", 0o100644))) == 0


def test_names_that_differ_in_case_or_script_are_different(packages: Packages) -> None:
    contents: Contents = {"a": b"1", "A": b"2", "é": b"3", "e\u0301": b"4", "日本": b"5", "with space": b"6"}
    archive = zipped(*((name, content or b"", 0) for name, content in contents.items()))
    assert read(packages.tree(packages.add(archive).digest)) == contents


def test_an_archive_without_members_is_an_empty_tree(packages: Packages) -> None:
    package = packages.add(zipped())
    assert package.unzipped == 0
    assert read(packages.tree(package.digest)) == {}


def test_the_limit_is_of_all_files_together(tmp_path: Path) -> None:
    archive = zipped(("a", b"x" * 60, 0), ("b", b"y" * 40, 0))
    assert unpack(archive, tmp_path / "fits", limit=101) == 100
    with pytest.raises(Fault) as caught:
        unpack(archive, tmp_path / "does-not", limit=100)
    assert caught.value.code == "InvalidParameterValueException"
    assert caught.value.message == "Unzipped size must be smaller than 262144000 bytes"
    assert caught.value.members == {"Type": "User"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_nobody_needs_goes(packages: Packages) -> None:
    """Whoever needed it last: a record, a version that runs, an upload."""
    folder = packages.archive("x").parent
    for order in itertools.permutations(("unrecord", "release", "add")):
        digest = packages.add(zipped(("d/a", b"1", 0o100444))).digest
        packages.record((digest,))
        packages.use((digest,))
        for n, last in enumerate(order):
            assert names(folder) == [digest, f"{digest}.zip"], order[:n]
            (packages.unrecord if last == "unrecord" else packages.release)((digest,))
        until(lambda: names(folder) == [])


def test_what_is_needed_again_stays(packages: Packages) -> None:
    """Uploads and deletions of the same bytes at the same time: whoever holds it has all of it."""
    archive = zipped(*((f"{n}.py", b"x", 0o100644) for n in range(20)))

    def work() -> None:
        for _ in range(25):
            digest = packages.add(archive).digest
            assert len(read(packages.tree(digest))) == 20
            assert packages.archive(digest).read_bytes() == archive
            packages.release((digest,))

    with ThreadPoolExecutor(4) as threads:
        for each in [threads.submit(work) for _ in range(4)]:
            each.result()
    packages.close()
    assert names(packages.archive("x").parent) == []


def test_what_was_in_use_at_the_end_goes_unless_a_record_has_it(packages: Packages) -> None:
    kept, gone = packages.add(zipped(("a", b"1", 0))), packages.add(zipped(("b", b"2", 0)))
    packages.record((kept.digest,))
    packages.close()
    assert names(packages.archive("x").parent) == [kept.digest, f"{kept.digest}.zip"]
    packages.release((kept.digest, gone.digest))  # too late to matter


def test_merged_layers_go_with_the_last_who_needs_them(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "code", tmp_path / "opt")
    digest = packages.add(zipped(("a", b"1", 0))).digest
    record = {"_digest": digest, "_layers": [digest]}
    merged = tmp_path / "opt" / merged_name([digest])
    (merged / "python").mkdir(parents=True)
    (tmp_path / "opt" / "mine").mkdir()
    packages.record(needs(record))
    packages.use(needs(record))
    packages.unrecord(needs(record))
    packages.release((digest,))
    assert merged.exists()
    packages.release(needs(record))
    until(lambda: not merged.exists() and not packages.tree(digest).exists())
    assert (tmp_path / "opt" / "mine").exists()


# What is there at a start

NOT_OURS = (
    "notes.txt",
    "0" * 63,
    "A" * 64,
    "0" * 64 + ".tar",
    "0" * 64 + ".new",
    "x.1.new",
    "g" * 64,
    "backup.zip",
)


@pytest.mark.promise(91)
def test_what_no_record_names_at_a_start_is_set_aside_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    packages = Packages(folder)
    kept, gone = (packages.add(zipped(("d/a", text, 0o100444))).digest for text in (b"1", b"2"))
    packages = Packages(folder)
    assert packages.reconcile({kept}) == [gone, f"{gone}.zip"]
    assert names(folder) == sorted([kept, f"{kept}.zip", "set-aside"])
    assert names(folder / "set-aside") == [gone, f"{gone}.zip"]
    again = Packages(folder)
    assert again.reconcile({kept, gone}) == []
    assert read(again.tree(gone)) == {"d": None, "d/a": b"2"}
    assert names(folder / "set-aside") == []
    assert Packages(folder).reconcile(()) == sorted([kept, f"{kept}.zip", gone, f"{gone}.zip"])


def test_the_same_is_set_aside_twice(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    for _ in range(2):
        packages = Packages(folder)
        digest = packages.add(zipped(("a", b"1", 0))).digest
        assert Packages(folder).reconcile(()) == [digest, f"{digest}.zip"]
    assert names(folder / "set-aside") == [digest, f"{digest}.zip"]


@pytest.mark.promise(91)
def test_names_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path / "code", tmp_path / "opt"):
        for n, name in enumerate(NOT_OURS):
            file = folder / name / "file" if n % 2 else folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("mine")
    before = read(tmp_path)
    packages = Packages(tmp_path / "code", tmp_path / "opt")
    packages.reconcile(())
    packages.close()
    assert read(tmp_path) == before


def test_what_was_on_its_way_goes_at_the_next_start(tmp_path: Path) -> None:
    folder, merged = tmp_path / "code", tmp_path / "opt"
    packages = Packages(folder, merged)
    kept = packages.add(zipped(("a", b"1", 0))).digest
    hexes = uuid.uuid4().hex
    for name in (f"{kept}.{hexes}.new", f"{kept}.{hexes}.old"):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "deep" / "file").write_bytes(b"half")
    (folder / f"{kept}.{hexes}.zip.new").write_bytes(b"half")
    (folder / f"{kept}.zip.{hexes}.old").write_bytes(b"half")
    (merged / f"{kept[:32]}.{hexes}.new" / "deep").mkdir(parents=True)
    (merged / f"{kept[:32]}.123.new").mkdir()
    again = Packages(folder, merged)
    assert names(folder) == [kept, f"{kept}.zip"]
    assert names(merged) == []
    assert read(again.tree(kept)) == {"a": b"1"}


# Large ones: in a process of its own


@pytest.mark.parametrize("many", [_LARGE_MEMBERS, _LARGE_MEMBERS + 1])
def test_a_process_of_its_own_makes_the_same(packages: Packages, many: int) -> None:
    files = {f"d{n % 7}/{n}.py": b"%d" % n for n in range(many)}
    archive = zipped(*((name, content, 0o100755) for name, content in files.items()))
    package = packages.add(archive)
    tree = packages.tree(package.digest)
    assert {name: content for name, content in read(tree).items() if content is not None} == files
    assert {stat.S_IMODE(path.stat().st_mode) for path in tree.rglob("*")} == {0o555}
    assert package.unzipped == sum(map(len, files.values()))
    assert packages.archive(package.digest).read_bytes() == archive


def test_a_process_of_its_own_refuses_the_same(packages: Packages) -> None:
    members = [(f"{n}.py", b"", 0) for n in range(_LARGE_MEMBERS)]
    with pytest.raises(Fault) as caught:
        packages.add(zipped(*members, ("../out", b"", 0)))
    assert caught.value.code == "InvalidParameterValueException"
    assert "does not stay inside the package" in str(caught.value.message)
    assert caught.value.members == {"Type": "User"}
    assert names(packages.archive("x").parent) == []


# pack()


def test_a_folder_is_packed_without_what_is_no_code(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name in ("app.py", "pkg/a.py", "pkg/__pycache__/a.pyc", ".git/config", ".venv/bin/x", "data/.env"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    with zipfile.ZipFile(io.BytesIO(pack(source))) as archive:
        assert archive.namelist() == ["app.py", "data/.env", "pkg/a.py"]
        assert archive.read("pkg/a.py") == b"pkg/a.py"


def test_one_file_is_packed_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x")
    with zipfile.ZipFile(io.BytesIO(pack(tmp_path / "app.py"))) as archive:
        assert archive.namelist() == ["app.py"]


def test_what_is_not_there_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        pack(tmp_path / "absent")


def test_packing_does_not_depend_on_times_order_or_owner_bits(tmp_path: Path) -> None:
    made = []
    for n, names in enumerate([["b.py", "a/x.py", "c"], ["c", "a/x.py", "b.py"]]):
        source = tmp_path / str(n)
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(name)
            (source / name).chmod(0o600 if n else 0o664)
            os.utime(source / name, (n * 10_000_000, n * 10_000_000))
        made.append(pack(source))
    assert made[0] == made[1]
    (tmp_path / "0" / "c").chmod(0o755)
    assert pack(tmp_path / "0") != made[0]


PARTS = st.text(
    st.characters(blacklist_characters="/\\\0:", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255)
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=3).map(tuple),
    st.tuples(st.binary(max_size=300), st.booleans()),
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(TREES)
def test_what_is_packed_comes_back(tree: dict[tuple[str, ...], tuple[bytes, bool]]) -> None:
    files = {  # a file that another one's directory is cannot be
        parts: entry
        for parts, entry in tree.items()
        if not any(other[: len(parts)] == parts for other in tree if other != parts)
        and not _SKIPPED.intersection(parts)
    }
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.mkdir()
        for parts, (content, executable) in files.items():
            path = source.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if executable else 0o644)
        archive = pack(source)
        assert archive == pack(source)
        packages = Packages(Path(folder, "code"))
        package = packages.add(archive)
        made = packages.tree(package.digest)
        assert read(made) == read(source)
        assert package.unzipped == sum(len(content) for content, _ in files.values())
        for parts, (_, executable) in files.items():
            assert bool(made.joinpath(*parts).stat().st_mode & 0o111) == executable
