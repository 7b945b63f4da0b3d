// What the admin listener tells of connections and of the targets of private integrations. docs/operations.md, "Admin endpoints".
import assert from 'node:assert/strict';
import http from 'node:http';
import os from 'node:os';
import { before, describe, test } from 'node:test';
import { dial, join } from './lib/client.mjs';
import { appApi, lambda, twoWay, UNTHROTTLED } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { linkConfig } from './lib/links.mjs';
import { openRaw } from './lib/raw.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { deferred, waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

const many = (count, make) => Promise.all(Array.from({ length: count }, make));
const ask = (gw, where, { method = 'GET', headers = {} } = {}) => request({ method, port: gw.adminPort, path: where, headers });
const json = async (gw, where) => {
  const answer = await ask(gw, where);
  assert.equal(answer.status, 200, `${where}: ${answer.status} ${answer.text}`);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(answer.headers['cache-control'], 'no-store');
  return JSON.parse(answer.text);
};
const one = (gw, id) => json(gw, `/connections/${encodeURIComponent(id)}`);

// Every row, page by page.
async function pages(gw, query) {
  const rows = [];
  let count = 0;
  for (let cursor = ''; cursor !== null; count++) {
    const page = await json(gw, `/connections/list?${query}${cursor && `&cursor=${cursor}`}`);
    rows.push(...page.connections);
    cursor = page.nextCursor;
  }
  return { rows, count };
}

describe('/connections', () => {
  const scope = fileScope();
  const gate = deferred();
  let gw;
  let clients;

  before(async () => {
    fn.on('held', () => gate.promise);
    const other = { ...appApi(), apiId: 'other', name: 'other', hosts: ['other.example'], stages: [{ stageName: 'dev' }] };
    gw = await startGateway(scope, { functions: fn.table('app', 'held'), apis: [appApi({ integrations: [lambda('held')], routes: [twoWay('held', 'held')] }), other], throttling: UNTHROTTLED });
    clients = await many(25, () => join(scope, gw, fn));
    await many(5, () => dial(scope, gw.url('/dev'), { headers: { Host: 'other.example' } }));
  });

  test('admin: counts by worker, API and stage', async () => {
    const counts = await json(gw, '/connections');
    assert.equal(counts.connections, 30);
    assert.equal(counts.closing, 0);
    assert.equal(counts.handshakes, 0);
    assert.equal(counts.queuedBytes, 0);
    assert.deepEqual(counts.workers.map(({ worker }) => worker), [0, 1]);
    assert.equal(counts.workers.reduce((sum, { connections }) => sum + connections, 0), 30);
    for (const { worker, connections } of counts.workers) assert.equal((await gw.metrics()).find(({ name, labels }) => name === 'tidegate_worker_connections' && labels.worker === String(worker)).value, connections);
    assert.deepEqual(counts.stages.map(({ apiId, stage, connections }) => [apiId, stage, connections]), [['chat', 'prod', 25], ['other', 'dev', 5]]);
  });

  test('admin: pages that hold each connection once, and filters', async () => {
    const { rows, count } = await pages(gw, 'limit=4');
    assert.equal(count, 8);
    assert.equal(new Set(rows.map(({ connectionId }) => connectionId)).size, 30);
    for (const { id } of clients) assert.ok(rows.some(({ connectionId }) => connectionId === id), id);
    assert.equal((await pages(gw, 'limit=3&apiId=other')).rows.length, 5);
    assert.equal((await pages(gw, 'stage=prod&apiId=chat')).rows.length, 25);
    assert.equal((await pages(gw, 'stage=prod&apiId=other')).rows.length, 0);
    assert.equal((await pages(gw, 'sourceIp=127.0.0.1')).rows.length, 30);
    assert.equal((await pages(gw, 'sourceIp=127.0.0.2')).rows.length, 0);
    assert.equal((await pages(gw, 'minQueuedBytes=1')).rows.length, 0);
    assert.equal((await json(gw, '/connections/list')).nextCursor, null);
  });

  test('admin: one, by its id, as it is now', async () => {
    const [client] = clients;
    const row = await one(gw, client.id);
    const { workers } = await json(gw, '/connections');
    assert.ok(workers.some(({ worker }) => worker === row.worker));
    assert.deepEqual({ ...row, worker: 0, connectedAt: '', lastActiveAt: '' }, { connectionId: client.id, apiId: 'chat', stage: 'prod', state: 'open', worker: 0, sourceIp: '127.0.0.1', connectedAt: '', lastActiveAt: '', messages: 0, queuedFrames: 0, queuedBytes: 0, domainName: gw.host, userAgent: row.userAgent });
    const managed = JSON.parse((await gw.info(client.id)).text);
    assert.equal(Date.parse(row.connectedAt), Date.parse(managed.connectedAt));
    client.send({ action: 'held' });
    client.send({ action: 'held' });
    await waitFor(async () => (await one(gw, client.id)).messages === 2, { what: 'the messages in work' });
    assert.ok(Date.parse((await one(gw, client.id)).lastActiveAt) > Date.parse(row.connectedAt));
    assert.equal((await json(gw, '/connections')).messages, 2);
    gate.resolve({ statusCode: 200 });
    await waitFor(async () => (await one(gw, client.id)).messages === 0, { what: 'no message in work' });
  });

  test('admin: a client that does not read, and what waits for it', async (t) => {
    const slow = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], management: { auth: 'none', pushTimeoutMillis: 20000 } });
    const client = await openRaw(t, { port: slow.port, path: '/prod' });
    const [{ connectionId: id }] = (await json(slow, '/connections/list')).connections;
    client.socket.pause();
    const pushes = [];
    const full = () => json(slow, '/connections/list?minQueuedBytes=100000');
    await waitFor(async () => {
      pushes.push(slow.manage('POST', id, { body: 'x'.repeat(100000), credentials: null }).catch(() => {}));
      const [row] = (await full()).connections;
      return row?.queuedFrames > 0; // one is with the socket, the next waits for it
    }, { what: 'a queue' });
    const row = await one(slow, id);
    assert.equal(row.queuedBytes, (await full()).connections[0].queuedBytes);
    assert.ok(row.queuedFrames > 0);
    assert.ok((await json(slow, '/connections')).queuedBytes >= 100000);
    client.socket.destroy();
    await Promise.all(pushes);
    await waitFor(async () => (await ask(slow, `/connections/${encodeURIComponent(id)}`)).status === 404, { what: 'the end' });
  });

  test('admin: what is not there, or asked wrongly', async () => {
    const { id } = clients[1];
    const tries = [
      [400, '/connections/x'],
      [400, `/connections/${encodeURIComponent(id.replace(/^./, (c) => (c === 'A' ? 'B' : 'A')))}`],
      [400, `/connections/${encodeURIComponent(id)}/x`],
      [400, '/connections/'],
      [400, '/connections/list?limit=0'],
      [400, '/connections/list?limit=1001'],
      [400, '/connections/list?cursor=x'],
      [400, '/connections/list?minQueuedBytes=-1'],
      [400, '/connections/list?page=2'],
      [404, '/connection'],
      [404, '/targets/x'],
      [404, '/'],
    ];
    for (const [status, where] of tries) {
      const answer = await ask(gw, where);
      assert.equal(answer.status, status, `${where}: ${answer.text}`);
      assert.equal(typeof JSON.parse(answer.text).message, 'string');
    }
    for (const where of ['/connections', '/connections/list', `/connections/${encodeURIComponent(id)}`, '/targets', '/metrics', '/readyz', '/healthz', '/drain']) {
      const head = await ask(gw, where, { method: 'HEAD' });
      assert.equal(head.status, 200, where);
      assert.equal(head.text, '');
      const put = await ask(gw, where, { method: 'PUT' });
      assert.equal(put.status, 405);
      assert.equal(put.headers.allow, where === '/drain' ? 'GET, HEAD, POST, DELETE' : 'GET, HEAD');
    }
    for (const where of ['/connections', '/connections/list', '/targets']) assert.equal((await gw.get(where)).status, 403, 'not on the public listener');
  });

  test('admin: a connection that has closed is not there any more', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await one(gw, client.id)).state, 'open');
    await client.close(1000, '');
    await waitFor(async () => (await ask(gw, `/connections/${encodeURIComponent(client.id)}`)).status === 404, { what: 'its end' });
  });

  const address = Object.values(os.networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal)?.address;
  test('admin: clients are told of to this machine alone, unless allowed, and to no browser', { skip: address ? false : 'there is no other address' }, async (t) => {
    for (const allowRemoteControl of [false, true]) {
      const own = await startGateway(t, (g) => ({ functions: fn.table('app'), apis: [appApi()], admin: { address: `0.0.0.0:${g.adminPort}`, allowRemoteControl } }));
      const client = await join(t, own, fn);
      const status = async (where) => (await request({ host: address, port: own.adminPort, path: where })).status;
      assert.equal(await status('/connections'), 200);
      assert.equal(await status('/targets'), 200);
      assert.equal(await status('/connections/list'), allowRemoteControl ? 200 : 403);
      assert.equal(await status(`/connections/${encodeURIComponent(client.id)}`), allowRemoteControl ? 200 : 403);
      assert.equal((await ask(own, '/connections/list', { headers: { origin: 'http://evil.example' } })).status, 403);
    }
  });
});

describe('/targets', () => {
  test('admin: what each worker takes each target for, since when and why', async (t) => {
    const held = deferred();
    const state = { health: 200 };
    const start = async (serve) => {
      const server = http.createServer(serve);
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      onEnd(t, () => new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }));
      return `http://127.0.0.1:${server.address().port}`;
    };
    const serve = (req, res) => {
      if (req.url === '/health') res.writeHead(state.health).end();
      else held.promise.then(() => res.end());
    };
    const url = await start(serve);
    const gw = await startGateway(t, linkConfig({ targets: [{ url }], healthCheck: { path: '/health', intervalSeconds: 0.05, timeoutMillis: 5000, unhealthyThreshold: 2, healthyThreshold: 1 } }, { workers: 2 }));
    const target = async () => {
      const { workers, workersAnswering, vpcLinks } = await json(gw, '/targets');
      assert.deepEqual([workers, workersAnswering], [2, 2]);
      assert.deepEqual(vpcLinks.map(({ vpcLinkId, targets }) => [vpcLinkId, targets.map((one) => one.url)]), [['app', [url]]]);
      assert.deepEqual(vpcLinks[0].targets[0].workers.map(({ worker }) => worker), [0, 1]);
      return vpcLinks[0].targets[0];
    };
    await waitFor(async () => (await target()).workers.every(({ checkStatus }) => checkStatus === 200), { what: 'the first checks' });
    const before = await target();
    assert.equal(before.healthyWorkers, 2);
    for (const { state: is, reason } of before.workers) assert.deepEqual([is, reason], ['healthy', null]);
    const calls = [gw.get('/a'), gw.get('/b')];
    await waitFor(async () => (await target()).inFlight === 2, { what: 'the calls in flight' });
    assert.equal((await target()).workers.reduce((sum, { inFlight }) => sum + inFlight, 0), 2);
    held.resolve();
    await Promise.all(calls);
    const from = Date.now();
    state.health = 503;
    await waitFor(async () => (await target()).healthyWorkers === 0, { what: 'the target to fail' });
    const failing = await target();
    for (const { state: is, reason, checkStatus, since } of failing.workers) {
      assert.deepEqual([is, reason, checkStatus], ['failing', 'status of the check', 503]);
      assert.ok(Date.parse(since) >= from - 10 && Date.parse(since) <= Date.now() + 10, since);
    }
    assert.equal(failing.inFlight, 0);
    assert.equal(failing.calls, 2);
    assert.ok(failing.checksFailed >= 4 && failing.checksOk >= 2);
    state.health = 200;
    await waitFor(async () => (await target()).healthyWorkers === 2, { what: 'the target to be well' });
  });

  test('admin: none where there are no links', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()] });
    assert.deepEqual((await json(gw, '/targets')).vpcLinks, []);
  });
});
