// SPDX-License-Identifier: Apache-2.0
//
// Native actors called by the published JavaScript SDK, as its documentation has it: proxies of
// ActorProxyBuilder over HTTP, and reminders, timers and state by its actor client. js_test.sh runs it:
//   node sdk.js PORT
// Not a line of the SDK is changed.
const assert = require("assert");
const { ActorId, ActorProxyBuilder, CommunicationProtocolEnum, DaprClient, Temporal } =
    require("@dapr/dapr");

// The name of a class is that of its type.
class web {}
class vault {}
class bell {}
class nobody {}

const client = new DaprClient({
    daprHost: "127.0.0.1",
    daprPort: process.argv[2],
    communicationProtocol: CommunicationProtocolEnum.HTTP,
});
const proxy = (type, id) => new ActorProxyBuilder(type, client).build(new ActorId(id));
// The client that a proxy calls by.
const direct = new ActorProxyBuilder(bell, client).actorClient.actor;

async function until(check) {
    for (let i = 0; i < 300; i++) {
        if (await check()) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.fail(`has not become true: ${check}`);
}

async function fails(promise, status, words) {
    await assert.rejects(promise, (error) => {
        const said = JSON.parse(error.message);
        assert.strictEqual(said.status, status);
        const body = JSON.parse(said.error_msg);
        assert.ok(body.message.includes(words), `${body.message} does not say ${words}`);
        return body.errorCode === "ERR_ACTOR_INVOKE_METHOD";
    });
}

async function calls() {
    const echo = proxy(web, "js");
    assert.deepStrictEqual(await echo.echo({ a: [1, "é"] }, 2), [{ a: [1, "é"] }, 2]);
    assert.ok(!(await echo.nothing()));
    assert.deepStrictEqual(await proxy(web, "a b|é").echo(7), [7]);
    // Through a schema: the argument is the message.
    const sum = proxy(vault, "js");
    assert.deepStrictEqual(await sum.add({ amount: 5 }), { total: 5 });
    assert.deepStrictEqual(await sum.add({ amount: 6 }), { total: 11 });
    const many = Array.from({ length: 50 }, () => sum.add({ amount: 1 }));
    const totals = (await Promise.all(many)).map((one) => one.total).sort((a, b) => a - b);
    assert.deepStrictEqual(totals, Array.from({ length: 50 }, (_, i) => 12 + i));
    await fails(sum.add({ amuont: 5 }), 400, "amuont");
    await fails(sum.nope(), 404, "has no method");
    await fails(echo.panic(), 500, "panic");
    await fails(proxy(nobody, "x").echo(), 404, "nobody");
    assert.deepStrictEqual(await direct.stateGet("vault", new ActorId("js"), "state"), { total: 61 });
}

async function alarms() {
    const id = new ActorId("js");
    const heard = async () => String(await proxy(bell, "js").heard());
    const soon = Temporal.Duration.from({ milliseconds: 20 });
    const often = { dueTime: soon, period: soon, data: { k: "v" } };
    await direct.registerActorReminder("bell", id, "ring", often);
    await until(async () => /^ring [3-9]/.test(await heard()));
    assert.ok((await heard()).endsWith('{"k":"v"}'));
    assert.strictEqual((await direct.reminderGet("bell", id, "ring")).period, "@every 20ms");
    await direct.unregisterActorReminder("bell", id, "ring");
    const hour = { dueTime: Temporal.Duration.from({ hours: 1, minutes: 30 }), data: 5 };
    await direct.registerActorReminder("bell", id, "later", hour);
    assert.strictEqual((await direct.reminderGet("bell", id, "later")).data, 5);
    await direct.registerActorTimer("bell", id, "mine", { ...often, callback: "tick" });
    await until(async () => / tick [2-9]/.test(await heard()));
    await direct.unregisterActorTimer("bell", id, "mine");
}

(async () => {
    await calls();
    await alarms();
    await client.stop();
    console.log("the SDK is served");
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
