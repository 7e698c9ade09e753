"""Requests are answered from afar, and those that nobody serves are refused at once."""

import time

from nats.errors import NoRespondersError

from expect import LIMIT, connect, joined, play


async def answered(asker, server):
    subject = asker.new_inbox()

    async def answer(message):
        await message.respond(b"re: " + message.data)

    await server.subscribe(subject, cb=answer)
    await joined(asker, server)
    for n in range(200):
        reply = await asker.request(subject, str(n).encode(), timeout=LIMIT)
        assert reply.data == f"re: {n}".encode(), reply.data


async def refused(asker):
    times = []
    for _ in range(21):
        start = time.monotonic()
        try:
            await asker.request(asker.new_inbox(), b"anyone?", timeout=5)
            raise AssertionError("nobody serves this")
        except NoRespondersError:
            times.append(time.monotonic() - start)
    median = sorted(times)[len(times) // 2]
    print(f"refused after {median * 1000:.2f} ms (median)")
    assert median < 0.05, median


async def scenario(near_url, far_url):
    near, far = await connect(near_url), await connect(far_url)
    await answered(near, far)
    await answered(far, near)
    await refused(near)
    await refused(far)
    await near.close()
    await far.close()


play(scenario)
