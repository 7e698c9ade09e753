"""What the scripts beside this file share: connecting, waiting for interest, and what is printed at the end."""

import asyncio
import sys
import time

import nats
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout

LIMIT = 60


async def connect(url):
    """A client that reconnects for ever."""
    return await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, connect_timeout=10)


async def joined(sender, receiver):
    """Waits until all that `receiver` has subscribed to so far is known where `sender` is connected."""
    subject = receiver.new_inbox()

    async def answer(message):
        await message.respond(b"")

    subscription = await receiver.subscribe(subject, cb=answer)
    end = time.monotonic() + LIMIT
    while True:
        try:
            await sender.request(subject, b"", timeout=1)
            break
        except (NoRespondersError, NatsTimeout):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.01)
    await subscription.unsubscribe()


def play(scenario):
    """Runs `scenario(*urls)` with the addresses of the command line. An exception ends the process with its trace."""

    async def main():
        await asyncio.wait_for(scenario(*sys.argv[1:]), 3 * LIMIT)
        print("passed")

    asyncio.run(main())
