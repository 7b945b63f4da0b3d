"""Talks to the gateway with the package websockets: sends each argument, prints each answer, closes with 4000.

Usage: websocket_client.py URL MESSAGE...
"""
import asyncio
import json
import sys

import websockets


async def main(url, messages):
    async with websockets.connect(url) as ws:
        for message in messages:
            await ws.send(message)
            print(json.dumps(await asyncio.wait_for(ws.recv(), 10)), flush=True)
        pong = await ws.ping(b"hello")
        await asyncio.wait_for(pong, 10)
        await ws.send(["{\"action\":\"echo\",", "\"parts\":2}"])
        print(json.dumps(await asyncio.wait_for(ws.recv(), 10)), flush=True)
        await ws.close(4000, "from python")


asyncio.run(main(sys.argv[1], sys.argv[2:]))
