"""The page in a real browser, on a desk and on a phone, light and dark: nothing complains, overlaps or is cut off."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit" / "load"))  # for the runs it is made of
pytest.importorskip("hdrh.histogram", reason="pip install stoker[load]")
pytest.importorskip("selenium", reason="pip install selenium")
import results
from browsers import chromium, needs_chromium
from support import until

from engine.load.report.page import render

VIEWS = {"desk": (1280, 900, False), "tablet": (768, 1024, True), "phone": (390, 844, True)}
pytestmark = needs_chromium

# Of every chart that is shown: its box, its texts and theirs, and the size of the smallest.
MEASURE = """
const box = (it) => {
  const {left, top, right, bottom} = it.getBoundingClientRect();
  return [left, top, right, bottom];
};
const shown = [...document.querySelectorAll("svg.chart")].filter((it) => it.getClientRects().length);
return shown.map((svg) => ({
  name: svg.getAttribute("aria-label"),
  box: box(svg),
  size: Math.min(...[...svg.querySelectorAll("text")].map(
    (it) => parseFloat(getComputedStyle(it).fontSize) * svg.getScreenCTM().a)),
  texts: [...svg.querySelectorAll("text")].map((it) => [it.textContent, ...box(it)]),
  colour: getComputedStyle(svg.querySelector(".paper")).fill,
}));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module", params=results.ALL)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = results.ALL[request.param]()
    against = results.short() if request.param == "voided" else None
    path = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    path.write_text(render(made, against), encoding="utf-8")
    return path


def opened(browser: Any, page: Path, view: str, scheme: str) -> list[dict[str, Any]]:
    width, height, mobile = VIEWS[view]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(page.as_uri())
    # On a busy machine the driver goes on before all of the page is there.
    until(lambda: browser.execute_script("return document.readyState") == "complete", what="the page")
    charts: list[dict[str, Any]] = browser.execute_script(MEASURE)
    return charts


@pytest.mark.promise(86)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_it_is_all_there_and_legible(browser: Any, page: Path, view: str, scheme: str) -> None:
    charts = opened(browser, page, view, scheme)
    assert browser.get_log("browser") == []
    width = VIEWS[view][0]
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert len(charts) == browser.execute_script('return document.querySelectorAll("figure").length') >= 4
    for chart in charts:
        left, top, right, bottom = chart["box"]
        assert 0 <= left < left + 200 < right <= width, chart["name"]
        assert bottom - top > 80, chart["name"]
        assert chart["size"] >= 10, chart["name"]
        assert chart["colour"] == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(23, 27, 34)")
        for text, x0, _, x1, y1 in chart["texts"]:
            assert left - 1 <= x0 < x1 <= right + 1, (chart["name"], text)
            assert y1 <= bottom + 1, (chart["name"], text)
        overlapping = [
            (one[0], other[0])
            for number, one in enumerate(chart["texts"])
            for other in chart["texts"][number + 1 :]
            if overlap(one[1:], other[1:])
        ]
        assert overlapping == [], chart["name"]


def overlap(one: list[float], other: list[float]) -> bool:
    """By more than the empty space around letters."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 0 and down > 4


def test_what_is_pointed_at_says_its_figures(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(results.stalled()), encoding="utf-8")
    opened(browser, page, "desk", "light")
    text = browser.execute_script(
        """
        const over = [...document.querySelectorAll("svg.chart .hit rect")].find((it) => it.getClientRects().length);
        over.scrollIntoView({block: "center"});
        const {left, top} = over.getBoundingClientRect();
        over.dispatchEvent(new PointerEvent("pointermove", {clientX: left + 1, clientY: top + 50, bubbles: true}));
        const tip = document.getElementById("tip"), text = tip.hidden ? "" : tip.innerText;
        document.body.dispatchEvent(new PointerEvent("pointermove", {bubbles: true}));
        return [text, tip.hidden];
        """
    )
    assert text[0].startswith("p")
    assert "all requests" in text[0]
    assert text[1] is True
    assert browser.get_log("browser") == []


@pytest.mark.promise(86)
def test_nothing_needs_the_script(browser: Any, page: Path) -> None:
    """With scripts off the same charts are there, and what is pointed at has a title."""
    charts = opened(browser, page, "phone", "light")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        again = opened(browser, page, "phone", "light")
        titles = browser.execute_script('return document.querySelectorAll(".hit title").length')
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert [it["box"] for it in again] == [it["box"] for it in charts]
    assert titles > 0
