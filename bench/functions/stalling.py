"""An HTTP server that echoes at once, but stalls for STALL of every EVERY seconds: stalling.py PORT EVERY STALL."""

import asyncio
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
BACKLOG = 1024  # connections during a stall


class Stalling(asyncio.Protocol):
    """One connection; each body comes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            begin = end + 4
            if len(self.received) < begin + length:
                return
            self.transport.write(HEAD % length + self.received[begin : begin + length])
            self.received = self.received[begin + length :]


async def main(port: int, every: float, stall: float) -> None:
    await asyncio.get_running_loop().create_server(Stalling, "127.0.0.1", port, backlog=BACKLOG)
    while True:
        await asyncio.sleep(every - stall)
        time.sleep(stall)  # blocks the loop, and so the whole server


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
