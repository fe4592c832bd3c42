"""Which cores there are, how many may spin, and who gets which."""

from __future__ import annotations

import builtins
import io
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine import runtime
from engine.control import cores


def test_usable_is_the_affinity_mask() -> None:
    assert cores.usable() == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("mask", "taken", "chosen"),
    [
        ([0], {}, 0),
        ([0, 1], {}, 1),  # the first core is where the callers are
        ([0, 1], {1: 1}, 0),
        ([0, 1], {0: 1, 1: 1}, 1),
        ([2, 5, 7], {7: 2, 5: 1}, 2),
    ],
)
def test_the_core_with_the_fewest_workers(mask: list[int], taken: dict[int, int], chosen: int) -> None:
    assert cores.assign(mask, Counter(taken)) == chosen


def test_workers_are_spread_evenly() -> None:
    taken: Counter[int] = Counter()
    for _ in range(12):
        taken[cores.assign([0, 1, 2, 3], taken)] += 1
    assert set(taken.values()) == {3}


def machine(packages: int, each: int, threads: int, caches: int = 1) -> dict[int, cores.Place]:
    """So many packages, a node each, of so many physical cores with as many caches between them; threads numbered as
    Linux does: the second ones behind all the first."""
    physical = [(package, core) for package in range(packages) for core in range(each)]
    first = {place: number for number, place in enumerate(physical)}
    span = each // caches
    return {
        thread * len(physical) + number: cores.Place(
            place, first[place[0], place[1] // span * span], place[0]
        )
        for thread in range(threads)
        for number, place in enumerate(physical)
    }


@pytest.mark.promise(307)
@pytest.mark.parametrize(
    ("topology", "caller", "order"),
    [
        (machine(1, 2, 1), 0, [1, 0]),
        (machine(1, 2, 1), 1, [0, 1]),  # wherever the caller is
        (machine(1, 2, 1), -1, [1, 0]),
        (
            machine(1, 2, 2),
            0,
            [3, 2, 1, 0],
        ),  # 2 is the caller's other thread: a free physical core first, 3 or 1
        (machine(1, 4, 2), 2, [7, 5, 4, 6, 3, 1, 0, 2]),
        (machine(2, 2, 1), 2, [3, 1, 0, 2]),  # the caller's node first, its own core last
        (machine(2, 2, 2), 2, [7, 5, 4, 6, 3, 1, 0, 2]),
        (machine(1, 8, 1, caches=2), 5, [7, 6, 4, 3, 2, 1, 0, 5]),  # the caller's cache first
        (machine(1, 4, 1), -1, [3, 2, 1, 0]),
        (machine(2, 2, 1), -1, [1, 0, 3, 2]),
    ],
)
def test_the_order_in_which_cores_are_taken(
    topology: dict[int, cores.Place], caller: int, order: list[int]
) -> None:
    taken: Counter[int] = Counter()
    for _ in topology:
        taken[cores.assign(sorted(topology), taken, topology, caller)] += 1
    assert list(taken) == order


def test_a_caller_elsewhere_is_nowhere() -> None:
    assert cores.assign([1, 2], Counter(), None, 0) == cores.assign([1, 2], Counter()) == 2
    assert cores.assign([1, 2], Counter(), None, -1) == 2


def test_places_are_as_the_kernel_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core, (package, within, shared) in enumerate(
        [(0, 0, "0-1"), (0, 0, "0-1"), (1, 0, "2,3"), (1, 4, "2,3")]
    ):
        folder = tmp_path / f"cpu{core}"
        for name, content in {
            "topology/physical_package_id": package,
            "topology/core_id": within,
            "cache/index0/shared_cpu_list": core,
            "cache/index3/shared_cpu_list": shared,
            f"node{package}/x": "",
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{content}\n")
    monkeypatch.setattr(cores, "_SYSTEM", tmp_path)
    cores.places.cache_clear()
    try:
        assert cores.places((0, 1, 2, 3)) == {
            0: cores.Place((0, 0), 0, 0),
            1: cores.Place((0, 0), 0, 0),
            2: cores.Place((1, 0), 2, 1),
            3: cores.Place((1, 4), 2, 1),
        }
        assert cores.places((7, 8, 9)) == {core: cores.Place((0, core)) for core in (7, 8, 9)}
    finally:
        cores.places.cache_clear()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files under /proc/self/cgroup and /sys/fs/cgroup that there are."""
    found: dict[str, str] = {}
    real = builtins.open

    def opened(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).startswith(("/proc/self/cgroup", "/sys/fs/cgroup")):
            if os.path.normpath(path) not in found:
                raise FileNotFoundError(path)
            return io.StringIO(found[os.path.normpath(path)])
        return real(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", opened)
    return found


class TestQuota:
    def test_none(self, files: dict[str, str]) -> None:
        assert cores._quota() == math.inf
        files["/proc/self/cgroup"] = "0::/\n"
        assert cores._quota() == math.inf
        files["/sys/fs/cgroup/cpu.max"] = "max 100000\n"
        assert cores._quota() == math.inf

    def test_v2_the_least_of_the_path(self, files: dict[str, str]) -> None:
        files["/proc/self/cgroup"] = "0::/a/b\n"
        files["/sys/fs/cgroup/a/b/cpu.max"] = "max 100000\n"
        files["/sys/fs/cgroup/a/cpu.max"] = "150000 100000\n"
        files["/sys/fs/cgroup/cpu.max"] = "400000 100000\n"
        assert cores._quota() == 1.5

    def test_v1(self, files: dict[str, str]) -> None:
        files["/proc/self/cgroup"] = "5:memory:/m\n4:cpu,cpuacct:/c\n"
        files["/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us"] = "250000\n"
        files["/sys/fs/cgroup/cpu/c/cpu.cfs_period_us"] = "100000\n"
        files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "-1\n"
        files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n"
        assert cores._quota() == 2.5

    @pytest.mark.parametrize("content", ["", "nonsense\n", "1 2 3\n", "x y\n"])
    def test_what_cannot_be_read_says_nothing(self, files: dict[str, str], content: str) -> None:
        files["/proc/self/cgroup"] = "0::/\n"
        files["/sys/fs/cgroup/cpu.max"] = content
        assert cores._quota() == math.inf

    @pytest.mark.parametrize(
        ("quota", "count"), [("max", 4), ("50000", 1), ("150000", 1), ("250000", 2), ("900000", 4)]
    )
    def test_spinners(self, files: dict[str, str], quota: str, count: int) -> None:
        files["/proc/self/cgroup"] = "0::/\n"
        files["/sys/fs/cgroup/cpu.max"] = f"{quota} 100000\n"
        assert cores.spinners([0, 1, 2, 3]) == count


def test_with_one_core_nobody_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: [0])
    assert runtime.spin_budget() == 0


def test_the_spin_budget_is_bounded() -> None:
    assert runtime.spin_budget() == 0 or runtime._SPIN_MIN_NS <= runtime.spin_budget() <= runtime._SPIN_MAX_NS


@pytest.mark.promise(31)
def test_an_engine_on_one_core(tmp_path: Any) -> None:
    from support import script

    source = (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from engine import Engine\n"
        "with Engine() as engine:\n"
        "    f = engine.function('app:echo', code=os.environ['FUNCTIONS'], concurrency=2, warm=2)\n"
        "    assert [f.invoke(n) for n in range(200)] == list(range(200))\n"
        "    assert list(f.map(range(500))) == list(range(500))\n"
        "    assert all(os.sched_getaffinity(p) == os.sched_getaffinity(0) for p in f.workers())\n"
        "    print(engine._runtime.spin_ns)\n"
    )
    assert script(source, directory=tmp_path) == "0\n"
