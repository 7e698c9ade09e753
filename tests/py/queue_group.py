"""A queue group whose members are at each of the places: every message reaches exactly one."""

import asyncio

from expect import LIMIT, connect, joined, play

COUNT = 2_000


async def scenario(sender_url, *member_urls):
    sender = await connect(sender_url)
    members = [await connect(url) for url in member_urls]
    subject, end = sender.new_inbox(), sender.new_inbox()
    got = [[] for _ in members]
    ended = [asyncio.Event() for _ in members]
    for member, own, done in zip(members, got, ended):

        async def work(message, own=own):
            own.append(int(message.data))

        async def finish(_, done=done):
            done.set()

        await member.subscribe(subject, queue="workers", cb=work)
        await member.subscribe(end, cb=finish)
        await joined(sender, member)
    for n in range(COUNT):
        await sender.publish(subject, str(n).encode())
    await sender.publish(end, b"")
    await sender.flush(timeout=LIMIT)
    for done in ended:
        await asyncio.wait_for(done.wait(), LIMIT)
    # `end` has come to each, so all else has; callbacks of another subscription may still be at work.
    for client in members:
        await client.drain()
    assert sorted(n for own in got for n in own) == list(range(COUNT)), "each message exactly once"
    print("members got", [len(own) for own in got])
    await sender.close()


play(scenario)
