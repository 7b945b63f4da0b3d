// SIGTERM: stop accepting, close with 1001, issue every $disconnect, end with status 0. Section 6.2, issue item 11.
import assert from 'node:assert/strict';
import net from 'node:net';
import { before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { dial, join } from './lib/client.mjs';
import { appApi, lambda, twoWay } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw, openRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

const config = (shutdown, more = {}) => ({ functions: fn.table('app'), apis: [appApi()], shutdown, ...more });

const connects = (port) =>
  new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });

describe('drain', () => {
  test('drain: 1001 to every client, one $disconnect each, status 0', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 0.3, deadlineSeconds: 10 }));
    const clients = await Promise.all(Array.from({ length: 50 }, () => join(t, gw, fn)));
    const ends = Promise.all(clients.map((client) => client.ended()));
    await gw.stop();
    for (const end of await ends) assert.deepEqual(end, { code: 1001, reason: 'Going away' });
    for (const client of clients) {
      const calls = fn.filter({ eventType: 'DISCONNECT', connectionId: client.id });
      assert.equal(calls.length, 1);
      assert.equal(calls[0].event.requestContext.disconnectStatusCode, 1001);
      assert.equal(calls[0].event.requestContext.disconnectReason, 'Going away');
    }
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: new connections are refused meanwhile, /readyz says so, old ones still work', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 3, deadlineSeconds: 10 }));
    const clients = await Promise.all(Array.from({ length: 40 }, () => join(t, gw, fn)));
    gw.signal('SIGTERM');
    await waitFor(async () => !(await connects(gw.port)), { what: 'the listener to refuse' });
    const ready = await gw.admin('/readyz').catch(() => ({ status: 0 }));
    assert.notEqual(ready.status, 200);
    assert.ok(!gw.exit, 'still draining');
    const open = clients.filter((client) => client.ws.readyState === 1);
    assert.ok(open.length > 0, 'the closes are spread over the drain time');
    const reply = await open.at(-1).ask({ action: 'echo' }).catch(() => 'closed');
    assert.ok(['{"action":"echo"}', 'closed'].includes(reply));
    await Promise.all(clients.map((client) => client.ended()));
    await within(gw.exited, 'the exit');
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: the closes are spread over drainSeconds', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 1, deadlineSeconds: 10 }));
    const clients = await Promise.all(Array.from({ length: 60 }, () => join(t, gw, fn)));
    const at = [];
    const ends = clients.map(async (client) => {
      await client.ended();
      at.push(Date.now());
    });
    const start = Date.now();
    await gw.stop();
    await Promise.all(ends);
    const spread = Math.max(...at) - Math.min(...at);
    assert.ok(spread >= 400, `all closed within ${spread} ms`);
    assert.ok(Math.max(...at) - start < 8000);
  });

  test('drain: a message in flight gets its reply, a handshake in flight its answer', async (t) => {
    const gate = deferred();
    fn.on('held', () => gate.promise);
    const gw = await startGateway(t, config({ drainSeconds: 0.5, deadlineSeconds: 10 }, { functions: fn.table('app', 'held'), apis: [appApi({ integrations: [lambda('held')], routes: [twoWay('held', 'held')] })] }));
    const client = await join(t, gw, fn);
    client.send({ action: 'held' });
    await fn.call({ name: 'held', connectionId: client.id });
    gw.signal('SIGTERM');
    await waitFor(async () => !(await connects(gw.port)), { what: 'the listener to refuse' });
    gate.resolve({ statusCode: 200, body: 'in time' });
    const reply = await client.next().catch((error) => error.message);
    assert.ok(reply === 'in time' || /connection closed: 1001/.test(reply), reply);
    assert.equal((await client.ended()).code, 1001);
    await gw.exited;
    assert.equal(gw.exit.code, 0);
  });

  test('drain: $disconnects that hang do not outlast the deadline', async (t) => {
    fn.on('stuck', (event) => (event.requestContext.eventType === 'DISCONNECT' ? new Promise(() => {}) : { statusCode: 200 }));
    const api = appApi();
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 1 }, { functions: fn.table('app', 'stuck'), apis: [{ ...api, integrations: [lambda('app'), lambda('stuck')], routes: api.routes.map((r) => (r.routeKey === '$disconnect' ? { ...r, target: 'integrations/stuck' } : r)) }] }));
    const client = await join(t, gw, fn);
    const start = Date.now();
    gw.signal('SIGTERM');
    assert.equal((await client.ended()).code, 1001);
    await within(gw.exited, 'the exit', 8000);
    assert.ok(Date.now() - start >= 900, 'the deadline was waited for');
    assert.equal(gw.exit.code, 0);
  });

  test('drain: clients that do not answer, half requests and idle sockets do not hold it up', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 1.5 }));
    const silent = await openRaw(t, gw);
    const half = await connectRaw(t, { port: gw.port });
    half.write('GET /prod HTTP/1.1\r\nHost:');
    const idle = await connectRaw(t, { port: gw.port });
    idle.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n');
    await idle.response();
    gw.signal('SIGTERM');
    assert.equal((await silent.frame()).code, 1001);
    await within(gw.exited, 'the exit', 8000);
    assert.equal(gw.exit.code, 0);
    await Promise.all([half.ended(), idle.ended(), silent.ended()]);
  });

  test('drain: what is cut at the deadline has its $disconnect', async (t) => {
    const answered = [];
    const late = (event) => setTimeout(100).then(() => answered.push(event.requestContext.connectionId)).then(() => ({ statusCode: 200 }));
    fn.on('app', (event) => (event.requestContext.eventType === 'DISCONNECT' ? late : echo)(event));
    t.after(() => fn.on('app', echo));
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 0.3 }));
    await Promise.all(Array.from({ length: 20 }, () => openRaw(t, gw))); // which do not answer a close
    await gw.stop();
    assert.equal(answered.length, 20);
    assert.ok(!gw.log().includes('request failed'));
  });

  test('drain: SIGINT does the same; a second signal ends at once', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 5 }));
    const client = await dial(t, gw.url());
    gw.signal('SIGINT');
    assert.equal((await client.ended()).code, 1001);
    await gw.exited;
    assert.equal(gw.exit.code, 0);
    const slow = await startGateway(t, config({ drainSeconds: 60, deadlineSeconds: 60 }));
    await Promise.all(Array.from({ length: 20 }, () => dial(t, slow.url())));
    slow.signal('SIGTERM');
    await waitFor(async () => !(await connects(slow.port)), { what: 'the listener to refuse' });
    slow.signal('SIGTERM');
    await within(slow.exited, 'the exit', 8000);
    slow.stopped = true;
  });

  test('drain: a management call whose body does not come is answered at the deadline', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 0.3 }, { management: { auth: 'none' } }));
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
      const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 1 }));
      const peers = await Promise.all(Array.from({ length: 30 }, () => connectRaw(t, { port: gw.adminPort })));
      const scrape = () => peers.filter((peer) => !peer.finished).forEach((peer) => peer.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5)));
      const timer = setInterval(scrape, 1);
      await gw.stop().finally(() => clearInterval(timer));
    }
  });

  test('drain: SIGTERM again and again', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 5 }));
    await Promise.all(Array.from({ length: 20 }, () => join(t, gw, fn)));
    await waitFor(() => gw.exit ?? (gw.child.kill('SIGTERM'), false), { what: 'the exit', interval: 0 });
    assert.deepEqual(gw.exit, { code: 0, signal: null });
  });

  test('drain: signals that come before the start is over wait for it', async (t) => {
    for (let i = 0; i < 5; i++) {
      const gw = await startGateway(t, config({ drainSeconds: 0, deadlineSeconds: 1 }), { ready: false });
      await waitFor(() => gw.output.includes('listening'), { what: 'the first line', interval: 0 });
      gw.signal('SIGHUP');
      await waitFor(() => gw.output.includes('configuration reloaded'), { what: 'the reload' });
      await gw.stop();
    }
  });

  test('drain: SIGTERM with nothing connected ends at once', async (t) => {
    const gw = await startGateway(t, config({ drainSeconds: 30, deadlineSeconds: 60 }));
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(upgradeRequest({ path: '/nowhere' }));
    assert.equal((await peer.response()).status, 403);
    peer.destroy();
    const start = Date.now();
    await gw.stop();
    assert.ok(Date.now() - start < 5000, `${Date.now() - start} ms`);
  });
});
