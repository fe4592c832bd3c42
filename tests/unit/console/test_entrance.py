"""Who may see the console, and for how long; and which files of a package, and of the page, anybody gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.aws.faults import Fault
from engine.aws.messages import Request
from engine.aws.names import Place
from engine.console import assets, sources
from engine.console.entrance import LINK_SECONDS, SECONDS, Entrance

HERE = Place("eu-west-1", "111111111111")
KEYS = {"AKIA": "secret", "222222222222": "other", "THIRD": "third"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entrance(clock: Clock) -> Entrance:
    return Entrance(KEYS, {"THIRD": "333333333333"}, HERE, clock)


def request(cookie: str = "", host: str = "localhost:9001") -> Request:
    return Request("GET", "/_stoker/", "", [("host", host), ("cookie", cookie.partition(";")[0])])


@pytest.mark.promise(314)
def test_a_link_is_for_once_and_not_for_long(entrance: Entrance, clock: Clock) -> None:
    token = entrance.fragment.removeprefix("#token=")
    assert len(token) > 40
    with pytest.raises(Fault):
        entrance.visitor(request())
    with pytest.raises(Fault):
        entrance.enter(request(), {"token": token[:-1] + "é"})
    cookie = entrance.enter(request(), {"token": token})
    assert cookie.endswith("; Path=/_stoker/; Max-Age=43200; HttpOnly; SameSite=Strict")
    assert cookie.startswith("stoker-console-9001=")
    assert entrance.visitor(request(cookie)).account == HERE.account
    with pytest.raises(Fault):
        entrance.enter(request(), {"token": token})
    with pytest.raises(Fault):
        entrance.visitor(request(cookie, host="localhost:9002"))
    clock.now += SECONDS + 1
    with pytest.raises(Fault):
        entrance.visitor(request(cookie))


def test_a_link_that_is_too_old(entrance: Entrance, clock: Clock) -> None:
    clock.now += LINK_SECONDS + 1
    with pytest.raises(Fault, match="no longer"):
        entrance.enter(request(), {"token": entrance.fragment.removeprefix("#token=")})


@pytest.mark.promise(314)
@pytest.mark.parametrize(
    ("key", "account"),
    [("AKIA", HERE.account), ("222222222222", "222222222222"), ("THIRD", "333333333333")],
)
def test_a_key_shows_its_account_only(entrance: Entrance, key: str, account: str) -> None:
    cookie = entrance.enter(request(), {"key": key, "secret": KEYS[key]})
    assert entrance.visitor(request(cookie)).account == account
    entrance.leave(request(cookie))
    with pytest.raises(Fault):
        entrance.visitor(request(cookie))


@pytest.mark.parametrize(
    "given",
    [{}, {"token": None}, {"token": ""}, {"key": "AKIA"}, {"key": "AKIA", "secret": ""}, {"key": "x", "secret": ""},
     {"key": "AKIA", "secret": "Secret"}, {"key": ["AKIA"], "secret": "secret"}],
)  # fmt: skip
def test_what_is_no_way_in(entrance: Entrance, given: dict[str, object]) -> None:
    with pytest.raises(Fault):
        entrance.enter(request(), given)


def test_where_nobody_signs_everybody_may(clock: Clock) -> None:
    entrance = Entrance(None, {}, HERE, clock)
    assert entrance.fragment == ""
    assert entrance.visitor(request()).account is None
    with pytest.raises(Fault):
        entrance.enter(request(), {"key": "", "secret": ""})


def test_an_odd_cookie_is_none(entrance: Entrance) -> None:
    for cookie in ("=", "a b c", "stoker-console-9001", "\x00"):
        with pytest.raises(Fault):
            entrance.visitor(request(cookie))


def test_sources_are_of_the_package_only(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    (tree / "app.py").write_text("é = 1\n")
    (tree / "lib/data.bin").write_bytes(b"\0\1")
    (tree / "lib/latin.txt").write_bytes(b"\xe9")
    (tmp_path / "secret").write_text("secret")
    (tree / "link").symlink_to(tmp_path / "secret")
    (tree / "up").symlink_to(tmp_path)
    found = sources.listed(tree)
    assert found == {"files": [["app.py", 7], ["lib/data.bin", 2], ["lib/latin.txt", 1]], "more": False}
    assert sources.text(tree, "app.py") == {"text": "é = 1\n", "size": 7}
    assert sources.text(tree, "lib/data.bin") == {"text": None, "size": 2}
    assert sources.text(tree, "lib/latin.txt") == {"text": None, "size": 1}
    for path in (
        "../secret",
        "link",
        "up/secret",
        str(tmp_path / "secret"),
        "lib",
        "",
        "no",
        "\0",
        "x" * 5000,
    ):
        assert sources.text(tree, path) is None, path


def test_a_large_file_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x" * 100)
    (tmp_path / "b.py").write_text("x")
    monkeypatch.setattr(sources, "TEXT_BYTES", 99)
    monkeypatch.setattr(sources, "FILES", 1)
    assert sources.text(tmp_path, "a.py") == {"text": None, "size": 100}
    assert sources.listed(tmp_path) == {"files": [["a.py", 100]], "more": True}


@pytest.mark.promise(313)
def test_the_page_s_files_have_a_strict_policy_and_nothing_from_elsewhere() -> None:
    names = set(assets.assets())
    assert {"index.html", "main.js", "console.css", "vendor/uPlot.min.js", "vendor/uPlot.min.css"} <= names
    for name, asset in assets.assets().items():
        found = assets.response(name, "", False)
        assert found is not None
        assert found.status == 200
        policy = dict(found.headers)[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not any(each in policy for each in ("http:", "https:", "*", "data:"))
        again = assets.response(name, asset.tag, False)
        assert again is not None
        assert again.status == 304
        if not name.startswith("vendor/"):
            text = asset.body.decode()
            assert "innerHTML" not in text
            assert "https://" not in text
            assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert assets.response("../feed.py", "", False) is None
