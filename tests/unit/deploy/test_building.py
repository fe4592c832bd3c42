"""What code needs: where that is said, installed once, and a layer of its own."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine.deploy.building import NotBuilt, installed, requirements, uv_program
from engine.deploy.packaging import packaged

RUNTIME = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package, by its wheel: nothing is fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing.py", "WORD = 'installed'\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr(
            "thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    return path


def code(folder: Path, **files: str) -> Path:
    folder.mkdir()
    (folder / "app.py").write_text("import thing\n")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.mark.promise(219)
def test_a_project_file_says_what_is_needed(wheel: Path, tmp_path: Path) -> None:
    project = f'[project]\nname = "x"\nversion = "1"\ndependencies = ["thing @ {wheel.as_uri()}"]\n'
    source = code(tmp_path / "src", pyproject_toml=project)
    wanted = requirements(source)
    assert wanted is not None
    said: list[str] = []
    built = installed(wanted, RUNTIME, said.append)
    assert said == [f"installing {source / 'pyproject.toml'}"]
    assert (built.tree / "thing.py").exists()
    assert installed(wanted, RUNTIME, said.append) == built
    assert len(said) == 1


@pytest.mark.promise(219)
@pytest.mark.skipif(uv_program() is None, reason="uv is not there")
def test_a_lock_says_what_is_needed(wheel: Path, tmp_path: Path) -> None:
    project = (
        f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["thing"]\n'
        f'[tool.uv.sources]\nthing = {{ path = "{wheel}" }}\n'
    )
    source = code(tmp_path / "src", pyproject_toml=project)
    subprocess.run([str(uv_program()), "lock", "--offline", "--quiet"], cwd=source, check=True)
    wanted = requirements(source)
    assert wanted is not None
    assert wanted.origin == source / "uv.lock"
    assert (installed(wanted, RUNTIME, print).tree / "thing.py").exists()


@pytest.mark.promise(219)
def test_the_layer_has_bytecode_and_is_made_once(wheel: Path, tmp_path: Path) -> None:
    wanted = requirements(code(tmp_path / "src", requirements_txt=f"{wheel}\n"))
    assert wanted is not None
    built = installed(wanted, RUNTIME, print)
    names = zipfile.ZipFile(io.BytesIO(built.layer())).namelist()
    assert "python/thing.py" in names
    assert any(name.startswith("python/__pycache__/thing.") for name in names)
    made = built.tree.with_suffix(".zip").stat().st_mtime_ns
    built.layer()
    assert built.tree.with_suffix(".zip").stat().st_mtime_ns == made


@pytest.mark.promise(219)
def test_functions_with_the_same_requirements_share_a_layer(wheel: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "full"):
        code(tmp_path / name, requirements_txt=f"{wheel}\n")
    shared = {"Handler": "app.handler", "Runtime": RUNTIME}
    layers = [f"arn:aws:lambda:us-east-1:000000000000:layer:l{n}:1" for n in range(5)]
    resources = {
        "One": {"Type": "AWS::Serverless::Function", "Properties": {**shared, "CodeUri": "one"}},
        "Two": {
            "Type": "AWS::Lambda::Function",
            "Properties": {**shared, "Code": "two", "Layers": layers[:1]},
        },
        "Full": {"Type": "AWS::Lambda::Function", "Properties": {**shared, "Code": "full", "Layers": layers}},
    }
    kept: dict[str, bytes] = {}

    def upload(data: bytes) -> str:
        digest = f"{len(kept)}"
        kept[digest] = data
        return digest

    made = packaged({"Resources": resources}, tmp_path, upload, print)
    found = made.template["Resources"]
    [layer] = [name for name in found if name.startswith("StokerRequirements")]
    assert found[layer]["Properties"]["CompatibleRuntimes"] == [RUNTIME]
    assert found["One"]["Properties"]["Layers"] == [{"Ref": layer}]
    assert found["Two"]["Properties"]["Layers"] == [layers[0], {"Ref": layer}]
    assert found["Full"]["Properties"]["Layers"] == layers  # five is what a function may have
    own = zipfile.ZipFile(io.BytesIO(kept[found["One"]["Properties"]["CodeUri"]["Key"]])).namelist()
    assert own == ["app.py", "requirements.txt"]
    whole = zipfile.ZipFile(io.BytesIO(kept[found["Full"]["Properties"]["Code"]["S3Key"]])).namelist()
    assert "thing.py" in whole
    assert {source.logical: source.function for source in made.sources} == {
        "One": True,
        "Two": True,
        "Full": False,
    }
    plain = packaged({"Resources": resources}, tmp_path, upload, print, install=False)
    assert list(plain.template["Resources"]) == list(resources)


def test_what_is_wrong_says_so(wheel: Path, tmp_path: Path) -> None:
    assert requirements(code(tmp_path / "none", requirements_txt="# nothing\n")) is None
    with pytest.raises(NotBuilt, match="is not TOML"):
        requirements(code(tmp_path / "bad", pyproject_toml="[project"))
    wanted = requirements(code(tmp_path / "gone", requirements_txt="./nothing-of-that-name.whl\n"))
    assert wanted is not None
    with pytest.raises(NotBuilt, match="could not be installed"):
        installed(wanted, RUNTIME, print)
