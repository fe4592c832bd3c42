"""`stoker new`: a project made from one of the samples: a template, the code, its tests, events to try it with."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from .status import OK, UsageError, option

_DESCRIPTION = """\
Makes a folder with a template, its function's code, tests that plain pytest runs, and sample events. Without NAME: the
samples that there are.

examples:
  stoker new
  stoker new shop --template http-api
  cd shop && stoker dev template.yaml
"""


PARSER = {"help": "make a project from a sample", "description": _DESCRIPTION}
OPTIONS = (
    option("name NAME", "the folder, and with it the stack", nargs="?"),
    option("--template SAMPLE", "which sample (default: echo)", default="echo"),
)
_ENGINE = Path(__file__).resolve().parents[1]
_README = """\
# {name}

{about}
```
stoker dev template.yaml              # deploys it, and reloads what is saved
stoker deploy template.yaml           # the same once, to a server that runs (stoker serve)
stoker invoke app:handler @events/{event} --code src
pip install -r requirements-dev.txt && pytest
```
"""
_PYTEST = "[pytest]\npythonpath = src\ntestpaths = tests\n"
_IGNORED = ".stoker/\n.pytest_cache/\n__pycache__/\n.venv/\n"


def run(options: argparse.Namespace) -> int:
    if not options.name:
        for name, folder in samples().items():
            print(f"{name:<12} {_about(folder)}")
        return OK
    target = Path(options.name)
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9-]{0,127}", target.name):
        raise UsageError(f"{target.name}: a stack's name is a letter, then letters, digits or hyphens")
    source = samples().get(options.template)
    if source is None:
        raise UsageError(f"--template {options.template}: there are {', '.join(samples())}")
    try:
        written = list(_made(source, target))
    except FileExistsError:
        raise UsageError(f"{target} is there already") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be made: {error.strerror}") from None
    for path in sorted(written):
        print(path)
    print(f"next: cd {target} && stoker dev template.yaml")
    return OK


def samples() -> dict[str, Path]:
    """Folders by name: in the package, or, of a checkout, beside it."""
    root = next(path for path in (_ENGINE / "samples", _ENGINE.parent / "handlers") if path.is_dir())
    return {path.parent.name: path.parent for path in sorted(root.glob("*/template.yaml"))}


def _made(source: Path, target: Path) -> Iterator[Path]:
    """Make the project; its files. Raises OSError."""
    target.mkdir(parents=True)

    def write(name: str, text: str) -> Path:
        path = target / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    template = (source / "template.yaml").read_text()
    runtime = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    template = re.sub(r"(?m)^( +CodeUri:) \.$", r"\1 src/", template)
    yield write("template.yaml", re.sub(r"(?m)^( +Runtime:) python3\.\d+$", rf"\1 {runtime}", template))
    for name in ("app.py", "requirements.txt"):
        if (source / name).exists():
            yield Path(shutil.copy(source / name, write(f"src/{name}", "")))
    for folder in ("tests", "events"):
        for path in sorted((source / folder).glob("*.*")):
            yield Path(shutil.copy(path, write(f"{folder}/{path.name}", "")))
    needed = "-r src/requirements.txt\n" if (source / "requirements.txt").exists() else ""
    yield write("requirements-dev.txt", f"{needed}pytest>=8\n")
    yield write("pytest.ini", _PYTEST)
    yield write(".gitignore", _IGNORED)
    events = sorted(
        path.name for path in (source / "events").glob("*.json") if not path.name.startswith("bad-")
    )
    about = (source / "README.md").read_text().splitlines()[0] + "\n"
    yield write("README.md", _README.format(name=target.name, about=about, event=events[0]))


def _about(folder: Path) -> str:
    return (folder / "template.yaml").read_text().splitlines()[0].removeprefix("# ")
