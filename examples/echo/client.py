#!/usr/bin/python3
"""Says something to the echo and prints what comes back, until it is pushed "bye"."""
import asyncio
import sys
import websockets  # Debian: python3-websockets

async def main(url):
    async with websockets.connect(url) as socket:
        for message in ('hello', '{"action": "whoami"}'):
            await socket.send(message)
            print(await socket.recv(), flush=True)
        async for pushed in socket:
            print(f"pushed: {pushed}", flush=True)
            if pushed == "bye":
                break

asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/prod"))
