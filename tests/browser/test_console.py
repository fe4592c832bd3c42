"""The console in a real Chromium, on a desk and on a phone, light and dark: it works, nothing complains, and nothing
that a function, a message or a log says becomes markup."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="pip install selenium")
from browsers import chromium, needs_chromium
from clients import AXE, needs_axe
from consoled import EVIL, a_trace, furnish, waiting
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from served import Served
from support import until

pytestmark = needs_chromium
VIEWS = {"desk": (1280, 900, False), "phone": (390, 844, True)}
PAGES = (
    "functions", "function/shop", "function/shop/code", "function/shop/configuration", "function/shop/test",
    "function/shop/logs", "function/shop/versions", "function/shop/triggers", "map", "mappings", "queues", "traces",
    "trace",
)  # fmt: skip
# What is there once a page has what it shows.
READY = {
    "functions": "canvas", "function/shop": "section.part canvas", "function/shop/code": ".listingcode",
    "function/shop/configuration": "dl.members", "function/shop/test": "#event", "function/shop/logs": ".log .line",
    "function/shop/versions": "section.part tbody tr", "function/shop/triggers": "ul.plain", "map": "svg .node",
    "mappings": "tbody tr", "queues": "tbody tr", "traces": "tbody tr", "trace": ".waterfall li",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("served") / "state")
    furnish(made)
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def visit(server: Served, browser: Any) -> Callable[..., None]:
    def visited(page: str, view: str = "desk", scheme: str = "light") -> None:
        width, height, mobile = VIEWS[view]
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        path = f"trace/{a_trace(server)}" if page == "trace" else page
        browser.get("about:blank")
        browser.get(f"{server.url}/_stoker/#/{path}")
        until(lambda: found(browser, READY[page]), what=f"{READY[page]} on {page}")
        until(lambda: browser.find_element(By.ID, "live").text == "live", what="the feed")

    return visited


def found(browser: Any, selector: str) -> Any:
    return browser.find_elements(By.CSS_SELECTOR, selector)


def texts(browser: Any, selector: str) -> list[str]:
    """Of elements that may be drawn anew meanwhile."""
    return list(
        browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)", selector
        )
    )


def press(browser: Any, label: str) -> None:
    script = """const found = [...document.querySelectorAll("button")].find((it) =>
        it.textContent === arguments[0] || it.getAttribute("aria-label") === arguments[0]);
        if (found) found.click(); return Boolean(found)"""
    until(lambda: browser.execute_script(script, label), what=f"the button {label}")


@needs_axe
@pytest.mark.promise(308, 311, 313)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_each_page_fits_and_nothing_complains(
    visit: Callable[..., None], browser: Any, view: str, scheme: str
) -> None:
    for page in PAGES:
        visit(page, view, scheme)
        width = VIEWS[view][0]
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        assert browser.execute_script("return window.hit") is None, page
        assert found(browser, "main img, main script") == [], page
        paper = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) > 500) == (scheme == "light"), page
        if (view == "desk") == (scheme == "light"):  # each width and each scheme once
            assert serious(browser) == [], page
        assert browser.get_log("browser") == [], page


def serious(browser: Any) -> list[str]:
    """What axe-core finds. It is put there by the debugger, which no policy of the page forbids."""
    if not browser.execute_script("return typeof axe === 'object'"):
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
    result = browser.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done, (e) => done(String(e)))"
    )
    assert isinstance(result, dict), result
    return [
        f"{each['id']}: {[node['html'][:160] for node in each['nodes'][:3]]}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.promise(308)
def test_what_happens_is_seen(visit: Callable[..., None], browser: Any, server: Served) -> None:
    visit("functions")
    before = row(browser, "idle")
    api, over, pairs = server.client(), threading.Event(), list[None]()

    def work() -> None:
        while not over.is_set():
            api.invoke(FunctionName="idle", Payload=b"{}")
            api.invoke(FunctionName="idle", Payload=b'{"fail": true}')
            pairs.append(None)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        until(lambda: float(row(browser, "idle")[1]) > 0, what="a rate")
        until(lambda: "s" in row(browser, "idle")[3], what="a p99")
        until(lambda: row(browser, "idle")[7] != "0", what="errors")
    finally:
        over.set()
        thread.join()
    until(lambda: row(browser, "idle")[1] == "0", what="quiet")
    api.invoke(FunctionName="idle")
    until(lambda: row(browser, "idle")[6] == str(2 * len(pairs) + 1), what="each invocation")
    assert before[0] == "idle"


def row(browser: Any, name: str) -> list[str]:
    script = """const head = [...document.querySelectorAll("tbody th")].find((it) => it.textContent === arguments[0]);
        return head ? [...head.parentElement.children].map((it) => it.textContent) : null"""
    return list(until(lambda: browser.execute_script(script, name), what=f"the row of {name}"))


@pytest.mark.promise(309)
def test_a_test_event_and_its_result(visit: Callable[..., None], browser: Any) -> None:
    visit("function/shop/test")
    send(browser, '{"n": 41}')
    until(lambda: texts(browser, ".result .tag") == ["Succeeded"], what="a result")
    payload, log = texts(browser, ".result pre")
    assert json.loads(payload) == {"got": {"n": 41}, "text": EVIL}
    assert EVIL in log
    assert "REPORT RequestId" in log
    send(browser, '{"fail": true}')
    until(lambda: texts(browser, ".result .tag") == ["Failed"], what="a failure")
    assert json.loads(texts(browser, ".result pre")[0])["errorMessage"] == EVIL
    send(browser, "{")
    until(lambda: any("JSON" in each for each in texts(browser, ".note.bad")), what="a complaint")
    assert browser.execute_script("return window.hit") is None
    assert browser.get_log("browser") == []


def send(browser: Any, event: str) -> None:
    browser.execute_script("document.getElementById('event').value = arguments[0]", event)
    press(browser, "Invoke")


@pytest.mark.promise(309)
def test_the_log_comes_live(visit: Callable[..., None], browser: Any, server: Served) -> None:
    visit("function/shop/logs")
    sent: list[str] = []

    def come() -> bool:
        reply = server.client().invoke(FunctionName="shop", Payload=b'{"live": 1}')
        sent.append(reply["ResponseMetadata"]["RequestId"])
        shown = "".join(texts(browser, ".log .line"))
        return any(f"END RequestId: {each}" in shown for each in sent)

    until(come, what="the invocation's lines")
    assert browser.get_log("browser") == []


@pytest.mark.promise(311)
def test_dead_letters_go_back(visit: Callable[..., None], browser: Any, server: Served) -> None:
    sqs = server.client("sqs")
    visit("queues")
    until(lambda: row(browser, "letters-dead")[1] == "1", what="a dead letter")
    press(browser, "Look into letters-dead")
    until(lambda: any(EVIL in each for each in texts(browser, ".letters pre")), what="its text")
    press(browser, "Redrive letters-dead")
    until(lambda: waiting(sqs, "letters") == 1, what="the letter in its queue")
    until(lambda: row(browser, "letters")[1] == "1", what="its row")
    assert row(browser, "letters-dead")[1] == "0"
    assert browser.execute_script("return window.hit") is None


def test_it_is_used_by_keys(visit: Callable[..., None], browser: Any) -> None:
    visit("functions")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "skip"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    link = browser.find_element(By.CSS_SELECTOR, "tbody a[href='#/function/shop']")
    browser.execute_script("arguments[0].focus()", link)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(lambda: texts(browser, "h1") == ["shop"], what="the function")
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    press(browser, "Dark theme")
    assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    press(browser, "Light theme")
    browser.execute_script("localStorage.removeItem('stoker-theme')")
    assert browser.get_log("browser") == []


@pytest.mark.promise(314)
def test_where_requests_must_be_signed(browser: Any, tmp_path: Path) -> None:
    keys = tmp_path / "credentials"
    keys.write_text("[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = s3cret\n")
    server = Served(tmp_path / "state", "--auth", str(keys))
    try:
        link = re.search(
            r"console +(\S+)", until(lambda: "#token=" in server.log.read_text() and server.log.read_text())
        )
        assert link is not None
        browser.get("about:blank")
        browser.get(link[1])
        until(lambda: texts(browser, "h1") == ["Functions"], what="the page by the link")
        assert "token" not in browser.current_url
        assert browser.execute_script("return document.cookie") == ""
        press(browser, "Sign out")
        until(lambda: texts(browser, "h1") == ["Sign in"], what="the way in")
        browser.get("about:blank")
        browser.get(link[1])
        until(lambda: texts(browser, "h1") == ["Sign in"], what="a link that was used")
        for secret, heading in (("wrong", "Sign in"), ("s3cret", "Functions")):
            browser.execute_script(
                """document.getElementById("key").value = "AKIATEST";
                document.getElementById("secret").value = arguments[0];
                document.querySelector("form").requestSubmit()""",
                secret,
            )
            if secret == "wrong":
                until(lambda: "no longer" in "".join(texts(browser, "form .bad")), what="a refusal")
            until(lambda heading=heading: texts(browser, "h1") == [heading], what=heading)  # type: ignore[misc]
    finally:
        browser.get("about:blank")
        browser.get_log("browser")
        assert server.stop() == 0


@pytest.mark.promise(314)
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"},
     {"Content-Type": "text/plain"}],
)  # fmt: skip
@pytest.mark.parametrize("path", ["console/test", "console/call/sqs/StartMessageMoveTask", "console/follow"])
def test_nothing_is_done_for_other_pages(server: Served, path: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    body = json.dumps({"function": "shop", "event": "{}"})
    connection.request("POST", f"/_stoker/{path}", body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    found = json.loads(response.read())
    assert (response.status, found["code"]) == (
        (400, "ValidationException") if "Content-Type" in headers else (403, "AccessDeniedException")
    )
    connection.close()


def test_only_what_it_needs_may_be_called(server: Served) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    headers = {"Content-Type": "application/json"}
    for path in ("lambda/DeleteFunction", "sqs/PurgeQueue", "iam/CreateUser"):
        connection.request("POST", f"/_stoker/console/call/{path}", "{}", headers)
        found = json.loads(connection.getresponse().read())
        assert "The console does not call" in found["fault"]["message"]
    for path in ("console/unknown", "console/../health"):
        connection.request("GET", f"/_stoker/{path}")
        response = connection.getresponse()
        response.read()
        assert response.status == 404
    connection.request("GET", "/_stoker")
    response = connection.getresponse()
    response.read()
    assert (response.status, response.getheader("location")) == (308, "/_stoker/")
    connection.close()
