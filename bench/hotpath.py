"""Instructions of an invocation in the native code, counted by callgrind, against a baseline.

`python -m bench.hotpath` compares; with `--write` the count becomes the baseline.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "native"
BASELINE = ROOT / "bench" / "baselines" / "hotpath.json"
# One of the C tests: it uses their rig and runs under each sanitizer, too.
DRIVER = ROOT / "tests" / "native" / "hotpath.c"
PARTS = {
    "submit": "stk_submit",
    "next": "stk_worker_next",
    "reply": "stk_worker_reply",
    "reap": "stk_reap",
}
IN_PYTHON = {
    "json",
    "call",
    "http",
    "observe",
    "print",
    "turn",
}  # rooms of extension modules: they need Python
FEW, MANY = 200, 1200  # the difference of two runs excludes the start-up
FLAGS = ["-std=c11", "-O2", "-g"]


@dataclass(frozen=True)
class Verdict:
    """kept: None where nothing could be compared; the line has the reason."""

    kept: bool | None
    lines: list[str]


def compiler() -> str:
    """The machine and compiler: only counts of the same kind are compared."""
    version = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True)
    return f"{platform.machine()}-gcc-{version.stdout.strip().partition('.')[0]}"


def _counts(binary: Path, iterations: int) -> dict[str, int]:
    """Instructions of each part, including its callees."""
    out = binary.with_suffix(f".{iterations}")
    subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--compress-strings=no",
            "--compress-pos=no",
            f"--callgrind-out-file={out}",
            str(binary),
            str(iterations),
        ],
        check=True,
        capture_output=True,
        timeout=300,
    )
    inclusive = dict.fromkeys(PARTS, 0)
    names = {function: part for part, function in PARTS.items()}
    within, callee, cost_next = "", "", False
    for line in out.read_text().splitlines():
        if cost_next:  # the line after calls=: position and cost of the calls
            if within == "main" and callee in names:
                inclusive[names[callee]] += int(line.split()[1])
            cost_next = False
        elif line.startswith("fn="):
            within = line[3:]
        elif line.startswith("cfn="):
            callee = re.sub(r"'\d+$", "", line[4:])
        elif line.startswith("calls="):
            cost_next = True
    return inclusive


def instructions_per_invocation(sources: Path = NATIVE) -> dict[str, int]:
    """Instructions per invocation, by part and in total. `sources`: native/, or a changed copy of it."""
    with tempfile.TemporaryDirectory() as directory:
        binary = Path(directory) / "hotpath"
        code = [str(path) for path in sorted(sources.rglob("*.c")) if path.parent.name not in IN_PYTHON]
        built = subprocess.run(
            ["gcc", *FLAGS, f"-I{sources}", str(DRIVER), *code, "-lpthread", "-o", str(binary)],
            capture_output=True,
            text=True,
            check=False,
        )
        if built.returncode:
            raise RuntimeError(built.stderr)
        few, many = _counts(binary, FEW), _counts(binary, MANY)
    each = {part: round((many[part] - few[part]) / (MANY - FEW)) for part in PARTS}
    if not all(each.values()):
        raise RuntimeError(f"callgrind's output was not understood: {each}")
    return {**each, "total": sum(each.values())}


def check(tolerance: float = 0.03, sources: Path = NATIVE) -> Verdict:
    """Kept when the total is at most that much above the baseline; the parts are listed to show where it grew."""
    missing = [tool for tool in ("gcc", "valgrind") if shutil.which(tool) is None]
    if missing:
        tools = " ".join(missing)
        return Verdict(None, [f"instructions not counted: not found: {tools} (apt-get install {tools})"])
    kind = compiler()
    baselines: dict[str, dict[str, int]] = json.loads(BASELINE.read_text())
    if kind not in baselines:
        kinds = ", ".join(baselines)
        make = "python -m bench.hotpath --write"
        return Verdict(None, [f"instructions not compared: no baseline for {kind}, only {kinds} ({make})"])
    baseline, counted = baselines[kind], instructions_per_invocation(sources)
    limit = baseline["total"] * (1 + tolerance)
    lines = [
        f"{part}: {count} instructions, {baseline[part]} in the baseline ({count / baseline[part] - 1:+.1%})"
        for part, count in counted.items()
    ]
    if counted["total"] > limit:
        lines.append(f"too many: the limit is {limit:.0f}; if it must be, python -m bench.hotpath --write")
        return Verdict(False, lines)
    if counted["total"] < baseline["total"] * (1 - tolerance):
        lines.append("fewer than the baseline says: keep it so with python -m bench.hotpath --write")
    return Verdict(True, lines)


def write() -> None:
    baselines = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    baselines[compiler()] = instructions_per_invocation()
    BASELINE.parent.mkdir(parents=True, exist_ok=True)
    BASELINE.write_text(json.dumps(baselines, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    verdict = check()
    print(*verdict.lines, sep="\n")
    sys.exit(verdict.kept is False)
