"""A program that needs one result: by an engine. `first.py` runs it."""

import os

from engine import Engine

if __name__ == "__main__":
    engine = Engine()
    function = engine.function("echo:handler", code=os.environ["STOKER_FIRST_CODE"])
    print(function.invoke({"n": 1})["n"], flush=True)
    engine.close()
