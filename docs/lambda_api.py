"""Writes docs/lambda-api.md, the table of the Lambda API's operations and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.aws.model import Model  # noqa: E402
from engine.aws.names import Place  # noqa: E402
from engine.durable.state import States  # noqa: E402
from engine.services.lambda_ import catalog  # noqa: E402

PAGE = ROOT / "docs" / "lambda-api.md"
ON_THE_WAY = {"Invoke", "InvokeAsync", "InvokeWithResponseStream"}  # not the control plane's


class _Nothing:
    """A store that holds nothing."""

    def load(self, _kind: object) -> list[object]:
        return []


def implemented() -> set[str]:
    place = Place("us-east-1", "000000000000")
    state = States(_Nothing()).of(place.partition)  # type: ignore[arg-type]
    control = catalog.Control(state=state, place=place, packages=None, runtimes=())  # type: ignore[arg-type]
    operations, _settle = catalog.assemble(control)
    return set(operations) | ON_THE_WAY


def text() -> str:
    """The page."""
    names = sorted(Model.load("lambda").names)
    done = implemented()
    lines = [
        "# The Lambda API, operation by operation",
        "",
        f"{len(names)} operations stand in AWS's model (2015-03-31); {len(done)} are implemented. The others are "
        "refused",
        "with `NotImplementedException` (501), which names this page. Written by `python docs/lambda_api.py`.",
        "",
        "| operation | |",
        "|---|---|",
    ]
    lines += [f"| {name} | {'implemented' if name in done else 'refused'} |" for name in names]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
    print(f"wrote {PAGE}")
