"""An HTTP server that echoes at once, but stands still for STALL of every EVERY seconds: python stalling.py PORT EVERY
STALL."""

import asyncio
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
BACKLOG = 1024  # who connects while it stands still


class Stalling(asyncio.Protocol):
    """One connection; each body comes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.came = b""

    def data_received(self, data: bytes) -> None:
        self.came += data
        while (end := self.came.find(b"\r\n\r\n")) >= 0:
            head = self.came[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            begin = end + 4
            if len(self.came) < begin + length:
                return
            self.transport.write(HEAD % length + self.came[begin : begin + length])
            self.came = self.came[begin + length :]


async def main(port: int, every: float, stall: float) -> None:
    await asyncio.get_running_loop().create_server(Stalling, "127.0.0.1", port, backlog=BACKLOG)
    while True:
        await asyncio.sleep(every - stall)
        time.sleep(stall)  # the whole server does, its loop too


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
