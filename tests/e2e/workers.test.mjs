// Several workers in one process: a push that arrives at any of them reaches a connection on any other; order and
// concurrency of messages (1.15, 5.2).
import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import { join } from './lib/client.mjs';
import { appApi, lambda, twoWay } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { deferred, pool, waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

function keepAlive(t) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onEnd(t, () => agent.destroy());
  return agent;
}

describe('workers', () => {
  for (const workers of [1, 2, 4]) {
    test(`workers: ${workers}: every management socket reaches every connection`, async (t) => {
      const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], workers });
      const clients = await Promise.all(Array.from({ length: 24 }, () => join(t, gw, fn)));
      const agents = Array.from({ length: 8 }, () => keepAlive(t));
      for (const [a, agent] of agents.entries()) {
        for (const client of clients) {
          assert.equal((await gw.post(client.id, `from ${a}`, { agent })).status, 200);
          assert.equal(await client.next(), `from ${a}`);
          assert.equal((await gw.info(client.id, { agent })).status, 200);
        }
      }
      await pool(clients.length, 8, async (i) => {
        assert.equal((await gw.remove(clients[i].id, { agent: agents[i % agents.length] })).status, 204);
        assert.equal((await clients[i].ended()).code, 1000);
        for (const agent of agents) assert.equal((await gw.post(clients[i].id, 'x', { agent })).status, 410);
      });
    });
  }

  test('workers: what one caller posts one after another arrives in order, whichever worker takes it', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], workers: 4 });
    const clients = await Promise.all(Array.from({ length: 12 }, () => join(t, gw, fn)));
    await Promise.all(
      clients.map(async (client, c) => {
        const agent = c % 2 ? keepAlive(t) : false; // on one socket, or a new one (and worker) each time
        for (let i = 0; i < 60; i++) assert.equal((await gw.post(client.id, String(i), { agent })).status, 200);
        for (let i = 0; i < 60; i++) assert.equal(await client.next(), String(i));
      }),
    );
  });

  test('workers: many callers at once to one connection: everything arrives once, each caller in order', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings: { maxQueuedBytes: 8388608 } })], workers: 4 });
    const client = await join(t, gw, fn);
    await Promise.all(
      Array.from({ length: 16 }, async (_, caller) => {
        const agent = keepAlive(t);
        for (let i = 0; i < 50; i++) assert.equal((await gw.post(client.id, `${caller}:${i}:${'x'.repeat(caller * 50)}`, { agent })).status, 200);
      }),
    );
    const next = new Map();
    for (let n = 0; n < 16 * 50; n++) {
      const [caller, i] = (await client.next()).split(':');
      assert.equal(Number(i), next.get(caller) ?? 0, `caller ${caller}`);
      next.set(caller, Number(i) + 1);
    }
    assert.equal(client.messages.length, 0);
  });
});

describe('ordering', () => {
  // The function "slow" answers the first message of a connection last.
  function slowFirst() {
    const gate = deferred();
    let running = 0;
    const state = { gate, most: 0, order: [] };
    fn.on('slow', async (event) => {
      const { i } = JSON.parse(event.body);
      running++;
      state.most = Math.max(state.most, running);
      state.order.push(i);
      if (i === 0) await gate.promise;
      running--;
      return { statusCode: 200, body: String(i) };
    });
    return state;
  }

  const config = (settings) => ({ functions: fn.table('app', 'slow'), apis: [appApi({ integrations: [lambda('slow')], routes: [twoWay('slow', 'slow')], settings })] });

  test('ordering: concurrent (the default): a slow message does not hold up the next', async (t) => {
    const state = slowFirst();
    const gw = await startGateway(t, config({}));
    const client = await join(t, gw, fn);
    for (let i = 0; i < 5; i++) client.send({ action: 'slow', i });
    const got = [];
    for (let i = 0; i < 4; i++) got.push(await client.next());
    assert.deepEqual(got.sort(), ['1', '2', '3', '4']);
    state.gate.resolve();
    assert.equal(await client.next(), '0');
  });

  test('ordering: perConnection: one call at a time, in order; other connections go on', async (t) => {
    const state = slowFirst();
    const gw = await startGateway(t, config({ messageOrdering: 'perConnection' }));
    const client = await join(t, gw, fn);
    const other = await join(t, gw, fn);
    for (let i = 0; i < 20; i++) client.send({ action: 'slow', i });
    await waitFor(() => state.order.length > 0, { what: 'the first call' });
    for (let i = 0; i < 5; i++) assert.equal(await other.ask({ action: 'echo', i }), `{"action":"echo","i":${i}}`);
    assert.deepEqual(state.order, [0], 'nothing overtakes the first');
    state.gate.resolve();
    for (let i = 0; i < 20; i++) assert.equal(await client.next(), String(i));
    assert.deepEqual(state.order, Array.from({ length: 20 }, (_, i) => i));
    assert.equal(state.most, 1);
  });

  test('ordering: maxPendingMessages bounds the calls of one connection; nothing is lost', async (t) => {
    const state = slowFirst();
    const gate = deferred();
    fn.on('slow', async (event) => {
      state.order.push(JSON.parse(event.body).i);
      await gate.promise;
      return { statusCode: 200, body: String(JSON.parse(event.body).i) };
    });
    const gw = await startGateway(t, config({ maxPendingMessages: 4 }));
    const client = await join(t, gw, fn);
    const other = await join(t, gw, fn);
    for (let i = 0; i < 50; i++) client.send({ action: 'slow', i });
    await waitFor(() => state.order.length >= 4, { what: 'four calls' });
    for (let i = 0; i < 10; i++) await other.ask({ action: 'echo', i });
    assert.ok(state.order.length <= 6, `${state.order.length} calls at once`);
    gate.resolve();
    const got = [];
    for (let i = 0; i < 50; i++) got.push(Number(await client.next()));
    assert.deepEqual(got.sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
  });

  test('ordering: $connect completes before the first message, $disconnect may overlap', async (t) => {
    const gw = await startGateway(t, config({}));
    const gate = deferred();
    fn.on('slow', () => gate.promise);
    const client = await join(t, gw, fn);
    client.send({ action: 'slow', i: 1 });
    await fn.call({ name: 'slow', connectionId: client.id });
    await client.close();
    await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
    gate.resolve({ statusCode: 200, body: 'late' });
    const next = await join(t, gw, fn);
    assert.equal(await next.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});
