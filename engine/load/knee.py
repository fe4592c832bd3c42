"""The knee of a ramp: the highest rate that a target keeps up with.

A stage of a ramp is kept when

- at least KEPT of what was offered in it ended in a right answer (by count, so that Poisson's own variation is none);
- its p99 is not more than SLOWER times the usual one: the (lower) median of the p99s of the first stages, a third of
  them and at least three. The lowest p99 would not do, because workers that are seldom called sleep between calls, and
  the first stages may well be slower than those after them; nor would the highest, because of one pause in one stage;
- its p99 is not above its p50 by more than SPREAD of the stage's length. In a line that grows all through a stage the
  last wait much longer than those in the middle, whatever the first stages were like: this tells of a ramp whose first
  stage already is too much. Stages must be long against what the function itself varies by.

The knee is the last stage that is kept. A stage that is lost while a later one is kept was an accident, not a limit.
Of one server with a constant time of service this finds 80 to 100 % of what it can serve; of a ramp that begins above
that by less than a fifth, its first stage or the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low

from . import words
from .result import Knee, StageResult

KEPT = 0.98
SLOWER = 5
SPREAD = 0.1


def find(stages: Sequence[StageResult]) -> Knee | None:
    """None of what is no ramp: fewer than two stages, or rates that do not rise from each to the next."""
    if len(stages) < 2 or any(a.rate >= b.rate for a, b in pairwise(stages)):
        return None
    ramp = [
        stage for stage in stages if stage.offered
    ]  # a run that was cut short has none of its last stages
    if not ramp:
        return None
    usual = _usual(ramp)
    lost = [_lost(stage, usual) for stage in ramp]
    kept = max((number for number, why in enumerate(lost) if not why), default=-1)
    rate = ramp[kept].rate if kept >= 0 else 0.0
    if kept == len(ramp) - 1:
        return Knee(rate, None, "")
    return Knee(rate, ramp[kept + 1].rate, lost[kept + 1])


def _usual(ramp: Sequence[StageResult]) -> int:
    """The p99 that others are held against; 0 when the first stages already are too much."""
    first = ramp[: max(3, math.ceil(len(ramp) / 3))]
    return median_low([stage.p99 for stage in first if not _overrun(stage)] or [0])


def _lost(stage: StageResult, usual: int) -> str:
    """Why a stage is not kept; "" when it is."""
    if why := _overrun(stage):
        return why
    if stage.p99 > SLOWER * usual:
        slow, fast = words.duration(stage.p99), words.duration(usual)
        return f"p99 {slow}, more than {SLOWER} times the {fast} of the first stages"
    return ""


def _overrun(stage: StageResult) -> str:
    """What is wrong with a stage by itself."""
    if stage.ok < KEPT * stage.offered:
        return f"{words.share(stage.ok / stage.offered)} of what was offered was answered rightly"
    length = (stage.end - stage.begin) * 1e9
    if stage.p99 - stage.p50 > SPREAD * length:
        return (
            f"requests waited longer and longer: p50 {words.duration(stage.p50)}, p99 {words.duration(stage.p99)} "
            f"within {words.duration(length)}"
        )
    return ""
