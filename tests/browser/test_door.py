"""A web page of another origin in a real browser: whatever it sends to the server, nothing runs and nothing is read."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("selenium", reason="pip install selenium")
from browsers import chromium, needs_chromium
from open_function import deploy
from selenium.webdriver.support.ui import WebDriverWait
from served import ROLE, RUNTIME, Served

pytestmark = needs_chromium

# Each way in which a page can send a request; what it can read of the response.
PAGE = """<!doctype html><title>evil</title><iframe name="sink"></iframe><script>
const server = "%s", results = {};
const invoke = server + "/2015-03-31/functions/mark/invocations";
const create = server + "/2015-03-31/functions/";
const read = (name, promise) => promise.then(async (r) => [r.type, r.status, await r.text()], (e) => ["error", 0, ""])
  .then((seen) => { results[name] = seen; });
const text = {"Content-Type": "text/plain"};
const works = [
  read("cors", fetch(invoke, {method: "POST", body: "{}"})),
  read("preflight", fetch(invoke, {method: "POST", body: "{}", headers: {"X-Amz-Invocation-Type": "Event"}})),
  read("no-cors", fetch(invoke, {method: "POST", mode: "no-cors", body: "{}", headers: text})),
  read("no-cors create", fetch(create, {method: "POST", mode: "no-cors", body: JSON.stringify(%s), headers: text})),
  read("list", fetch(create)),
  read("logs", fetch(server + "/", {method: "POST", mode: "no-cors", body: "{}", headers: text})),
  new Promise((done) => {
    const form = document.createElement("form");
    form.method = "POST"; form.action = invoke; form.target = "sink"; form.enctype = "text/plain";
    document.body ? document.body.append(form) : document.documentElement.append(form);
    document.querySelector("iframe").onload = () => { results.form = ["sent"]; done(); };
    form.submit();
  }),
  new Promise((done) => {
    const image = new Image();
    image.onload = () => { results.image = ["loaded"]; done(); };
    image.onerror = () => { results.image = ["error"]; done(); };
    image.src = create;
  }),
  new Promise((done) => {
    const socket = new WebSocket(invoke.replace("http", "ws"));
    socket.onopen = () => { results.socket = ["open"]; done(); };
    socket.onerror = () => { results.socket = ["error"]; done(); };
  }),
];
Promise.all(works).then(() => { window.results = results; });
</script>"""
MARK = "import os\ndef handler(event, context):\n    open(os.environ['MARK'], 'w').close()\n    return 'secret'\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "state")
    yield made
    assert made.stop() == 0


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path / "profile") as driver:
        yield driver


@pytest.mark.slow
@pytest.mark.promise(88)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin(server: Served, browser: Any, tmp_path: Path, name: str) -> None:
    client = server.client()
    deploy(client, "mark", MARK)
    mark = tmp_path / "mark"
    client.update_function_configuration(FunctionName="mark", Environment={"Variables": {"MARK": str(mark)}})
    before = sorted(each["FunctionName"] for each in client.list_functions()["Functions"])
    create = {"FunctionName": "evil", "Runtime": RUNTIME, "Role": ROLE, "Handler": "app.handler",
              "Code": {"ZipFile": ""}}  # fmt: skip
    page = (PAGE % (f"http://{name}:{urlsplit(server.url).port}", json.dumps(create))).encode()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *args: object) -> None: ...

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    try:
        browser.get(f"http://evil.localhost:{site.server_port}/")
        found = WebDriverWait(browser, 60).until(
            lambda driver: driver.execute_script("return window.results")
        )
    finally:
        site.shutdown()
        thread.join()
        site.server_close()
    assert found["image"] == ["error"]
    assert found["socket"] == ["error"]
    for way in ("cors", "preflight", "list"):
        assert found[way] == ["error", 0, ""], way
    for way in ("no-cors", "no-cors create", "logs"):  # sent, and unreadable
        assert found[way] == ["opaque", 0, ""], way
    assert not mark.exists()
    assert sorted(each["FunctionName"] for each in client.list_functions()["Functions"]) == before
    assert client.invoke(FunctionName="mark")["Payload"].read() == b'"secret"'
    assert mark.exists(), "the mark shows that the function runs when it is asked for"
