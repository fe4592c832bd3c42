"""The same by a ProcessPoolExecutor whose workers start in the way that is named. `first.py` runs it."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor


def handler(event: dict[str, int]) -> dict[str, int]:
    return event


if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1]))
    print(pool.submit(handler, {"n": 1}).result()["n"], flush=True)
    pool.shutdown()
