"""Every operation of the wasmCloud 1.x control interface on two hosts of one lattice: replies and events, field by field."""

import asyncio
import json

from nats.errors import NoRespondersError

from expect import LIMIT, connect, play

CTL, EVT = "wasmbus.ctl.v1.default.", "wasmbus.evt.default."
INVENTORY = {
    "components", "friendly_name", "host_id", "labels", "providers", "uptime_human", "uptime_seconds", "version",
}
PING = {
    "ctl_host", "friendly_name", "id", "js_domain", "labels", "lattice", "rpc_host", "uptime_human", "uptime_seconds",
    "version",
}


class Lattice:
    def __init__(self, client):
        self.client, self.events = client, asyncio.Queue()

    async def listen(self):
        async def note(message):
            event = json.loads(message.data)
            name = message.subject[len(EVT):]
            assert event["specversion"] == "1.0" and event["type"] == "com.wasmcloud.lattice." + name, event
            assert set(event) == {"specversion", "id", "source", "type", "time", "datacontenttype", "data"}, event
            assert event["datacontenttype"] == "application/json", event
            await self.events.put((name, event["source"], event["data"]))

        await self.client.subscribe(EVT + "*", cb=note)
        await self.client.flush()

    async def ask(self, operation, body=None):
        payload = b"" if body is None else json.dumps(body).encode()
        reply = json.loads((await self.client.request(CTL + operation, payload, timeout=LIMIT)).data)
        assert set(reply) in ({"success", "message"}, {"success", "message", "response"}), reply
        assert isinstance(reply["success"], bool) and isinstance(reply["message"], str), reply
        return reply

    async def done(self, operation, body=None):
        reply = await self.ask(operation, body)
        assert reply["success"], (operation, reply)
        return reply.get("response")

    async def refused(self, operation, body, *words):
        reply = await self.ask(operation, body)
        assert not reply["success"] and all(word in reply["message"] for word in words), (operation, reply)

    async def scatter(self, operation, body=None, wait=1.0):
        inbox, found = self.client.new_inbox(), []

        async def note(message):
            found.append(json.loads(message.data))

        subscription = await self.client.subscribe(inbox, cb=note)
        await self.client.publish(CTL + operation, json.dumps(body or {}).encode(), reply=inbox)
        await asyncio.sleep(wait)
        await subscription.unsubscribe()
        return found

    async def event(self, name, source=None):
        """The next event of that name; heartbeats may come at any time."""
        while True:
            found, host, data = await asyncio.wait_for(self.events.get(), LIMIT)
            if found == name and source in (None, host):
                return data
            assert found == "host_heartbeat", (found, data, "expected", name)


async def hosts(lattice):
    for _ in range(LIMIT):
        found = await lattice.scatter("host.ping")
        if len(found) == 2:
            break
    hosts = [reply["response"] for reply in found]
    for host in hosts:
        assert set(host) == PING and host["lattice"] == "default" and host["id"].startswith("N"), host
        inventory = await lattice.done("host.get." + host["id"])
        assert set(inventory) == INVENTORY and inventory["host_id"] == host["id"], inventory
        assert inventory["components"] == [] and inventory["providers"] == [], inventory
        assert {"hostcore.arch", "hostcore.os", "hostcore.osfamily"} <= set(inventory["labels"]), inventory
    return sorted(host["id"] for host in hosts)


async def labels_and_auctions(lattice, a, b):
    await lattice.done("label.put." + a, {"key": "room", "value": "attic"})
    changed = await lattice.event("labels_changed", a)
    assert changed["host_id"] == a and changed["labels"]["room"] == "attic", changed
    bid = {"component_ref": "file:///hello", "component_id": "hello", "constraints": {"room": "attic"}}
    replies = await lattice.scatter("component.auction", bid)
    assert [reply["response"] for reply in replies] == [{**bid, "host_id": a}], replies
    bid["constraints"] = {}
    assert len(await lattice.scatter("component.auction", bid)) == 2
    provider = {"provider_ref": "ghcr.io/p", "provider_id": "p", "constraints": {}}
    assert await lattice.scatter("provider.auction", provider) == []
    await lattice.done("label.del." + a, {"key": "room"})
    assert "room" not in (await lattice.event("labels_changed", a))["labels"]
    await lattice.refused("label.put." + a, {"key": "hostcore.os", "value": "x"}, "hostcore.os")
    await lattice.refused("provider.start." + b, {**provider, "host_id": b}, "p", "ghcr.io/p")
    failed = await lattice.event("provider_start_failed", b)
    assert set(failed) == {"error", "host_id", "provider_id", "provider_ref"} and "ghcr.io/p" in failed["error"], failed
    await lattice.refused("provider.stop." + b, {"provider_id": "p", "host_id": b}, "p")


async def config_and_links(near, far, a):
    await near.done("config.put.app.one", {"k": "v"})
    assert await near.event("config_set") == {"config_name": "app.one"}
    assert await settled(far, "config.get.app.one", {"k": "v"})
    link = {
        "source_id": "http", "target": "hello", "name": "default", "wit_namespace": "wasi", "wit_package": "http",
        "interfaces": ["incoming-handler"], "source_config": ["app.one"], "target_config": [],
    }
    assert await near.done("link.put", link) is None
    assert await near.event("linkdef_set") == link
    assert await settled(far, "link.get", [link])
    assert len(await near.scatter("link.get")) == 1, "one host of all answers"
    await near.refused("link.put", {**link, "target": "other"}, "hello", "incoming-handler")
    failed = await near.event("linkdef_set_failed")
    assert set(failed) == set(link) | {"error"} and failed["target"] == "other", failed
    identity = {key: link[key] for key in ("source_id", "name", "wit_namespace", "wit_package")}
    await far.done("link.del", identity)
    assert await near.event("linkdef_deleted") == {**identity, "target": "hello", "interfaces": ["incoming-handler"]}
    assert await settled(near, "link.get", [])
    await near.done("config.del.app.one")
    assert await near.event("config_deleted") == {"config_name": "app.one"}
    reply = await near.ask("config.get.app.one")
    assert reply == {"success": True, "message": "Configuration not found"}, reply
    assert await near.done("claims.get") == []
    await near.refused("config.put.bad", {"k": 1}, "config.put", "string")
    await near.refused("link.put", {"source_id": "a"}, "link.put", "missing field")
    await near.refused("registry.put", {"ghcr.io": {"username": "u", "password": "p", "registryType": "oci"}}, "registries")


async def settled(lattice, operation, expected):
    """Whether what one host was told is soon answered by another."""
    for _ in range(100):
        found = (await lattice.ask(operation)).get("response")
        if found == expected:
            return True
        await asyncio.sleep(0.02)
    raise AssertionError((operation, found, "expected", expected))


async def component(lattice, a, b):
    scale = {
        "component_ref": "file:///hello", "component_id": "hello", "count": 3, "host_id": a, "config": [],
        "annotations": {"by": "test"}, "component_limits": {"max_memory_limit": "1000000"}, "allow_update": False,
    }
    await lattice.done("component.scale." + a, scale)
    scaled = {
        "annotations": {"by": "test"}, "host_id": a, "image_ref": "file:///hello", "max_instances": 3,
        "component_id": "hello",
    }
    assert await lattice.event("component_scaled", a) == scaled
    inventory = await lattice.done("host.get." + a)
    expected = {
        "id": "hello", "image_ref": "file:///hello", "annotations": {"by": "test"}, "revision": 0, "max_instances": 3,
        "limits": {"max_memory_limit": "1000000"},
    }
    assert inventory["components"] == [expected], inventory
    bid = {"component_ref": "file:///hello", "component_id": "hello", "constraints": {}}
    assert [reply["response"]["host_id"] for reply in await lattice.scatter("component.auction", bid)] == [b]
    await lattice.done("component.update." + a, {"component_id": "hello", "new_component_ref": "file:///v2", "host_id": a})
    assert (await lattice.event("component_scaled", a))["image_ref"] == "file:///v2"
    await lattice.refused("component.update." + b, {"component_id": "hello", "new_component_ref": "x", "host_id": b}, "hello")
    await lattice.refused("component.scale." + a, {**scale, "host_id": b}, "host_id", b)
    await lattice.refused("component.scale." + a, {"component_id": "hello"}, "missing field")
    await lattice.done("component.scale." + b, {**scale, "host_id": b, "component_ref": "missing"})
    failed = await lattice.event("component_scale_failed", b)
    assert failed == {**scaled, "host_id": b, "image_ref": "missing", "error": "image missing: no such file"}, failed
    await lattice.done("component.scale." + a, {**scale, "count": 0})
    assert (await lattice.event("component_scaled", a))["max_instances"] == 0
    assert (await lattice.done("host.get." + a))["components"] == []


async def nobody(lattice):
    for operation in ("host.get.NOBODY", "component.fly", "lattice.burn"):
        try:
            await lattice.client.request(CTL + operation, b"", timeout=5)
            raise AssertionError(operation)
        except NoRespondersError:
            pass
    await lattice.refused("link.list", None, "link.list")


async def scenario(near_url, far_url):
    near, far = Lattice(await connect(near_url)), Lattice(await connect(far_url))
    await near.listen()
    a, b = await hosts(near)
    while not near.events.empty():
        near.events.get_nowait()
    await labels_and_auctions(near, a, b)
    await config_and_links(near, far, a)
    await component(near, a, b)
    await nobody(near)
    await near.done("host.stop." + b, {"host_id": b, "timeout": 1000})
    assert set(await near.event("host_stopped", b)) == {"labels"}
    assert [reply["response"]["id"] for reply in await near.scatter("host.ping")] == [a]
    # The other one goes on, and says so by itself.
    name = ""
    while name != "host_heartbeat":
        name, host, data = await asyncio.wait_for(near.events.get(), LIMIT)
    assert host == a and set(data) == INVENTORY, data


play(scenario)
