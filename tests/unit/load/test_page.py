"""The page: whole, alone, and the same text as was given, however hostile."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import msgspec
import pytest
import results

pytest.importorskip("hdrh.histogram", reason="pip install stoker[load]")
from engine.load.report.page import render
from engine.load.result import Result

pytestmark = pytest.mark.slow
VOID_ELEMENTS = {"meta", "link", "br"}


class Reader(HTMLParser):
    """What a browser would make of it: elements, which must close in order, and the text in each kind of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, str] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    @property
    def all_text(self) -> str:
        return " ".join(self.text.values()).replace("\xa0", " ")


@pytest.mark.parametrize("name", results.ALL)
def test_it_is_whole_and_asks_for_nothing(name: str) -> None:
    page = render(results.ALL[name]())
    read = Reader(page)
    assert not {"img", "iframe", "object", "audio", "video", "form"} & {tag for tag, _, _ in read.attributes}
    assert {value for tag, _, value in read.attributes if tag == "link"} == {"icon", "data:,"}
    for _, attribute, value in read.attributes:
        assert not attribute.startswith("on")
        assert attribute not in ("src", "action", "xlink:href")
        assert not re.search(r"https?:", value) or (attribute, value) == (
            "xmlns",
            "http://www.w3.org/2000/svg",
        )
    assert not re.search(r"url\(|@import", read.text["style"])
    assert not re.search(r"\b(nan|inf|None)\b", read.all_text)
    page.encode()


def test_the_policy_allows_its_own_script_alone() -> None:
    page = render(results.short())
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'")
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_hostile_text_is_only_text() -> None:
    hostile = (
        '</title></script><script>alert("1")</script><img src=x onerror=alert(2)>\'&\x00\x1b\u202e\ud800'
    )
    made = results.stalled()
    made = msgspec.structs.replace(
        made, name=hostile, target=hostile, arrivals=hostile, payload=hostile, stoker=hostile, started=hostile,
        machine={hostile: hostile}, void=[hostile], ended={hostile: 3, "error": 2}, parts={hostile: made.latency},
        reasons={"error": {hostile: 2}, hostile: {hostile: 3}}, stages=[], knee=None,
    )  # fmt: skip
    read = Reader(render(made, made))
    assert "img" not in {tag for tag, _, _ in read.attributes}
    assert "alert" not in read.text["script"]
    seen = re.sub("[\x00\x1b\u202e\ud800]", "\ufffd", hostile)
    assert read.text["title"].startswith(f"VOID: {seen}")
    for element in ("h1", "dd", "dt", "li", "bdi", "th", "footer"):
        assert seen in read.text[element], element


def test_a_void_run_says_so_first() -> None:
    page = render(msgspec.structs.replace(results.short(), void=["lag of 38 ms", "steal of 12 %"]))
    assert "<title>VOID: one second" in page
    banner = page.index("This run is void")
    assert banner < page.index("lag of 38 ms") < page.index("steal of 12 %") < page.index("Goodput")
    assert "This run is void" not in render(results.short())


def text(made: Result, against: Result | None = None) -> str:
    return Reader(render(made, against)).all_text


def test_figures_and_their_intervals() -> None:
    page = text(results.cold())
    assert "19.9 ms" in page
    assert "95 %: 19.7 ms to 20.1 ms" in page
    assert "engine 6.20 µs, workers 48.0 µs, generator 21.4 µs" in page
    assert "ValueError: the amount must be above 0" in page
    assert "differed by a factor of 1.02 at p50 and 1.11 at p99" in page
    assert "AMD EPYC" in page


def test_few_requests_have_no_rare_quantiles() -> None:
    assert "of 34 only" in text(results.short())
    assert " only" not in text(results.stalled())


def test_nothing_answered_has_no_latency() -> None:
    page = text(results.unanswered())
    assert "0 ns" not in page
    assert "nothing was answered" in page
    assert "connection refused" in page


def test_another_run_stands_beside_it() -> None:
    page = text(results.short(), results.stalled())
    assert "compared with 731 ms" in page
    assert "compared with" not in text(results.short())


def test_a_closed_loop_says_what_it_hides() -> None:
    assert "a slow target is asked less" in text(msgspec.structs.replace(results.short(), loop="closed"))
    assert "asked less" not in text(results.short())


def test_latency_against_load_is_a_ramps() -> None:
    assert "Latency against offered load" in text(results.ramped())
    assert "Latency against offered load" not in text(results.stalled())
