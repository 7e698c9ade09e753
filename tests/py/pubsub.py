"""Messages each way between two places: each once, in order."""

import asyncio

from expect import LIMIT, connect, joined, play

COUNT = 10_000


async def one_way(sender, receiver):
    subject = sender.new_inbox()
    subscription = await receiver.subscribe(subject + ".*", pending_msgs_limit=-1, pending_bytes_limit=-1)
    await joined(sender, receiver)
    for n in range(COUNT):
        await sender.publish(f"{subject}.{n % 5}", str(n).encode())
    await sender.publish(subject + ".end", b"end")
    await sender.flush(timeout=LIMIT)
    got = [(await subscription.next_msg(timeout=LIMIT)).data for _ in range(COUNT + 1)]
    assert got == [str(n).encode() for n in range(COUNT)] + [b"end"], "lost, twice, or out of order"


async def scenario(near_url, far_url):
    near, far = await connect(near_url), await connect(far_url)
    await asyncio.gather(one_way(near, far), one_way(far, near))
    await near.close()
    await far.close()


play(scenario)
