"""The program of a template that has an interpreter of its own, and what a function's wrapper is given to run.

Run as a script, as the last argument of a command: that is the form which AWS's own wrappers expect. What it is to do
it finds in a descriptor, which fresh.py has made.
"""

import json
import os
import sys

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main() -> None:
    sock, plan = map(int, os.environ.pop("STOKER_TEMPLATE").split())
    with open(plan, "rb") as file:
        given = json.loads(file.read())
    if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # this folder
    own = list(sys.path)
    sys.path += given["path"]  # where the zygote has found what the engine needs
    from importlib.util import module_from_spec, spec_from_file_location

    # By its place, not by the path: what lies beside it may be built for another interpreter.
    place = spec_from_file_location("engine", f"{PACKAGE}/__init__.py", submodule_search_locations=[PACKAGE])
    assert place is not None and place.loader is not None
    sys.modules["engine"] = module_from_spec(place)
    place.loader.exec_module(sys.modules["engine"])
    from engine.worker.template import resume

    sys.path[:] = own
    resume(sock, given["spec"].encode())


if __name__ == "__main__":
    main()
