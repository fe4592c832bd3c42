"""What other libraries do with an Executor: dask takes it as its scheduler, joblib as a backend of some lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jobs
import pytest

from engine import Executor


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(2) as made:
        yield made


@pytest.mark.promise(112)
def test_dask(executor: Executor) -> None:
    """The example of dask's documentation on custom workloads with delayed()."""
    dask = pytest.importorskip("dask")

    def inc(x: int) -> int:
        return x + 1

    def double(x: int) -> int:
        return x * 2

    def add(x: int, y: int) -> int:
        return x + y

    output = [dask.delayed(add)(dask.delayed(inc)(x), dask.delayed(double)(x)) for x in (1, 2, 3, 4, 5)]
    total = dask.delayed(sum)(output)
    assert total.compute(scheduler=executor) == 50


@pytest.mark.promise(112)
def test_joblib(executor: Executor) -> None:
    """The example of joblib's documentation on custom backends, with this one."""
    joblib = pytest.importorskip("joblib")
    from joblib.parallel import ParallelBackendBase

    class StokerBackend(ParallelBackendBase):  # docs/executor.md
        supports_retrieve_callback = True

        def __init__(self, executor: Executor, **options: Any) -> None:
            super().__init__(**options)
            self.executor = executor

        def effective_n_jobs(self, n_jobs: int) -> int:
            return 2 if n_jobs < 0 else n_jobs

        def submit(self, func: Callable[[], Any], callback: Any = None) -> Any:
            future = self.executor.submit(func)
            if callback is not None:
                future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: Any) -> Any:
            return future.result()

    joblib.register_parallel_backend("stoker", StokerBackend)
    with joblib.parallel_config(backend="stoker", executor=executor, n_jobs=2):
        # The first example of its documentation.
        assert joblib.Parallel()(joblib.delayed(math.sqrt)(i**2) for i in range(10)) == [
            *map(float, range(10))
        ]
        assert joblib.Parallel()(joblib.delayed(jobs.double)(i) for i in range(50)) == [
            2 * i for i in range(50)
        ]
        with pytest.raises(ValueError, match="bad luck"):
            joblib.Parallel()(joblib.delayed(jobs.fail)("bad luck") for _ in range(3))
