"""An echo server on PyPI's `websockets`. See ../src/server.rs for what it reads and prints."""

import asyncio
import contextlib
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode


class Connection(ServerConnection):
    """Tells of pings, which the library answers by itself."""

    def process_event(self, event):
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            report("ping")
        super().process_event(event)


async def handle(connection):
    report("open")
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            if isinstance(message, str):
                report(f"message {message}")
            await connection.send(message)
    report(f"close {connection.close_code}")


async def main():
    async with serve(handle, "127.0.0.1", 0, create_connection=Connection) as server:
        report(server.sockets[0].getsockname()[1])
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, *arguments = line.rstrip("\n").split(" ", 2)
            if command == "quit":
                break
            for connection in server.connections:
                if command == "terminate":
                    connection.transport.abort()
                elif command == "close":
                    code, reason = arguments
                    asyncio.ensure_future(connection.close(int(code), reason))


def report(line):
    print(line, flush=True)


asyncio.run(main())
