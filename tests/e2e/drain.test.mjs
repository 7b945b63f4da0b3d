// The end of a gateway, by SIGTERM or POST /drain: not ready, then 503 for handshakes and 1012 for clients at a set rate,
// every $disconnect, status 0. Issue item 6; docs/operations.md, "Draining".
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import { before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, lambda, twoWay, UNTHROTTLED } from './lib/config.mjs';
import { run, startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw, openRaw, upgradeRequest } from './lib/raw.mjs';
import { REDIS, startRedis } from './lib/redis.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, waitFor, watchStalls, within } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

const RESTART = { code: 1012, reason: 'Service restart' };
const config = (drain, more = {}) => ({ functions: fn.table('app'), apis: [appApi()], drain, throttling: UNTHROTTLED, ...more });
const keepAlive = new http.Agent({ keepAlive: true });
const many = (count, make) => Promise.all(Array.from({ length: count }, make));
const disconnects = (id, from = fn) => from.filter({ eventType: 'DISCONNECT', connectionId: id });

// POST, GET, DELETE /drain of the admin listener.
const control = (gw, method, headers = {}) => request({ method, port: gw.adminPort, path: '/drain', headers });
const state = async (gw) => JSON.parse((await control(gw, 'GET')).text).state;
const inState = (gw, wanted) => waitFor(async () => (await state(gw)) === wanted, { what: `the state ${wanted}` });

function assertOneEach(clients, end = RESTART) {
  for (const client of clients) {
    const calls = disconnects(client.id);
    assert.equal(calls.length, 1, `${client.id} has ${calls.length} $disconnects`);
    assert.equal(calls[0].event.requestContext.disconnectStatusCode, end.code);
    assert.equal(calls[0].event.requestContext.disconnectReason, end.reason);
  }
}

// When each client was closed, in ms since `start`, in order.
async function closeTimes(clients, start) {
  const times = await Promise.all(clients.map((client) => client.ended(30000).then(() => performance.now() - start)));
  return times.sort((a, b) => a - b);
}

const listens = (port) =>
  new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

describe('drain: phases', () => {
  test('drain: 1012 to every client, one $disconnect each, status 0', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 10 }));
    const clients = await many(50, () => join(t, gw, fn));
    const ends = Promise.all(clients.map((client) => client.ended()));
    await gw.stop();
    for (const end of await ends) assert.deepEqual(end, RESTART);
    assertOneEach(clients);
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: during the grace the node is not ready, and serves everything', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 1.5, deadlineSeconds: 10 }, { management: { auth: 'none' } }));
    assert.equal((await gw.get('/ping')).status, 200);
    const client = await join(t, gw, fn);
    const start = performance.now();
    gw.signal('SIGTERM');
    await waitFor(async () => (await gw.admin('/readyz')).status === 503, { what: '/readyz' });
    assert.match((await gw.admin('/readyz')).text, /draining/);
    assert.equal((await gw.admin('/healthz')).status, 200);
    await waitFor(async () => (await gw.get('/ping')).status === 503, { what: '/ping' });
    const late = await join(t, gw, fn);
    assert.deepEqual(JSON.parse(await late.ask({ action: 'echo' })), { action: 'echo' });
    const pushed = await gw.manage('POST', client.id, { body: 'during the grace', credentials: null, agent: keepAlive });
    assert.equal(pushed.status, 200);
    assert.notEqual(pushed.headers.connection, 'close');
    assert.equal(await client.next(), 'during the grace');
    assert.equal(await state(gw), 'grace');
    assert.equal((await gw.metrics()).find((s) => s.name === 'tidegate_draining').value, 1);
    const times = await closeTimes([client, late], start);
    assert.ok(times[0] >= 1450, `closed after ${times[0]} ms, in the grace`);
    await within(gw.exited, 'the exit');
    assertOneEach([client, late]);
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: after the grace handshakes get 503, pushes and messages go on, answers say Connection: close', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 4, jitter: 0, deadlineSeconds: 20 }, { management: { auth: 'none' } }));
    const clients = await many(12, () => join(t, gw, fn));
    gw.signal('SIGTERM');
    await inState(gw, 'closing');
    const refusal = await refused(t, gw.url());
    assert.equal(refusal.status, 503);
    assert.deepEqual(refusal.json(), { message: 'Service Unavailable' });
    const open = clients.filter((client) => client.ws.readyState === 1);
    assert.ok(open.length > 4, 'the closes take three seconds');
    const last = await Promise.all(open.map(async (client) => ({ client, push: await gw.manage('POST', client.id, { body: 'still', credentials: null, agent: keepAlive }) })));
    for (const { client, push } of last) {
      assert.equal(push.headers.connection, 'close');
      assert.ok(push.status === 200 || (push.status === 410 && client.ws.readyState !== 1), `${push.status}`);
      if (push.status === 200) assert.equal(await client.next(), 'still');
    }
    assert.ok(last.some(({ push }) => push.status === 200));
    // Who was closed is gone, for as long as the node lives.
    const closed = clients.find((client) => client.ws.readyState !== 1) ?? (await Promise.race(clients.map((client) => client.ended().then(() => client))));
    assert.equal((await gw.manage('POST', closed.id, { body: 'x', credentials: null })).status, 410);
    await Promise.all(clients.map((client) => client.ended(20000)));
    await within(gw.exited, 'the exit');
    assertOneEach(clients);
    assert.equal(gw.exit.code, 0);
  });

  test('drain: closeCode and closeReason', async (t) => {
    const gw = await startGateway(t, config({ closeCode: 4242, closeReason: 'moved', deadlineSeconds: 10 }));
    const client = await join(t, gw, fn);
    gw.signal('SIGTERM');
    assert.deepEqual(await client.ended(), { code: 4242, reason: 'moved' });
    await within(gw.exited, 'the exit');
    assertOneEach([client], { code: 4242, reason: 'moved' });
  });

  test('drain: the former name of the settings, with a warning', async (t) => {
    const gw = await startGateway(t, { ...config(undefined), shutdown: { drainSeconds: 0, deadlineSeconds: 3 }, drain: undefined });
    assert.match(gw.log(), /shutdown: is called drain now/);
    const client = await join(t, gw, fn);
    await gw.stop();
    assert.equal((await client.ended()).code, 1012);
  });
});

describe('drain: pace', () => {
  test('drain: closes keep to the rate, over all workers, and have gaps', async (t) => {
    const RATE = 40;
    const COUNT = 120;
    const gw = await startGateway(t, config({ closesPerSecond: RATE, deadlineSeconds: 30 }));
    const clients = await many(COUNT, () => join(t, gw, fn));
    const stalls = watchStalls(t);
    const start = performance.now();
    gw.signal('SIGTERM');
    const times = await closeTimes(clients, start);
    await within(gw.exited, 'the exit');
    const took = times.at(-1) - times[0];
    t.diagnostic(`${COUNT} closes at ${RATE}/s took ${Math.round(took)} ms`);
    assert.ok(took >= (COUNT / RATE) * 1000 * 0.75, `too fast: ${took} ms`);
    assert.ok(took <= (COUNT / RATE) * 1000 * 1.8, `too slow: ${took} ms`);
    // No half second has more than its share, and what chance and a busy machine add: what came while this process stood still, it
    // saw at once.
    for (const from of times) {
      const within500 = times.filter((at) => at >= from && at < from + 500).length;
      assert.ok(within500 <= RATE * (0.5 * 1.5 + 2 * stalls.worst) + 6, `${within500} closes in 500 ms`);
    }
    assertOneEach(clients);
  });

  test('drain: a rate too low for the deadline is raised, evenly', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 1, deadlineSeconds: 4 }));
    const clients = await many(60, () => join(t, gw, fn));
    const start = performance.now();
    gw.signal('SIGTERM');
    const times = await closeTimes(clients, start);
    await within(gw.exited, 'the exit');
    assert.ok(times.at(-1) < 4000, `the last close came after ${times.at(-1)} ms`);
    assert.ok(times[45] - times[15] > 500, 'spread over the two seconds that are for closing');
    assert.match(gw.log(), /closesPerSecond is too low for the deadline/);
    assertOneEach(clients);
    assert.equal(gw.exit.code, 0);
  });

  test('drain: 0 closes all at once', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 30 }));
    const clients = await many(60, () => join(t, gw, fn));
    const start = performance.now();
    gw.signal('SIGTERM');
    const times = await closeTimes(clients, start);
    assert.ok(times.at(-1) < 3000, `${times.at(-1)} ms`);
    await within(gw.exited, 'the exit');
  });
});

describe('drain: what is under way', () => {
  const held = (gate) => {
    fn.on('held', () => gate.promise);
    return { functions: fn.table('app', 'held'), apis: [appApi({ integrations: [lambda('held')], routes: [twoWay('held', 'held')] })] };
  };

  test('drain: a message in flight gets its reply before the close', async (t) => {
    const gate = deferred();
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 10 }, held(gate)));
    const client = await join(t, gw, fn);
    client.send({ action: 'held' });
    await fn.call({ name: 'held', connectionId: client.id });
    gw.signal('SIGTERM');
    await inState(gw, 'closing');
    gate.resolve({ statusCode: 200, body: 'in time' });
    assert.equal(await client.next(), 'in time');
    assert.deepEqual(await client.ended(), RESTART);
    await gw.exited;
    assertOneEach([client]);
    assert.equal(gw.exit.code, 0);
  });

  test('drain: who still has messages in work near the deadline gets the close frame all the same', async (t) => {
    const gate = deferred();
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 2 }, held(gate)));
    const client = await join(t, gw, fn);
    client.send({ action: 'held' });
    await fn.call({ name: 'held', connectionId: client.id });
    const start = performance.now();
    gw.signal('SIGTERM');
    const [at] = await closeTimes([client], start);
    assert.deepEqual(await client.ended(), RESTART);
    assert.ok(at >= 900 && at < 2000, `closed after ${at} ms`);
    await within(gw.exited, 'the exit');
    gate.resolve({ statusCode: 200 });
    assertOneEach([client]);
    assert.equal(gw.exit.code, 0);
  });

  test('drain: a handshake in flight at the end of the grace gets its answer, and its turn', async (t) => {
    const gate = deferred();
    fn.on('slow', (event) => (event.requestContext.eventType === 'CONNECT' ? gate.promise : echo(event)));
    const api = appApi();
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 10 }, { functions: fn.table('app', 'slow'), apis: [{ ...api, integrations: [lambda('app'), lambda('slow')], routes: api.routes.map((r) => (r.routeKey.startsWith('$') ? { ...r, target: 'integrations/slow' } : r)) }] }));
    const dialled = dial(t, gw.url());
    const { event } = await fn.call({ name: 'slow', eventType: 'CONNECT' });
    gw.signal('SIGTERM');
    await inState(gw, 'closing');
    gate.resolve({ statusCode: 200 });
    assert.deepEqual(await (await dialled).ended(), RESTART);
    await within(gw.exited, 'the exit');
    assertOneEach([{ id: event.requestContext.connectionId }]);
  });

  test('drain: $disconnects that hang do not outlast the deadline', async (t) => {
    fn.on('stuck', (event) => (event.requestContext.eventType === 'DISCONNECT' ? new Promise(() => {}) : { statusCode: 200 }));
    const api = appApi();
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 1 }, { functions: fn.table('app', 'stuck'), apis: [{ ...api, integrations: [lambda('app'), lambda('stuck')], routes: api.routes.map((r) => (r.routeKey === '$disconnect' ? { ...r, target: 'integrations/stuck' } : r)) }] }));
    const client = await join(t, gw, fn);
    const start = Date.now();
    gw.signal('SIGTERM');
    assert.equal((await client.ended()).code, 1012);
    await within(gw.exited, 'the exit', 8000);
    assert.ok(Date.now() - start >= 900, 'the deadline was waited for');
    assert.equal(gw.exit.code, 0);
  });

  test('drain: clients that do not answer, half requests and idle sockets do not hold it up', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 1.5 }));
    const silent = await openRaw(t, gw);
    const half = await connectRaw(t, { port: gw.port });
    half.write('GET /prod HTTP/1.1\r\nHost:');
    const idle = await connectRaw(t, { port: gw.port });
    idle.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n');
    await idle.response();
    gw.signal('SIGTERM');
    assert.equal((await silent.frame()).code, 1012);
    await within(gw.exited, 'the exit', 8000);
    assert.equal(gw.exit.code, 0);
    await Promise.all([half.ended(), idle.ended(), silent.ended()]);
  });

  test('drain: who does not answer the close has exactly one $disconnect before the deadline', async (t) => {
    const answered = [];
    const late = (event) => setTimeout(100).then(() => answered.push(event.requestContext.connectionId)).then(() => ({ statusCode: 200 }));
    fn.on('app', (event) => (event.requestContext.eventType === 'DISCONNECT' ? late : echo)(event));
    t.after(() => fn.on('app', echo));
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 4 }, { apis: [appApi({ settings: { closeTimeoutSeconds: 60 } })] }));
    const start = Date.now();
    const silent = await many(20, () => openRaw(t, gw));
    const ends = Promise.all(silent.map((peer) => peer.frame()));
    await gw.stop();
    for (const frame of await ends) assert.equal(frame.code, 1012);
    assert.ok(Date.now() - start < 12000);
    assert.equal(answered.length, 20);
    assert.equal(new Set(answered).size, 20);
    assert.ok(!gw.log().includes('request failed'));
  });

  test('drain: a management call whose body does not come is answered at the deadline', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 0.5 }, { management: { auth: 'none' } }));
    const { id } = await join(t, gw, fn);
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(`POST /prod/@connections/${encodeURIComponent(id)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    await peer.until(() => (peer.buffer.toString() === 'HTTP/1.1 100 Continue\r\n\r\n' ? true : undefined), '100 Continue');
    peer.buffer = Buffer.alloc(0);
    peer.write('abc');
    gw.signal('SIGTERM');
    assert.equal((await peer.response()).status, 503);
    await within(gw.exited, 'the exit', 8000);
    assert.equal(gw.exit.code, 0);
  });

  test('drain: scrapes of /metrics go on until the end', async (t) => {
    for (let i = 0; i < 4; i++) {
      const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 1 }));
      const peers = await Promise.all(Array.from({ length: 30 }, () => connectRaw(t, { port: gw.adminPort })));
      const scrape = () => peers.filter((peer) => !peer.finished).forEach((peer) => peer.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5)));
      const timer = setInterval(scrape, 1);
      await gw.stop().finally(() => clearInterval(timer));
    }
  });

  test('drain: SIGTERM with nothing connected ends at once', async (t) => {
    const gw = await startGateway(t, config({ deadlineSeconds: 60 }));
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(upgradeRequest({ path: '/nowhere' }));
    assert.equal((await peer.response()).status, 403);
    peer.destroy();
    const start = Date.now();
    await gw.stop();
    assert.ok(Date.now() - start < 5000, `${Date.now() - start} ms`);
    assert.equal(await listens(gw.port), false);
  });
});

describe('drain: signals', () => {
  test('drain: a second SIGTERM ends the grace and the pace', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 100, closesPerSecond: 1, deadlineSeconds: 200 }));
    const clients = await many(30, () => join(t, gw, fn));
    gw.signal('SIGTERM');
    await inState(gw, 'grace');
    gw.signal('SIGTERM');
    for (const client of clients) assert.deepEqual(await client.ended(), RESTART);
    await within(gw.exited, 'the exit', 10000);
    assertOneEach(clients);
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: a second SIGTERM while clients are being closed', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0.5, deadlineSeconds: 200 }));
    const clients = await many(20, () => join(t, gw, fn));
    gw.signal('SIGTERM');
    await inState(gw, 'closing');
    gw.signal('SIGTERM');
    for (const client of clients) assert.equal((await client.ended()).code, 1012);
    await within(gw.exited, 'the exit', 10000);
    assertOneEach(clients);
  });

  test('drain: SIGINT skips grace and pace; a second one cuts', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 100, closesPerSecond: 1, deadlineSeconds: 200 }));
    const clients = await many(10, () => join(t, gw, fn));
    gw.signal('SIGINT');
    for (const client of clients) assert.equal((await client.ended()).code, 1012);
    await within(gw.exited, 'the exit');
    assertOneEach(clients);
    assert.equal(gw.exit.code, 0);
    const stuck = await startGateway(t, config({ deadlineSeconds: 200 }, { apis: [appApi({ settings: { closeTimeoutSeconds: 100 } })] }));
    const silent = await openRaw(t, stuck); // does not answer the close
    stuck.signal('SIGINT');
    assert.equal((await silent.frame()).code, 1012);
    const start = Date.now();
    stuck.signal('SIGINT');
    await within(stuck.exited, 'the exit', 3500); // one SIGINT alone would take 3.75 s
    assert.ok(Date.now() - start < 3500);
    assert.equal(stuck.exit.code, 0);
  });

  test('drain: SIGTERM again and again', async (t) => {
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 5 }));
    await many(20, () => join(t, gw, fn));
    await waitFor(() => gw.exit ?? (gw.child.kill('SIGTERM'), false), { what: 'the exit', interval: 0 });
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: signals that come before the start is over wait for it', async (t) => {
    for (let i = 0; i < 5; i++) {
      const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 1 }), { ready: false });
      await waitFor(() => gw.output.includes('listening'), { what: 'the first line', interval: 0 });
      gw.signal('SIGHUP');
      await waitFor(() => gw.output.includes('configuration reloaded'), { what: 'the reload' });
      await gw.stop();
    }
  });

  test('drain: SIGHUP is ignored meanwhile', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 1, deadlineSeconds: 10 }));
    gw.signal('SIGTERM');
    await inState(gw, 'grace');
    gw.signal('SIGHUP');
    await waitFor(() => gw.log().includes('reload ignored while draining'), { what: 'the log line' });
    await within(gw.exited, 'the exit');
    assert.equal(gw.exit.code, 0);
  });
});

describe('drain: admin API', () => {
  test('drain: POST /drain is idempotent, tells how far it is, and ends the process', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 0.8, closesPerSecond: 10, jitter: 0, deadlineSeconds: 30 }));
    const clients = await many(10, () => join(t, gw, fn));
    const before = await control(gw, 'GET');
    assert.equal(before.status, 200);
    assert.deepEqual(JSON.parse(before.text), { state: 'serving', connections: 10, graceSeconds: 0.8, closesPerSecond: 10, deadlineSeconds: 30 });
    const first = await control(gw, 'POST');
    assert.equal(first.status, 202);
    assert.equal(first.headers['content-type'], 'application/json');
    assert.equal(JSON.parse(first.text).state, 'grace');
    await setTimeout(200);
    const second = JSON.parse((await control(gw, 'POST', { 'content-type': 'application/json' })).text);
    assert.ok(second.deadlineSecondsLeft <= 29.85, `the deadline stays: ${second.deadlineSecondsLeft}`);
    assert.ok(second.graceSecondsLeft <= 0.65);
    assert.equal((await gw.admin('/readyz')).status, 503);
    await inState(gw, 'closing');
    const seen = new Set();
    await Promise.all([
      Promise.all(clients.map((client) => client.ended(20000))),
      waitFor(async () => seen.add(JSON.parse((await control(gw, 'GET')).text).connections).size > 3, { what: 'the count to fall', interval: 50 }),
    ]);
    await within(gw.exited, 'the exit');
    assert.deepEqual(gw.exit, { code: 0, signal: null });
    assertOneEach(clients);
  });

  test('drain: DELETE /drain calls it off within the grace, not later', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 60, deadlineSeconds: 90 }));
    assert.equal((await control(gw, 'DELETE')).status, 200);
    assert.equal((await control(gw, 'POST')).status, 202);
    assert.equal((await gw.admin('/readyz')).status, 503);
    const off = await control(gw, 'DELETE');
    assert.equal(off.status, 200);
    assert.equal(JSON.parse(off.text).state, 'serving');
    assert.equal((await gw.admin('/readyz')).status, 200);
    await waitFor(async () => (await gw.get('/ping')).status === 200, { what: '/ping' });
    const client = await join(t, gw, fn);
    gw.signal('SIGTERM');
    await inState(gw, 'grace');
    assert.equal((await control(gw, 'DELETE')).status, 409, 'somebody waits for the process to end');
    gw.signal('SIGTERM');
    assert.equal((await client.ended()).code, 1012);
    await within(gw.exited, 'the exit');
  });

  test('drain: a first SIGTERM after POST /drain does not hurry it', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 1, deadlineSeconds: 20 }));
    const client = await join(t, gw, fn);
    const start = performance.now();
    await control(gw, 'POST');
    gw.signal('SIGTERM');
    const [at] = await closeTimes([client], start);
    assert.ok(at >= 950, `closed after ${at} ms`);
    await within(gw.exited, 'the exit');
  });

  test('drain: tidegate health says the same as /readyz', async (t) => {
    const gw = await startGateway(t, config({ graceSeconds: 60, deadlineSeconds: 90 }));
    const health = (...args) => run(['health', '--config', gw.file, ...args]);
    const ready = await health();
    assert.equal(ready.code, 0);
    assert.match(ready.stdout, /200 OK .*ready/);
    await control(gw, 'POST');
    const draining = await health();
    assert.equal(draining.code, 1);
    assert.match(draining.stdout, /503 .*draining/);
    await control(gw, 'DELETE');
    const nobody = await health('--set', 'admin.address=127.0.0.1:1');
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /127\.0\.0\.1:1: Connection refused/);
    const socket = net.createServer().listen(0, '127.0.0.1'); // accepts, and says nothing
    t.after(() => socket.close());
    await new Promise((resolve) => socket.once('listening', resolve));
    const silent = await health('--set', `admin.address=127.0.0.1:${socket.address().port}`);
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /no answer/);
    gw.signal('SIGINT');
    await within(gw.exited, 'the exit');
  });

  test('drain: nothing that a browser sends begins one', async (t) => {
    const gw = await startGateway(t, config({ deadlineSeconds: 5 }));
    const tries = [
      [403, { origin: 'http://evil.example' }],
      [403, { origin: 'null', 'content-type': 'application/json' }],
      [403, { 'sec-fetch-site': 'cross-site' }],
      [415, { 'content-type': 'text/plain' }],
      [415, { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }],
      [415, { 'content-type': 'Multipart/Form-Data; boundary=x' }],
    ];
    for (const [status, headers] of tries) assert.equal((await control(gw, 'POST', headers)).status, status, JSON.stringify(headers));
    assert.equal((await control(gw, 'PUT')).status, 405);
    assert.equal((await control(gw, 'OPTIONS', { origin: 'http://evil.example' })).status, 405);
    assert.equal(await state(gw), 'serving');
    assert.equal((await gw.get('/drain')).status, 403, 'not on the public listener');
  });

  const address = Object.values(os.networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal)?.address;
  test('drain: only from this machine, unless allowed', { skip: address ? false : 'there is no other address' }, async (t) => {
    for (const allowRemoteControl of [false, true]) {
      const gw = await startGateway(t, (g) => config({ deadlineSeconds: 5 }, { admin: { address: `0.0.0.0:${g.adminPort}`, allowRemoteControl } }));
      const answer = await request({ method: 'POST', host: address, port: gw.adminPort, path: '/drain' });
      assert.equal(answer.status, allowRemoteControl ? 202 : 403);
      if (allowRemoteControl) await within(gw.exited, 'the exit');
      else assert.equal((await request({ host: address, port: gw.adminPort, path: '/drain' })).status, 200);
    }
  });
});

describe('drain: in a cluster', { skip: REDIS ? false : 'redis-server is not installed' }, () => {
  test('drain: pushes through another node get 200 until the close and 410 after, also when the node is gone', async (t) => {
    const redis = await startRedis(t);
    const registry = { type: 'redis', url: redis.url, cluster: 'drain', leaseSeconds: 30, probeIntervalSeconds: 0.2 };
    const more = { registry, management: { auth: 'none', pushTimeoutMillis: 2000 } };
    const [gw, other] = await many(2, () => startGateway(t, config({ graceSeconds: 0.5, closesPerSecond: 10, deadlineSeconds: 20 }, more)));
    const clients = await many(20, () => join(t, gw, fn));
    const push = (client) => other.manage('POST', client.id, { body: 'x', credentials: null });
    await waitFor(async () => (await push(clients[0])).status === 200, { what: 'the nodes to know each other' });
    gw.signal('SIGTERM');
    const wrong = [];
    const counts = {};
    const watch = async (client) => {
      for (let gone = 0; gone < 3; ) {
        const wasClosed = client.over !== undefined;
        const { status } = await push(client);
        counts[status] = (counts[status] ?? 0) + 1;
        // 410 while the client has not been told is an answer that overtook the close frame on its way to this process.
        if (status === 200 ? wasClosed : status !== 410) wrong.push({ status, wasClosed });
        if (status === 410) await client.ended();
        gone += status === 410 && gw.exit ? 1 : 0;
        await setTimeout(20);
      }
    };
    await Promise.all(clients.map(watch));
    t.diagnostic(`pushes: ${JSON.stringify(counts)}`);
    assert.deepEqual(wrong, []);
    assert.ok(counts[200] > 20);
    assertOneEach(clients);
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: the port closes first, then what is under way is answered, then the lease goes back', async (t) => {
    const redis = await startRedis(t);
    const registry = { type: 'redis', url: redis.url, cluster: 'drain', leaseSeconds: 30, probeIntervalSeconds: 0.2 };
    const gate = deferred();
    fn.on('held', () => gate.promise);
    const web = { apiId: 'web', name: 'web', protocolType: 'HTTP', hosts: ['web.example'], integrations: [lambda('held', { payloadFormatVersion: '2.0' })], routes: [{ routeKey: 'GET /held', target: 'integrations/held' }], stages: [{ stageName: '$default' }] };
    const gw = await startGateway(t, config({ closesPerSecond: 0, deadlineSeconds: 30 }, { functions: fn.table('app', 'held'), apis: [appApi(), web], registry, management: { auth: 'none' } }));
    const client = await join(t, gw, fn);
    const leases = async () => (await redis.command('KEYS', 'tidegate:*:lease')).split('\n').filter((line) => line.startsWith('tidegate:')).length;
    const answer = gw.get('/held', { headers: { host: 'web.example' } });
    await fn.call({ name: 'held' });
    gw.signal('SIGTERM');
    assert.equal((await client.ended()).code, 1012);
    await inState(gw, 'ending');
    await waitFor(async () => !(await listens(gw.port)), { what: 'the port to be closed' });
    assert.equal(await leases(), 1, 'whoever is being served may still ask other nodes');
    gate.resolve({ statusCode: 200, body: 'done' });
    assert.equal((await answer).text, 'done');
    await within(gw.exited, 'the exit');
    assert.equal(await leases(), 0);
    assert.deepEqual(gw.exit, { code: 0, signal: null });
    assertOneEach([client]);
  });
});
