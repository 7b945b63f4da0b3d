// Idle time-out, maximum duration, server pings: section 1.11, row C90; the default time-out of row C34.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { join } from './lib/client.mjs';
import { appApi, lambda, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { frame, openRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

const gateway = (t, settings) => startGateway(t, { functions: fn.table('app'), apis: [appApi({ settings })] });
const GOING_AWAY = { code: 1001, reason: 'Going away' };

// Does `act` again and again for `duration` ms, with pauses well below the idle limit.
async function keepBusy(duration, pause, act) {
  const end = Date.now() + duration;
  while (Date.now() < end) {
    await act();
    const next = Date.now() + pause;
    await waitFor(() => Date.now() >= next, { interval: 5 });
  }
}

// Waiting is what these do: several at once.
describe('C90', { concurrency: 6 }, () => {
  test('C34 the default time-out is 29 s', { timeout: 60000 }, async (t) => {
    fn.on('forever', () => new Promise(() => {}));
    const gw = await startGateway(t, { functions: fn.table('app', 'forever'), apis: [appApi({ integrations: [lambda('forever')], routes: [route('forever', 'forever')] })] });
    const client = await join(t, gw, fn);
    const start = Date.now();
    client.send({ action: 'forever' });
    assert.match(await client.next(45000), /^\{"message": "Endpoint request timed out", "connectionId":"[^"]+", "requestId":"[^"]+"\}$/);
    const took = Date.now() - start;
    assert.ok(took >= 28900 && took < 40000, `${took} ms`);
  });

  test('C90 idle close at the limit, not before', async (t) => {
    const gw = await gateway(t, { idleTimeoutSeconds: 0.5 });
    const start = Date.now();
    const client = await join(t, gw, fn);
    assert.deepEqual(await client.ended(), GOING_AWAY);
    const took = Date.now() - start;
    assert.ok(took >= 450, `closed after ${took} ms`);
    assert.ok(took < 5000, `closed after ${took} ms`);
  });

  const traffic = {
    'client messages': (client) => client.ask({ action: 'echo' }),
    'one-way client messages': (client) => client.send({ action: 'quiet' }),
    pushes: (client, gw) => gw.post(client.id, 'x'),
    'client pings': (client) => client.ping('x'),
    'client pongs': (client) => client.ws.pong('x'),
  };
  for (const [name, act] of Object.entries(traffic)) {
    test(`C90 ${name} postpone the idle close`, async (t) => {
      const gw = await gateway(t, { idleTimeoutSeconds: 1 });
      const client = await join(t, gw, fn);
      await keepBusy(2500, 150, () => act(client, gw));
      assert.equal(client.ws.readyState, 1, 'still open after two and a half limits');
      assert.deepEqual(await client.ended(), GOING_AWAY);
    });
  }

  test('C90 with idleTimeoutCountsPing: false pings do not count', async (t) => {
    const gw = await gateway(t, { idleTimeoutSeconds: 0.6, idleTimeoutCountsPing: false });
    const client = await join(t, gw, fn);
    const pings = setInterval(() => client.ws.readyState === 1 && client.ws.ping(), 50);
    t.after(() => clearInterval(pings));
    assert.deepEqual(await client.ended(5000), GOING_AWAY);
  });

  test('C90 maximum duration closes regardless of traffic', async (t) => {
    const gw = await gateway(t, { maxConnectionDurationSeconds: 0.8, idleTimeoutSeconds: 30 });
    const start = Date.now();
    const client = await join(t, gw, fn);
    const chatter = setInterval(() => client.ws.readyState === 1 && client.send({ action: 'quiet' }), 50);
    t.after(() => clearInterval(chatter));
    assert.deepEqual(await client.ended(), GOING_AWAY);
    const took = Date.now() - start;
    assert.ok(took >= 750 && took < 5000, `closed after ${took} ms`);
  });

  test('C90 zero switches both off', async (t) => {
    const gw = await gateway(t, { idleTimeoutSeconds: 0, maxConnectionDurationSeconds: 0 });
    const other = await gateway(t, { idleTimeoutSeconds: 0.5 });
    const client = await join(t, gw, fn);
    const clock = await join(t, other, fn);
    await clock.ended();
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });

  test('C90 pingIntervalSeconds: the gateway pings, the client stays', async (t) => {
    const gw = await gateway(t, { pingIntervalSeconds: 0.1 });
    const client = await join(t, gw, fn);
    await waitFor(() => client.pings.length >= 3, { what: 'three pings' });
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });

  test('C90 an idle time-out holds for many connections at once', async (t) => {
    const gw = await gateway(t, { idleTimeoutSeconds: 0.5 });
    const clients = await Promise.all(Array.from({ length: 200 }, () => join(t, gw, fn)));
    const ends = await Promise.all(clients.map((client) => client.ended()));
    for (const end of ends) assert.deepEqual(end, GOING_AWAY);
    await waitFor(() => clients.every((c) => fn.count({ eventType: 'DISCONNECT', connectionId: c.id }) === 1), { what: 'all $disconnects' });
  });

  test('C90 half a message counts as little as it should: a client that trickles forever is bounded by the duration', async (t) => {
    const gw = await gateway(t, { idleTimeoutSeconds: 30, maxConnectionDurationSeconds: 0.7 });
    const peer = await openRaw(t, gw);
    peer.write(frame({ payload: '{"action":"echo"', fin: false }));
    const got = await peer.frame();
    assert.deepEqual([got.opcode, got.code], [8, 1001]);
  });
});
