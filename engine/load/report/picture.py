"""Pictures in SVG: a title, a legend, panels with axes and what is drawn into them. No script, no font, no file else.

Coordinates are those of the picture's form, so at its own width its text has its own size.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .. import words
from .axes import Axis

# Blue, vermilion, green and purple of one lightness: distinct to any eye, and each line has its own dash, too.
STYLE = Path(__file__).with_name("chart.css").read_text(encoding="utf-8")
_SIZE = 12  # px of ordinary text
_THIN = frozenset(" ,.:;'!|()[]/ijlrtfI")
_BROAD = frozenset("MWmw%@&")
_LONGEST = 400  # characters of a subtitle
# What XML cannot hold, and what would turn the direction of the text around it.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Form:
    """How wide a picture is, how high a panel, how many points a line may have and how many ticks time; and the
    style that a picture brings along, "" where it stands in a page that has it."""

    width: int
    height: int
    points: int
    ticks: int
    style: str = ""


WIDE = Form(880, 270, 280, 12)
NARROW = Form(340, 210, 100, 6)
STANDALONE = replace(WIDE, style=STYLE)

Point = tuple[float, float | None]  # None: there is no value


def escape(text: str) -> str:
    """Any text, as it may stand in XML or HTML, in an attribute too."""
    return html.escape(_UNFIT.sub("\ufffd", text))


def number(value: float) -> str:
    """A coordinate."""
    return f"{value:.1f}".removesuffix(".0")


class Picture:
    """Drawn from top to bottom; `svg` when all is there."""

    def __init__(self, form: Form, title: str, caption: str, subtitle: str = "") -> None:
        """caption: in words what is to be seen."""
        self.form = form
        self._caption = f"{title}. {caption}"
        self._parts: list[str] = []
        self._labels: list[str] = []  # above everything else
        self.y = 20.0
        self.text(0, self.y, title, "title")
        for line in wrapped(subtitle, form.width):
            self.y += 17
            self.text(0, self.y, line, "quiet")

    def add(self, part: str) -> None:
        self._parts.append(part)

    def path(self, d: str, kind: str) -> None:
        self.add(f'<path d="{d}" class="{kind}"/>')

    def rect(self, x: float, y: float, width: float, height: float, more: str) -> None:
        size = f'width="{number(width)}" height="{number(height)}"'
        self.add(f'<rect x="{number(x)}" y="{number(y)}" {size}{more}/>')

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        if text:
            self._labels.append(f'<text x="{number(x)}" y="{number(y)}" class="{kind}">{escape(text)}</text>')

    def legend(self, items: Sequence[tuple[str, str]]) -> None:
        """Kinds of lines and their names; "bar cold" is what is not a line."""
        x, self.y = 0.0, self.y + (24 if items else 0)
        for item, whole in items:
            shape, _, kind = item.rpartition(" ")
            name = fitted(whole, self.form.width - 32)
            width = 32 + wide(name)
            if x and x + width > self.form.width:
                x, self.y = 0.0, self.y + 19
            if shape:
                self.rect(x, self.y - 10, 14, 11, f' rx="2" class="{item}"')
            else:
                self.path(f"M{number(x)},{number(self.y - 4)}h24", f"line {kind}")
            self.text(x + (20 if shape else 30), self.y, name)
            x += width + (8 if shape else 16)

    def panel(self, x: Axis, y: Axis, height: float | None = None, last: bool = True) -> Panel:
        """last: the names of the values on the x axis stand below this one."""
        return Panel(self, x, y, height or self.form.height, last)

    def svg(self) -> str:
        width, height = self.form.width, math.ceil(self.y + 6)
        style = f"<style>{self.form.style}</style>" if self.form.style else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" class="chart" role="img" aria-label="{escape(self._caption)}">{style}'
            f'<rect width="{width}" height="{height}" class="paper"/>{"".join(self._parts + self._labels)}</svg>'
        )


class Panel:
    """Two axes and what is drawn between them, by their values."""

    LEFT, RIGHT = 58, 10

    def __init__(self, picture: Picture, x: Axis, y: Axis, height: float, last: bool) -> None:
        self.picture, self.x, self.y = picture, x, y
        self.left, self.right = float(self.LEFT), float(picture.form.width - self.RIGHT)
        picture.y += 26
        picture.text(0, picture.y, y.name, "quiet")
        self.top = picture.y + 10
        self.bottom = self.top + height
        picture.y = self.bottom
        self._grid()
        if last:
            picture.y += 17
            self._names()
            picture.y += 18
            picture.text((self.left + self.right) / 2, picture.y, x.name, "quiet middle")

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.position(x) * (self.right - self.left),
            self.bottom - self.y.position(y) * (self.bottom - self.top),
        )

    def _grid(self) -> None:
        lowest = math.inf
        for value, label in self.y.ticks:
            _, y = self.at(self.x.low, value)
            self._across(y, "grid" if label else "minor")
            if label and lowest - y >= 15:
                self.picture.text(self.left - 8, y + 4, label, "y quiet end")
                lowest = y
        for value, _ in self.x.ticks:
            self._upright(self.at(value, self.y.low)[0], "grid")
        self._across(self.bottom, "base")

    def _across(self, y: float, kind: str) -> None:
        self.picture.path(f"M{number(self.left)},{number(y)}H{number(self.right)}", kind)

    def _upright(self, x: float, kind: str) -> None:
        self.picture.path(f"M{number(x)},{number(self.top)}V{number(self.bottom)}", kind)

    def _names(self) -> None:
        """As many as have room, the last before the others."""
        free = float(self.picture.form.width)
        for value, label in reversed(self.x.ticks):
            half = wide(label) / 2
            x = min(self.at(value, self.y.low)[0], self.picture.form.width - half)
            if x + half <= free:
                self.picture.text(x, self.picture.y, label, "x quiet middle")
                free = x - half - 7

    def line(self, points: Sequence[Point], kind: str, dots: bool = False) -> None:
        """Broken where there is no value; a point with no neighbour is a dot."""
        path: list[str] = []
        alone: list[tuple[float, float]] = []
        for run in _runs(points):
            at = [self.at(x, y) for x, y in run]
            if len(at) > 1:
                path.append("M" + "L".join(f"{number(x)},{number(y)}" for x, y in at))
            if len(at) == 1 or dots:
                alone += at
        if path:
            self.picture.path("".join(path), f"line {kind}")
        for x, y in alone:
            self.picture.add(f'<circle cx="{number(x)}" cy="{number(y)}" r="4" class="dot {kind}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Between a line and the x axis."""
        if points:
            at = [self.at(x, y) for x, y in points]
            path = "L".join(f"{number(x)},{number(y)}" for x, y in at)
            base = number(self.bottom)
            self.picture.path(f"M{number(at[0][0])},{base}L{path}V{base}z", f"area {kind}")

    def bars(self, bars: Iterable[tuple[float, float, float]], kind: str) -> None:
        """(From, to, how high.)"""
        path, base = "", number(self.bottom)
        for begin, end, value in bars:
            if value > 0:
                (left, top), (right, _) = self.at(begin, value), self.at(end, value)
                gap = min(1.0, (right - left) / 5)
                path += f"M{number(left + gap)},{base}V{number(top)}H{number(right - gap)}V{base}z"
        if path:
            self.picture.path(path, f"bar {kind}")

    def band(self, begin: float, end: float) -> None:
        (left, _), (right, _) = sorted((self.at(begin, self.y.low), self.at(end, self.y.low)))
        self.picture.rect(left, self.top, right - left, self.bottom - self.top, ' class="band"')

    def rule(self, x: float, label: str = "") -> None:
        """A vertical line; its label stands on the side that has more room."""
        at, _ = self.at(x, self.y.low)
        self._upright(at, "rule")
        shift, kind = (-7, "halo end") if at - self.left > (self.right - self.left) / 2 else (7, "halo")
        self.picture.text(at + shift, self.bottom - 10, label, kind)

    def hit(self, begin: float, end: float, text: str) -> None:
        """A column that has a tip."""
        (left, _), (right, _) = self.at(begin, self.y.low), self.at(end, self.y.low)
        self.picture.add(
            f'<g class="hit"><rect x="{number(left)}" y="{number(self.top)}" '
            f'width="{number(max(right - left, 0.1))}" height="{number(self.bottom - self.top)}"/>'
            f"<title>{escape(text)}</title></g>"
        )

    def note(self, text: str) -> None:
        """In the middle, where there is nothing else."""
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2 + 4
        self.picture.text(x, y, text, "quiet middle halo")


def tip(values: Iterable[tuple[str, int | None]]) -> str:
    """Durations by their names; None is left out."""
    return "\n".join(f"{name} {words.duration(value)}" for name, value in values if value is not None)


def wide(text: str) -> float:
    """About how wide a text is, and rather more than that: fonts differ."""
    return _SIZE * sum(
        0.35 if it in _THIN else 1.05 if it in _BROAD or it > "\u2e80" or not it.isprintable() else 0.61
        for it in text
    )


def fitted(text: str, width: float) -> str:
    """As much of it as has room."""
    if wide(text) <= width:
        return text
    while text and wide(text + "…") > width:
        text = text[:-1]
    return text + "…"


def wrapped(text: str, width: float) -> list[str]:
    """Its lines, at most four; a word that is longer than one is cut."""
    lines: list[str] = []
    for word in text[:_LONGEST].split():
        if lines and wide(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(fitted(word, width))
    return lines[:4]


def _runs(points: Sequence[Point]) -> Iterable[list[tuple[float, float]]]:
    for there, run in itertools.groupby(points, lambda point: point[1] is not None):
        if there:
            yield [(x, y) for x, y in run if y is not None]
