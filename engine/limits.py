"""Every number of AWS's, every bound of ours, and the names that are reserved: once, with their source."""

from __future__ import annotations

MIB = 1024 * 1024

# AWS Lambda quotas (developer guide, "Lambda quotas"; service model 2015-03-31).
EVENT_BYTES = 6 * MIB
ASYNC_BYTES = MIB  # of an event invoked asynchronously
INVOKE_ASYNC_BYTES = 262_144  # of the deprecated InvokeAsync
ZIPPED_BYTES = 52_428_800  # of a package that is sent with the request
UNZIPPED_BYTES = 262_144_000  # of a package and its layers
REPLY_BYTES = 6 * MIB + 100  # the runtime interface emulator's constant, and AWS's error text
TIMEOUT_DEFAULT = 3.0  # seconds
TIMEOUT_MAX = 900.0
MEMORY_DEFAULT = 128  # MB
MEMORY_MIN = 128
MEMORY_MAX = 10_240
ENVIRONMENT_BYTES = 4096
INIT_TIMEOUT = 10.0  # seconds
INIT_TIMEOUT_AHEAD = 130.0  # with provisioned concurrency or SnapStart; or its timeout, if that is longer
LOG_TAIL_BYTES = 4096
NAME_CHARS = 64
PROCESSES = 1024  # processes and threads of one execution environment

# Amazon SQS quotas (developer guide, "Amazon SQS quotas"; API reference of each operation).
SQS_MESSAGE_BYTES = MIB  # of a message, and of all of a batch
SQS_MESSAGE_BYTES_MIN = 1024  # the smallest MaximumMessageSize
SQS_ENTRIES = 10  # of a batch, and messages that one receive returns
SQS_ATTRIBUTES = 10  # of one message
SQS_VISIBILITY = 43_200  # seconds, of all extensions together
SQS_VISIBILITY_DEFAULT = 30
SQS_DELAY = 900  # seconds
SQS_WAIT = 20  # seconds of a long poll
SQS_RETENTION = (60, 1_209_600)  # seconds
SQS_RETENTION_DEFAULT = 345_600
SQS_IN_FLIGHT = 120_000  # messages of one queue
SQS_DEDUPLICATION = 300.0  # seconds; a ReceiveRequestAttemptId's validity, too
SQS_PURGE = 60.0  # seconds between two purges of a queue
SQS_RECREATE = 60.0  # seconds until a deleted queue's name is free
SQS_LISTED = 1000  # queues that one response lists
SQS_TAGS = 50
SQS_RECEIVES = 1000  # the largest maxReceiveCount
SQS_SOURCES = 10  # of a RedriveAllowPolicy
SQS_MOVES_PER_SECOND = 500
SQS_MOVE_TASKS = 10  # that are listed

# Ours.
EMBEDDED_TIMEOUT = 30.0  # seconds: an embedder's default; Lambda's 3 s is for deployed functions
TIMEOUT_MIN = 0.001
CONCURRENCY_MAX = 1000  # AWS's default account concurrency
WAITING = 1000  # invocations in one function's line
WAITING_BYTES = 256 * MIB  # payloads in all lines of an engine
KEEP_ALIVE = 60.0  # seconds an idle worker above the warm floor is kept
DRAIN_TIMEOUT = 30.0  # seconds that close() waits for what is in flight
MEMORY_SLACK = 512  # MB of address space beyond `memory` before allocation is refused (thread stacks)
LARGE_SLACK = 64 * 1024

# Variables that Lambda sets itself (developer guide, "Defined runtime environment variables"). A deployed function's
# configuration may name none of them; an embedder's may set the region and credentials, since the engine has none.
RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    }
)  # fmt: skip
# Beginnings of the names of variables that an interpreter, the dynamic linker or AWS's runtime reads at its start.
VARIABLES_AT_START = ("PYTHON", "LD_", "LC_", "MALLOC_", "GLIBC_TUNABLES", "AWS_LAMBDA_EXEC_WRAPPER")
RESERVED_DEPLOYED = RESERVED_VARIABLES | {
    "AWS_REGION", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
}  # fmt: skip
