"""Headers and payloads arrive as they were sent, the empty one and the largest among them."""

from expect import LIMIT, connect, joined, play

HEADERS = {"X-Plain": "value", "lower-case": "kept", "X-Odd": "a=b: c"}


async def one_way(sender, receiver):
    subject = sender.new_inbox()
    subscription = await receiver.subscribe(subject)
    await joined(sender, receiver)
    for size in (0, 1, 65_537, 1 << 20):
        payload = bytes(n * 31 % 251 for n in range(size))
        await sender.publish(subject, payload)
        message = await subscription.next_msg(timeout=LIMIT)
        assert message.data == payload, f"a payload of {size} bytes arrived changed"
        assert not message.headers, message.headers
    for payload in (b"", b"with headers"):
        await sender.publish(subject, payload, headers=HEADERS)
        message = await subscription.next_msg(timeout=LIMIT)
        assert message.headers == HEADERS, message.headers
        assert message.data == payload, message.data


async def scenario(near_url, far_url):
    near, far = await connect(near_url), await connect(far_url)
    await one_way(near, far)
    await one_way(far, near)
    await near.close()
    await far.close()


play(scenario)
