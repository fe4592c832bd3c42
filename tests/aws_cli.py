"""The AWS CLI's own main, imported once and run in a fork for each command: most of a command's time is its imports.

Run by the CLI's Python. Each line of its input is a command as JSON: arguments, directory, environment, and the files
that get its stdout and its stderr. Each line of its output is an exit status.
"""

import json
import os
import sys
import traceback

import awscli.clidriver


def run(command):
    os.chdir(command["directory"])
    data = os.environ["AWS_DATA_PATH"]  # set by its import
    os.environ.clear()
    os.environ.update(command["environment"], AWS_DATA_PATH=data)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(command[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = ["aws", *command["arguments"]]
    try:
        return awscli.clidriver.main()
    except SystemExit as left:
        return left.code
    except BaseException:
        traceback.print_exc()
        return 1


def main():
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status or 0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


main()
