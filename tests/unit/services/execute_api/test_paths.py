"""Which of an API's paths is the most specific for a request's: AWS's documented examples, and each rule by itself."""

from __future__ import annotations

import pytest

from engine.services.execute_api.paths import Paths, split

PETS = ("/{proxy+}", "/pets/{proxy+}", "/pets/dog/{id}", "/pets/dog/1")


@pytest.mark.promise(197)
@pytest.mark.parametrize(
    ("paths", "asked", "found", "parameters"),
    [
        (PETS, "/pets/dog/1", "/pets/dog/1", {}),
        (PETS, "/pets/dog/2", "/pets/dog/{id}", {"id": "2"}),
        (PETS, "/pets/cat/1", "/pets/{proxy+}", {"proxy": "cat/1"}),
        (PETS, "/test/5", "/{proxy+}", {"proxy": "test/5"}),
        (PETS, "/", None, {}),
        (("/{a}/b", "/pets/{proxy+}"), "/pets/b", "/{a}/b", {"a": "pets"}),  # a whole match before a greedy one
        (("/{a}/b", "/pets/{c}"), "/pets/b", "/pets/{c}", {"c": "b"}),
        (("/a/{x}/{y+}", "/a/{z+}"), "/a/1/2/3", "/a/{x}/{y+}", {"x": "1", "y": "2/3"}),
        (("/a/{z+}",), "/a", None, {}),
        (("/a/{z+}",), "/a/", None, {}),
        (("/a",), "/a/", None, {}),
        (("/a/",), "/a/", "/a/", {}),
        (("/a/{b}",), "/a/", None, {}),
        (("/a b/{c}",), "/a%20b/d%2Fe", "/a b/{c}", {"c": "d/e"}),
        (("/",), "/", "/", {}),
        (("/a",), "/A", None, {}),
    ],
)  # fmt: skip
def test_the_most_specific_path(
    paths: tuple[str, ...], asked: str, found: str | None, parameters: dict[str, str]
) -> None:
    for order in (paths, paths[::-1]):
        first = next(Paths((path, path) for path in order).matching(split(asked)), (None, {}))
        assert first == (found, parameters)


def test_every_match_in_order() -> None:
    found = Paths((path, path) for path in PETS).matching(split("/pets/dog/1"))
    assert [path for path, _ in found] == list(PETS[::-1])
