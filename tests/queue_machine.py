"""The C engine's side against a model: accepted = waiting + in lanes + completed, each exactly once, in order.

Real lanes, with workers in this very process that do one step at a time. What is where is read from the shared
memory itself: the records between a ring's two cursors, and which of them are revoked.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import Any

from engine._native import ffi, lib
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lane_records import ENDED, PAGE, RUNNING, Call, Worker

LARGE = 64 * 1024
SIZE = PAGE + lib.STK_RING + LARGE
MAX_WAITING = 6
TIMEOUT_NS = 10**12
MAX_WORDS = 64
SIZES = [0, 1, 100, lib.STK_INLINE, lib.STK_INLINE + 1, LARGE]


def poke(stop: threading.Event, thread: int) -> None:
    while not stop.wait(0.0003):
        signal.pthread_kill(thread, signal.SIGUSR2)


class QueueMachine(RuleBasedStateMachine):
    """One engine, two functions, up to three workers each."""

    functions = 2

    def __init__(self) -> None:
        super().__init__()
        self.control, self.loop = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2))
        self.engine = lib.stk_engine_new(LARGE, 2, 0, 1 << 20, self.control, self.loop)
        self.words = ffi.new("uint64_t[]", MAX_WORDS * 4)
        self.buffer = ffi.new("uint8_t[]", 4 * 65536)
        self.box = lib.stk_box_new(self.engine, 1, self.words, MAX_WORDS, self.buffer, len(self.buffer))
        self.stats = ffi.new("stk_function_stats *")
        self.load = ffi.new("stk_load_now *")
        self.calls: dict[int, Call] = {}  # by ticket
        self.workers: list[Worker] = []
        self.tokens = 0
        self.accepted = [0] * self.functions
        self.line: list[set[int]] = [set() for _ in range(self.functions)]
        self.placed: list[set[int]] = [set() for _ in range(self.functions)]
        self.cold = False
        self.previous = signal.signal(signal.SIGUSR2, lambda *_: None)

    @initialize()
    def start(self) -> None:
        for n in range(self.functions):
            assert lib.stk_function_new(self.engine, TIMEOUT_NS, LARGE, MAX_WAITING) == n

    # What is where.

    def alive(self, function: int | None = None) -> list[Worker]:
        return [w for w in self.workers if not w.doomed and function in (None, w.function)]

    def in_lanes(self, function: int) -> set[int]:
        found = set()
        for worker in self.alive(function):
            found |= set(worker.coming())
            if worker.hand:
                found.add(worker.hand.ticket)
        return found

    def running(self, function: int) -> set[int]:
        return {c.ticket for c in self.calls.values() if c.function == function and c.state == RUNNING}

    def waiting(self, function: int) -> set[int]:
        return self.running(function) - self.in_lanes(function)

    def end(self, call: Call, status: int, payload: bytes = b"") -> None:
        assert call.state == RUNNING
        call.state, call.expected = ENDED, (status, payload)

    def settle(self) -> None:
        """What was cancelled does not go back into the line when its lane gives it back."""
        for function in range(self.functions):
            for ticket in self.placed[function] - self.in_lanes(function):
                call = self.calls[ticket]
                if call.forgotten and call.state == RUNNING:
                    self.end(call, lib.STK_CANCELLED)

    def read(self, function: int) -> Any:
        lib.stk_function_stats_read(self.engine, function, self.stats)
        return self.stats

    # Callers.

    def accept(self, function: int, size: int) -> None:
        self.tokens += 1
        token = self.tokens
        payload = (b"%d:" % token * (size // 2 + 1))[:size]
        before = self.read(function)
        # Each worker runs one; those behind it in its lane count as waiting.
        full = before.waiting + before.in_lanes >= MAX_WAITING + before.lanes
        ticket = lib.stk_submit(self.box, function, token, 0, payload, len(payload))
        if ticket < 0:
            assert ticket == lib.STK_THROTTLED
            assert full
            return
        assert ticket not in self.calls
        self.calls[ticket] = Call(token, ticket, function, payload)
        self.accepted[function] += 1

    @rule(function=st.integers(0, 1), size=st.sampled_from(SIZES))
    def submit(self, function: int, size: int) -> None:
        self.accept(function, size)

    @rule(function=st.integers(0, 1), sizes=st.lists(st.sampled_from(SIZES[:3]), min_size=2, max_size=10))
    def submit_several(self, function: int, sizes: list[int]) -> None:
        for size in sizes:
            self.accept(function, size)

    @rule()
    def submit_too_much(self) -> None:
        assert lib.stk_submit(self.box, 0, 999, 0, bytes(LARGE + 1), LARGE + 1) == lib.STK_TOO_LARGE
        assert lib.stk_submit(self.box, 77, 999, 0, b"", 0) == lib.STK_NO_FUNCTION

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(list(self.calls.values())), label="call")
        taken = any(w.hand is call for w in self.alive())
        withdrawn = lib.stk_cancel(self.engine, call.ticket)
        assert withdrawn == (call.state == RUNNING and not taken)
        if withdrawn:
            self.end(call, lib.STK_CANCELLED)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(list(self.calls.values())), label="call")
        for function in range(self.functions):
            self.read(function)  # whatever is there has been read
        token = lib.stk_forget(self.engine, call.ticket)
        assert token == (0 if call.state == ENDED or call.forgotten else call.token)
        call.forgotten |= token != 0

    @rule()
    def reap(self) -> None:
        while n := lib.stk_reap(self.box):
            for i in range(n):
                token, status, offset, ticket = self.words[i * 4 : i * 4 + 4]
                call = self.calls[ticket]
                assert token == call.token
                assert not call.reaped, "completed twice"
                assert not call.forgotten
                call.reaped = True
                length = status >> 32
                if status >> 8 & 1:
                    outcome = ffi.new("stk_outcome *")
                    assert lib.stk_outcome_of(self.engine, ticket, outcome)
                    payload = ffi.buffer(outcome.data, outcome.len)[:] if outcome.len else b""
                    log = ffi.buffer(outcome.log, outcome.log_len)[:] if outcome.log_len else b""
                    assert outcome.t_submit <= outcome.t_done
                    lib.stk_call_free(self.engine, ticket)
                    assert not lib.stk_outcome_of(self.engine, ticket, outcome)
                else:
                    payload, log = ffi.buffer(self.buffer + offset, length)[:], b""
                assert call.state == ENDED, "completed without an end"
                assert (status & 0xFF, payload) == call.expected
                assert log == call.log

    @rule()
    def loop_sleeps(self) -> None:
        self.cold = not lib.stk_loop_cold(self.box)

    @rule()
    def loop_wakes(self) -> None:
        lib.stk_loop_hot(self.box)
        self.cold = False

    # Workers.

    @precondition(lambda self: len(self.workers) < 6)
    @rule(function=st.integers(0, 1), take=st.booleans())
    def new_lane(self, function: int, take: bool) -> None:
        fds = ffi.new("stk_lane_fds *")
        lane = lib.stk_lane_new(self.engine, function, len(self.workers) % 2, 0, fds)
        assert lane >= 0
        expected = min(self.waiting(function), key=lambda t: self.calls[t].token, default=None)
        if take:
            lib.stk_lane_take(self.engine, lane)
        mine = [os.dup(fd) for fd in (fds.down_fd, fds.up_fd, fds.event_fd)]
        lib.stk_lane_handed_over(self.engine, lane)
        end = lib.stk_worker_open(mine[0], mine[1], mine[2], -1, LARGE, LARGE)
        assert end != ffi.NULL
        import mmap

        up = memoryview(mmap.mmap(mine[1], SIZE))
        down = memoryview(ffi.buffer(ffi.cast("char *", end.down), SIZE))
        os.close(mine[0])
        os.close(mine[1])
        worker = Worker(lane, function, end, mine[2], up, down)
        self.workers.append(worker)
        assert worker.coming() == ([expected] if take and expected is not None else [])

    def pick(self, data: st.DataObject, workers: list[Worker]) -> Worker:
        return data.draw(st.sampled_from(workers), label="worker")

    def unready(self) -> list[Worker]:
        return [w for w in self.alive() if not w.ready]

    @precondition(lambda self: self.unready())
    @rule(data=st.data())
    def says_ready(self, data: st.DataObject) -> None:
        worker = self.pick(data, self.unready())
        assert lib.stk_worker_reply(worker.end, lib.STK_READY, b"", 0) == 0
        worker.ready = True

    def able(self) -> list[Worker]:
        """Those that have an invocation."""
        return [w for w in self.workers if w.ready and not w.hand and w.coming()]

    def take(self, worker: Worker) -> None:
        first = self.calls[worker.coming()[0]]
        got = lib.stk_worker_next(worker.end)
        event = worker.end.event
        if worker.doomed:  # it does not know yet: what it does now counts no more
            return
        assert event.ticket == first.ticket
        assert first.state == RUNNING, "started although it had ended"
        if got >= 0:
            at = got >> 20
            payload = bytes(worker.down[at : at + (got & 0xFFFFF)])
        else:
            assert got == lib.STK_W_LARGE
            payload = ffi.buffer(worker.end.payload, event.len)[:]
        assert payload == first.payload
        first.starts += 1
        worker.hand = first
        worker.order.append(first.token)

    @precondition(lambda self: any(not w.doomed for w in self.able()))
    @rule(data=st.data())
    def takes(self, data: st.DataObject) -> None:
        self.take(self.pick(data, [w for w in self.able() if not w.doomed]))

    @precondition(lambda self: any(w.hand for w in self.alive()))
    @rule(data=st.data(), size=st.sampled_from(SIZES), fault=st.booleans())
    def replies(self, data: st.DataObject, size: int, fault: bool) -> None:
        self.reply(self.pick(data, [w for w in self.alive() if w.hand]), size, fault)

    def reply(self, worker: Worker, size: int, fault: bool) -> None:
        call = worker.hand
        assert call is not None
        if size > lib.STK_INLINE:
            self.reap()  # the large area holds one: it must be free, or the worker would wait
        payload = (b"r%d:" % call.token * (size // 2 + 1))[:size]
        lib.stk_clear_eventfd(worker.event_fd)
        worker.end.t_start = lib.stk_now()  # it took no time: so that lanes are stacked
        kind = lib.STK_ERROR if fault else lib.STK_RESULT
        assert lib.stk_worker_reply(worker.end, kind, payload, len(payload)) == 0
        if self.cold:
            assert select.select([worker.event_fd], [], [], 0)[0], "no loop would wake for this reply"
        worker.hand = None
        self.end(call, lib.STK_FAULT if fault else lib.STK_OK, payload)

    @precondition(lambda self: any(not w.doomed for w in self.able()))
    @rule(data=st.data())
    def serves_all(self, data: st.DataObject) -> None:
        """Quickly, one after the other."""
        worker = self.pick(data, [w for w in self.able() if not w.doomed])
        for _ in range(40):
            if not worker.coming():
                break
            self.take(worker)
            self.reply(worker, 10, False)

    @precondition(lambda self: any(w.hand for w in self.alive()))
    @rule(data=st.data(), text=st.binary(min_size=1, max_size=50))
    def logs(self, data: st.DataObject, text: bytes) -> None:
        worker = self.pick(data, [w for w in self.alive() if w.hand])
        assert worker.hand is not None
        lib.stk_worker_log(worker.end, text, len(text))
        worker.hand.log += text

    def skippers(self) -> list[Worker]:
        return [
            w for w in self.alive()
            if w.ready and not w.hand and w.records() and all(revoked for _, _, revoked in w.records())
        ]  # fmt: skip

    @precondition(lambda self: self.skippers())
    @rule(data=st.data())
    def skips(self, data: st.DataObject) -> None:
        """All that is there was withdrawn: the worker says so and waits, until a signal comes."""
        worker = self.pick(data, self.skippers())
        stop = threading.Event()
        poker = threading.Thread(target=poke, args=(stop, threading.get_ident()))
        poker.start()
        try:
            assert lib.stk_worker_next(worker.end) == lib.STK_W_SIGNAL
        finally:
            stop.set()
            poker.join()
        assert worker.records() == []

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        worker = self.pick(data, self.alive())
        lib.stk_lane_retire(self.engine, worker.lane)
        worker.retired = True

    @precondition(lambda self: any(self.leaving(w) for w in self.workers))
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        """A worker that was to leave: nothing of it was lost."""
        worker = self.pick(data, [w for w in self.workers if self.leaving(w)])
        assert lib.stk_worker_next(worker.end) == lib.STK_W_SHUTDOWN
        self.bury(worker, lib.STK_CRASH, 0)

    def leaving(self, worker: Worker) -> bool:
        """The next thing that it takes is the order to go."""
        left = [kind for kind, _, revoked in worker.records() if not revoked]
        return worker.ready and not worker.hand and left == [lib.STK_SHUTDOWN]

    # Deaths and deadlines.

    def bury(self, worker: Worker, status: int, detail: int) -> None:
        head = None if worker.doomed else self.head(worker)
        ended = lib.stk_lane_dead(self.engine, worker.lane, status, detail)
        assert ended == (head is not None and self.ends(worker, head))
        if ended:
            self.end(head, status)  # type: ignore[arg-type]
        self.workers.remove(worker)
        lib.stk_worker_close(worker.end)
        os.close(worker.event_fd)
        self.settle()

    def ends(self, worker: Worker, head: Call) -> bool:
        """Does its head end with a worker? One that it did not begin goes on elsewhere, but not for ever."""
        head.lost += worker.hand is None
        return worker.hand is not None or head.lost >= 3

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        self.bury(self.pick(data, self.workers), lib.STK_CRASH, -9)

    def head(self, worker: Worker) -> Call | None:
        """What its lane runs, as far as the engine can know: what was placed first and has not ended."""
        if worker.hand:
            return worker.hand
        first = next(iter(worker.records()), None)
        if not worker.ready or first is None or first[0] != lib.STK_INVOKE or first[2]:
            return None
        return self.calls[first[1]]

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def doom(self, data: st.DataObject) -> None:
        worker = self.pick(data, self.alive())
        self.read(worker.function)
        head = self.head(worker)
        ended = lib.stk_lane_doom(self.engine, worker.lane, lib.STK_MEMORY, 5)
        assert ended == (head is not None and self.ends(worker, head))
        if ended:
            self.end(head, lib.STK_MEMORY)  # type: ignore[arg-type]
        worker.doomed = True

    @rule()
    def nothing_expires_in_time(self) -> None:
        indices, following = ffi.new("uint32_t[]", 16), ffi.new("uint64_t *")
        assert lib.stk_expire(self.engine, lib.stk_now(), indices, 16, following) == 0
        busy = any(self.head(w) for w in self.alive())
        assert not busy or following[0] > 0

    @rule()
    def deadlines_pass(self) -> None:
        """Much later: whatever runs ends, its lane too, and what it has not begun goes on elsewhere."""
        for function in range(self.functions):
            self.read(function)
        heads = {w.lane: self.head(w) for w in self.alive() if w.ready and (w.hand or self.begun(w))}
        indices, following = ffi.new("uint32_t[]", 16), ffi.new("uint64_t *")
        later = lib.stk_now() + 2 * TIMEOUT_NS
        expired = {indices[i] for i in range(lib.stk_expire(self.engine, later, indices, 16, following))}
        assert expired == set(heads)
        for worker in self.alive():
            if worker.lane in expired:
                head = heads[worker.lane]
                if head and self.ends(worker, head):
                    self.end(head, lib.STK_TIMEOUT if worker.hand else lib.STK_CRASH)
                worker.doomed = True

    def begun(self, worker: Worker) -> bool:
        """Its lane is not empty (a withdrawn invocation at its head counts until it is skipped)."""
        return any(kind == lib.STK_INVOKE for kind, _, _ in worker.records())

    @rule()
    def steal(self) -> None:
        """What has not begun and waits behind something goes to another worker."""
        hands = {w.lane: w.hand for w in self.alive()}
        lib.stk_steal(self.engine, lib.stk_now() + 10**9, 0)
        assert hands == {w.lane: w.hand for w in self.alive()}

    @rule(function=st.integers(0, 1))
    def line_fails(self, function: int) -> None:
        self.read(function)
        waiting = self.waiting(function)
        lib.stk_function_fail(self.engine, function, lib.STK_INIT, 0, b"why", 3)
        for ticket in waiting:
            self.end(self.calls[ticket], lib.STK_INIT, b"why")

    @rule()
    def drain(self) -> None:
        assert lib.stk_drain_all(self.engine) == 0

    # What holds after every step.

    @invariant()
    def adds_up(self) -> None:
        self.settle()
        for function in range(self.functions):
            if not self.accepted[function] and not self.alive(function):
                continue
            before = self.line[function]
            stats = self.read(function)
            waiting, in_lanes = self.waiting(function), self.in_lanes(function)
            done = self.accepted[function] - len(waiting) - len(in_lanes)
            assert stats.waiting == len(waiting)
            assert stats.in_lanes == len(in_lanes)
            assert stats.invocations + stats.cancelled == done, "accepted = waiting + in lanes + completed"
            assert stats.late == 0
            alive = self.alive(function)
            # A lane is empty when nothing is in its worker's hand and nothing is in its ring, withdrawn or not.
            empty = [w for w in alive if not w.hand and not self.begun(w)]
            assert stats.lanes == len(alive)
            assert stats.idle == len([w for w in empty if w.ready and not w.retired])
            assert stats.starting == len([w for w in alive if not w.ready and not w.retired])
            assert not waiting or stats.idle == 0, "an invocation waits while a worker is idle"
            placed = before & in_lanes
            for ticket in placed:
                overtaken = [t for t in waiting & before if self.calls[t].token < self.calls[ticket].token]
                assert not overtaken, "overtaken in line"
            self.line[function], self.placed[function] = waiting, in_lanes
        assert lib.stk_engine_pending(self.engine) == sum(len(self.running(f)) for f in range(self.functions))
        assert all(c.starts <= 1 for c in self.calls.values()), "started twice"
        assert lib.stk_engine_lost(self.engine) == 0

    @invariant()
    def lanes_keep_their_order(self) -> None:
        for worker in self.alive():
            tokens = [self.calls[t].token for t in worker.coming()]
            if worker.hand:
                tokens.insert(0, worker.hand.token)
            assert tokens == sorted(tokens), "out of order within a lane"

    def teardown(self) -> None:
        try:
            for worker in list(self.workers):
                self.bury(worker, lib.STK_CRASH, -9)
            for function in range(self.functions):
                if self.accepted[function]:
                    self.line_fails(function)
            self.reap()
            for call in self.calls.values():
                assert call.state == ENDED
                assert call.reaped != call.forgotten, "each ends exactly once"
        finally:
            signal.signal(signal.SIGUSR2, self.previous)
            lib.stk_box_free(self.box)
            for function in range(self.functions):
                lib.stk_function_end(self.engine, function)
                lib.stk_function_free(self.engine, function)
            left = lib.stk_functions_live(self.engine)
            lib.stk_engine_free(self.engine)
            os.close(self.control)
            os.close(self.loop)
        assert left == 0, "a slot was not given back"
