// Clients that never read: pushes get 429 within bounds, replies close or drop by policy, memory stays flat.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { join } from './lib/client.mjs';
import { appApi, lambda, twoWay } from './lib/config.mjs';
import { MEASURED, startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { frame, openRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { pool, waitFor } from './lib/wait.mjs';

const file = fileScope();
const BODY = 'm'.repeat(65536);
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo, big: () => ({ statusCode: 200, body: BODY }) });
});

const config = (settings) => ({ management: { auth: 'sigv4', pushTimeoutMillis: 100 }, functions: fn.table('app', 'big'), apis: [appApi({ integrations: [lambda('big')], routes: [twoWay('big', 'big')], settings })] });

// A connection that never reads; the kernel's buffers of this side are as small as it allows.
async function sleeper(t, gw, n) {
  const tag = `s${n}-${Math.random()}`;
  const peer = await openRaw(t, gw, { path: `/prod?tag=${tag}` });
  peer.pause();
  peer.id = (await fn.event((c) => c.event?.queryStringParameters?.tag === tag)).requestContext.connectionId;
  return peer;
}

// Pushes until the connection is full; answers how many bytes went in.
async function fill(gw, id, most) {
  for (let sent = 0; sent < most; sent += BODY.length) {
    const answer = await gw.post(id, BODY);
    if (answer.status === 429) return sent;
    assert.equal(answer.status, 200);
  }
  throw new Error(`${most} bytes were taken without a 429`);
}

describe('slow consumers', () => {
  test('slow consumers: 300 clients that never read: 429 for each, memory flat', { timeout: 300000 }, async (t) => {
    const maxQueuedBytes = 131072;
    const gw = await startGateway(t, config({ maxQueuedBytes }), MEASURED);
    const peers = [];
    await pool(300, 20, async (n) => peers.push(await sleeper(t, gw, n)));
    // What the kernel takes is not the gateway's: the first client shows it.
    await pool(peers.length, 8, async (i) => {
      peers[i].taken = await fill(gw, peers[i].id, 64 * 1024 * 1024);
    });
    const full = gw.memory();
    for (let round = 0; round < 5; round++) {
      await pool(peers.length, 8, async (i) => {
        const { status } = await gw.post(peers[i].id, BODY);
        assert.ok(status === 429 || status === 200, String(status));
      });
    }
    const grown = gw.memory() - full;
    t.diagnostic(`resident: ${full} KiB with 300 full queues of ${maxQueuedBytes} bytes, ${grown} KiB more after 1500 further pushes`);
    // A few of them may have been taken as the kernel's buffers grew; 300 queues hold 37.5 MiB at most.
    assert.ok(grown < 20480, `grown by ${grown} KiB`);
    const quick = await join(t, gw, fn);
    assert.equal(await quick.ask({ action: 'echo' }), '{"action":"echo"}');
    const connected = fn.count('DISCONNECT');
    for (const peer of peers) peer.destroy();
    await waitFor(() => fn.count('DISCONNECT') >= connected + peers.length, { what: 'all $disconnects', timeout: 30000 });
  });

  test('slow consumers: close: replies that do not fit close the connection', async (t) => {
    const gw = await startGateway(t, config({ maxQueuedBytes: 131072, slowConsumer: 'close', closeTimeoutSeconds: 0.5 }));
    const peer = await sleeper(t, gw, 0);
    const ask = setInterval(() => peer.finished || peer.write(frame({ payload: '{"action":"big"}' })), 2);
    t.after(() => clearInterval(ask));
    const event = await fn.event({ eventType: 'DISCONNECT', connectionId: peer.id }, { timeout: 60000 });
    clearInterval(ask);
    assert.ok([1011, 1006].includes(event.requestContext.disconnectStatusCode), String(event.requestContext.disconnectStatusCode));
    assert.equal((await gw.post(peer.id, 'x')).status, 410);
  });

  test('slow consumers: drop: replies that do not fit are dropped, the connection stays', async (t) => {
    const gw = await startGateway(t, config({ maxQueuedBytes: 131072, slowConsumer: 'drop' }));
    const peer = await sleeper(t, gw, 0);
    await fill(gw, peer.id, 64 * 1024 * 1024);
    const before = fn.count({ name: 'big' });
    for (let i = 0; i < 20; i++) peer.write(frame({ payload: '{"action":"big"}' }));
    await waitFor(() => fn.count({ name: 'big' }) === before + 20 && fn.filter({ name: 'big' }).every((c) => c.done), { what: 'the calls' });
    assert.ok([200, 429].includes((await gw.post(peer.id, BODY)).status));
    peer.resume();
    // The queue empties; then replies come again.
    await waitFor(async () => (await gw.post(peer.id, 'awake')).status === 200);
    let got;
    do got = await peer.message();
    while (got.text !== 'awake');
    peer.write(frame({ payload: '{"action":"echo","after":1}' }));
    assert.equal((await peer.message()).text, '{"action":"echo","after":1}');
    assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: peer.id }), 0);
  });

  test('slow consumers: a client that sends and never reads is held back, not buffered', async (t) => {
    const gw = await startGateway(t, config({ maxQueuedBytes: 131072, slowConsumer: 'drop' }), MEASURED);
    const peer = await sleeper(t, gw, 0);
    const start = gw.memory();
    for (let i = 0; i < 3000; i++) peer.write(frame({ payload: `{"action":"none","x":"${'y'.repeat(4000)}"}` }));
    const other = await join(t, gw, fn);
    for (let i = 0; i < 20; i++) await other.ask({ action: 'echo', i });
    const grown = gw.memory() - start;
    assert.ok(grown < 65536, `grown by ${grown} KiB`);
  });

  test('slow consumers: pings to a client that does not read do not pile up', async (t) => {
    const gw = await startGateway(t, config({ maxQueuedBytes: 65536, pingIntervalSeconds: 0.02 }));
    const peer = await sleeper(t, gw, 0);
    const other = await join(t, gw, fn);
    await waitFor(() => other.pings.length >= 50, { what: 'fifty pings' });
    peer.destroy();
    await fn.call({ eventType: 'DISCONNECT', connectionId: peer.id });
  });
});
