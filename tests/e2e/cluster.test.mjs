// Many gateways, one service: pushes through any node, the death of nodes, trouble with Redis, partitions
// (docs/cluster.md). Three gateway processes and a real redis-server in each.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { join, refused } from './lib/client.mjs';
import { appApi, UNTHROTTLED } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { REDIS, startProxy, startRedis } from './lib/redis.mjs';
import { seeded } from './lib/seeded.mjs';
import { pool, waitFor } from './lib/wait.mjs';

const LEASE = 3000; // ms: short, and yet longer than a loaded machine stops a process
const FAST = {
  type: 'redis',
  cluster: 'test',
  leaseSeconds: LEASE / 1000,
  probeIntervalSeconds: 0.2,
  commandTimeoutMillis: 600,
  reconnectMinMillis: 10,
  reconnectMaxMillis: 50,
};
const options = { skip: REDIS ? false : 'redis-server is not installed' };
// The time that a takeover may take: two leases, and something for a loaded machine.
const TAKEOVER = { timeout: 2 * LEASE + 4000, what: 'the takeover' };

async function startNode(t, fn, redis, { registry = {}, ...rest } = {}, more = {}) {
  const config = {
    functions: fn.table('app'),
    apis: [appApi({ settings: { disconnectRetryMillis: 50, closeTimeoutSeconds: 1 } })],
    registry: { ...FAST, url: redis.url, ...registry },
    management: { auth: 'none', pushTimeoutMillis: 1000 },
    throttling: UNTHROTTLED,
    ...rest,
  };
  return startGateway(t, config, more);
}

async function cluster(t, { nodes = 3, onEvent = echo, redis, ...config } = {}) {
  const server = redis ?? (await startRedis(t));
  const fn = await startLambda(t, { app: (event, call) => onEvent(event, call) });
  const gateways = await Promise.all(Array.from({ length: nodes }, () => startNode(t, fn, server, config)));
  return { redis: server, fn, gateways };
}

const post = (gateway, id, body = 'hello') => gateway.post(id, body, { credentials: null });
const status = async (gateway, id) => (await post(gateway, id)).status;
const info = (gateway, id) => gateway.info(id, { credentials: null });
const remove = (gateway, id) => gateway.remove(id, { credentials: null });
const disconnects = (fn, id) => fn.filter({ eventType: 'DISCONNECT', connectionId: id });
const ready = async (gateway) => (await gateway.admin('/readyz')).status === 200;
const sample = async (gateway, name, labels = {}) =>
  (await gateway.metrics()).find((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value;

// Each has had exactly one $disconnect, with this code; a second one would be there after a further lease.
async function assertOneEach(fn, ids, { timeout = TAKEOVER.timeout } = {}) {
  const told = () => {
    const seen = new Set(fn.filter('DISCONNECT').map((call) => call.event.requestContext.connectionId));
    return ids.every((id) => seen.has(id));
  };
  // Not more often: this process is the back end as well, and takes one connection a turn of its loop.
  await waitFor(told, { ...TAKEOVER, timeout, interval: 100 });
  for (const id of ids) {
    const events = disconnects(fn, id);
    assert.equal(events.length, 1, `${id} has ${events.length} $disconnects`);
    assert.equal(events[0].event.requestContext.disconnectStatusCode, 1006);
  }
}

describe('any node', options, () => {
  test('POST, GET and DELETE through any node', async (t) => {
    const { fn, gateways } = await cluster(t);
    for (const owner of gateways) {
      const client = await join(t, owner, fn, { headers: { 'user-agent': 'cluster/1' } });
      for (const gateway of gateways) {
        const answer = await waitFor(async () => {
          const a = await post(gateway, client.id, `from ${gateway.port}`);
          return a.status === 503 ? undefined : a; // not yet joined
        });
        assert.equal(answer.status, 200);
        assert.equal(await client.next(), `from ${gateway.port}`);
        const known = await info(gateway, client.id);
        assert.equal(known.status, 200);
        assert.equal(JSON.parse(known.text).identity.userAgent, 'cluster/1');
      }
      const other = gateways.find((g) => g !== owner);
      assert.equal((await remove(other, client.id)).status, 204);
      assert.deepEqual(await client.ended(), { code: 1000, reason: 'Connection Closed Normally' });
      for (const gateway of gateways) assert.equal(await status(gateway, client.id), 410);
      assert.equal((await post(other, 'm2ezCV25Xd_VK9No_Q==')).status, 400);
    }
    const [a, b] = gateways;
    assert.ok((await sample(b, 'tidegate_cluster_questions_total', { outcome: 'answered' })) > 0);
    assert.ok((await sample(a, 'tidegate_redis_round_trips_total')) > 0);
    assert.equal(await sample(a, 'tidegate_registry_up'), 1);
  });

  test('what one caller sends arrives in order, whichever node it asks', async (t) => {
    const { fn, gateways } = await cluster(t);
    const client = await join(t, gateways[0], fn);
    for (let i = 0; i < 60; i++) assert.equal((await post(gateways[i % 3], client.id, `n${i}`)).status, 200);
    for (let i = 0; i < 60; i++) assert.equal(await client.next(), `n${i}`);
  });

  test('one round trip to Redis serves many pushes', async (t) => {
    const { fn, gateways } = await cluster(t, { nodes: 2, workers: 1 });
    const [a, b] = gateways;
    const clients = await Promise.all(Array.from({ length: 20 }, () => join(t, a, fn)));
    await pool(600, 100, async (i) => assert.equal(await status(b, clients[i % 20].id), 200));
    const commands = await sample(b, 'tidegate_redis_commands_total');
    const trips = await sample(b, 'tidegate_redis_round_trips_total');
    assert.ok(commands > 600 && trips < commands * 0.8, `${commands} commands in ${trips} writes`);
  });

  test('a full queue answers 429 through another node as well', async (t) => {
    const { fn, gateways } = await cluster(t, { nodes: 2, apis: [appApi({ settings: { maxQueuedBytes: 65536 } })] });
    const client = await join(t, gateways[0], fn);
    client.ws._socket.pause();
    const body = 'x'.repeat(100000);
    const seen = new Set();
    await waitFor(async () => {
      seen.add((await post(gateways[1], client.id, body)).status);
      return seen.has(429);
    }, { timeout: 60000, what: 'a 429' });
    assert.deepEqual([...seen].sort(), [200, 429]);
  });
});

describe('death of a node', options, () => {
  test('kill -9: one $disconnect each, from one survivor; then 410 everywhere', async (t) => {
    const { fn, gateways } = await cluster(t);
    const [victim, b, c] = gateways;
    const clients = await Promise.all(Array.from({ length: 40 }, () => join(t, victim, fn)));
    const others = await Promise.all([join(t, b, fn), join(t, c, fn)]);
    assert.equal(await status(b, clients[0].id), 200);
    await victim.kill();
    const early = await status(b, clients[0].id);
    assert.ok(early === 503 || early === 410, `${early} right after the death`);
    await assertOneEach(fn, clients.map((x) => x.id));
    for (const gateway of [b, c]) await waitFor(async () => (await status(gateway, clients[1].id)) === 410, TAKEOVER);
    const event = disconnects(fn, clients[0].id)[0].event;
    assert.equal(event.requestContext.disconnectReason, 'Connection closed abnormally');
    assert.equal(event.requestContext.connectedAt, clients[0].connectEvent.requestContext.connectedAt);
    assert.equal(event.requestContext.identity.sourceIp, '127.0.0.1');
    assert.equal(event.requestContext.domainName, clients[0].connectEvent.requestContext.domainName);
    for (const other of others) assert.equal(await status(b, other.id), 200);
    const takeovers = (await sample(b, 'tidegate_takeovers_total')) + (await sample(c, 'tidegate_takeovers_total'));
    assert.equal(takeovers, 1);
  });

  test('two nodes at once', async (t) => {
    const { fn, gateways } = await cluster(t);
    const clients = [];
    for (const gateway of gateways.slice(0, 2)) for (let i = 0; i < 15; i++) clients.push(await join(t, gateway, fn));
    await Promise.all([gateways[0].kill(), gateways[1].kill()]);
    await assertOneEach(fn, clients.map((x) => x.id));
  });

  test('a survivor that dies half-way is succeeded', async (t) => {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const hold = async (event) => {
      if (event.requestContext.eventType === 'DISCONNECT') await held;
      return { statusCode: 200 };
    };
    const { fn, gateways } = await cluster(t, { onEvent: hold, workers: 1 });
    t.after(() => release());
    const [victim, ...survivors] = gateways;
    const clients = [];
    await pool(300, 20, async () => {
      clients.push(await join(t, victim, fn));
    });
    await victim.kill();
    const claimer = await waitFor(() => survivors.find((g) => g.log().includes('a node is dead: taking over')), TAKEOVER);
    // As many as may be in work at a time have been told, the others have not.
    await waitFor(() => fn.count('DISCONNECT') >= 256, TAKEOVER);
    await claimer.kill();
    assert.equal(fn.count('DISCONNECT'), 256);
    release();
    await assertOneEach(fn, clients.map((x) => x.id));
  });

  // Each is killed while the back end holds as many calls as it gets at a time: whatever else was read has not been told.
  for (const seed of [1, 2]) {
    test(`survivors that die half-way one after another are succeeded, seed ${seed}`, async (t) => {
      const random = seeded(seed, 'survivors');
      const CALLS = 4;
      let free = 0; // events that are answered at once
      const held = [];
      const hold = async (event) => {
        if (event.requestContext.eventType === 'DISCONNECT' && --free < 0) await new Promise((resolve) => held.push(resolve));
        return { statusCode: 200 };
      };
      const { fn, gateways } = await cluster(t, { nodes: 4, onEvent: hold, workers: 1, backends: { maxConnectionsPerOrigin: CALLS } });
      t.after(() => held.forEach((resolve) => resolve()));
      const [victim, ...survivors] = gateways;
      const clients = [];
      await pool(150, 20, async () => {
        clients.push(await join(t, victim, fn));
      });
      free = random.below(40);
      await victim.kill();
      const told = new Map(survivors.map((g) => [g, 0]));
      while (survivors.length > 1) {
        await waitFor(() => held.length >= CALLS, { timeout: 3 * LEASE + 10000, what: 'the next survivor' });
        const counts = await Promise.all(survivors.map((g) => sample(g, 'tidegate_takeover_disconnects_total')));
        const at = survivors.findIndex((g, i) => counts[i] > told.get(g));
        assert.ok(at >= 0, 'nobody takes over');
        const [claimer] = survivors.splice(at, 1);
        await claimer.kill();
        free = survivors.length > 1 ? random.below(40) : Infinity;
        held.splice(0).forEach((resolve) => resolve());
      }
      await assertOneEach(fn, clients.map((x) => x.id), { timeout: 3 * LEASE + 10000 });
    });
  }

  test('an orderly end leaves nothing to take over, and 410 at once', async (t) => {
    const { fn, gateways } = await cluster(t, { nodes: 2 });
    const [a, b] = gateways;
    const client = await join(t, a, fn);
    assert.equal(await status(b, client.id), 200);
    await a.stop();
    assert.equal(disconnects(fn, client.id).length, 1);
    assert.equal(await status(b, client.id), 410);
    assert.equal(await sample(b, 'tidegate_takeovers_total'), 0);
  });

  test('a node that was stopped for longer than its lease gives itself up', async (t) => {
    const { fn, gateways } = await cluster(t, { nodes: 2 });
    const [a, b] = gateways;
    const client = await join(t, a, fn);
    const gone = await join(t, a, fn);
    await a.pause();
    gone.cut(); // seen by the node only after it has been given up
    await assertOneEach(fn, [client.id, gone.id]);
    assert.equal(await status(b, client.id), 410);
    process.kill(a.pid, 'SIGCONT');
    assert.equal((await client.ended()).code, 1012);
    await waitFor(() => ready(a), { what: 'the new incarnation' });
    const next = await join(t, a, fn);
    assert.equal(await status(b, next.id), 200);
    assert.equal(await status(a, client.id), 410);
    assert.equal(disconnects(fn, client.id).length, 1);
    assert.equal(disconnects(fn, gone.id).length, 1);
  });
});

describe('trouble with Redis', options, () => {
  test('down at the start: not ready, says why, refuses connections, joins when it is there', async (t) => {
    const redis = await startRedis(t, { start: false });
    const fn = await startLambda(t, { app: echo });
    const gateway = await startNode(t, fn, redis, {}, { ready: false });
    const why = await waitFor(async () => {
      const answer = await gateway.admin('/readyz').catch(() => undefined);
      return answer?.text.includes('refused') ? answer : undefined;
    }, { what: '/readyz to say why' });
    assert.equal(why.status, 503);
    assert.match(why.text, /registry: no number in the cluster: connection refused/);
    assert.equal((await refused(t, gateway.url())).status, 503);
    assert.equal(await sample(gateway, 'tidegate_registry_up'), 0);
    await redis.start();
    await waitFor(() => ready(gateway), { what: 'readiness' });
    const client = await join(t, gateway, fn);
    assert.equal(await status(gateway, client.id), 200);
  });

  test('lost and back: local work goes on, remote pushes answer 503, rows are there again', async (t) => {
    const { redis, fn, gateways } = await cluster(t, { nodes: 2, registry: { leaseSeconds: 20 } });
    const [a, b] = gateways;
    const early = await join(t, a, fn);
    await redis.kill();
    await waitFor(async () => (await sample(a, 'tidegate_registry_up')) === 0);
    assert.equal(await ready(a), true);
    const late = await join(t, a, fn);
    assert.equal(await early.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal(await status(a, early.id), 200);
    assert.equal(await status(a, late.id), 200);
    assert.equal(await status(b, early.id), 503);
    const gone = await join(t, a, fn);
    await gone.close();
    await waitFor(async () => (await sample(a, 'tidegate_disconnects_waiting')) === 1);
    assert.equal(disconnects(fn, gone.id).length, 0);
    await redis.start(); // empty
    await fn.call({ eventType: 'DISCONNECT', connectionId: gone.id });
    await waitFor(async () => (await status(b, late.id)) === 200);
    await waitFor(async () => (await sample(a, 'tidegate_registry_rows_clean')) === 1);
    for (const gateway of [a, b]) await waitFor(async () => (await sample(gateway, 'tidegate_registry_up')) === 1);
    assert.equal(await status(b, early.id), 200);
    const rows = await rowCount(redis);
    assert.equal(rows, 2);
    assert.equal(disconnects(fn, early.id).length, 0);
  });

  test('unready while Redis is lost, where that is asked for', async (t) => {
    const { redis, gateways } = await cluster(t, { nodes: 1, registry: { leaseSeconds: 20, redisTroubleMakesUnready: true } });
    await waitFor(() => ready(gateways[0]));
    await redis.kill();
    await waitFor(async () => !(await ready(gateways[0])));
    assert.match((await gateways[0].admin('/readyz')).text, /registry: /);
    await redis.start();
    await waitFor(() => ready(gateways[0]));
  });

  test('a stalled Redis is noticed within two probe intervals', async (t) => {
    const { redis, fn, gateways } = await cluster(t, { nodes: 2, registry: { leaseSeconds: 20, probeIntervalSeconds: 0.5, commandTimeoutMillis: 5000 } });
    const [a, b] = gateways;
    const client = await join(t, a, fn);
    assert.equal(await status(b, client.id), 200);
    redis.pause();
    const began = Date.now();
    await waitFor(async () => (await sample(b, 'tidegate_registry_up')) === 0);
    const took = Date.now() - began;
    assert.ok(took < 2 * 500 + 700, `${took} ms`);
    assert.equal(await status(b, client.id), 503);
    assert.equal(await status(a, client.id), 200);
    redis.resume();
    await waitFor(async () => (await status(b, client.id)) === 200);
    assert.equal(disconnects(fn, client.id).length, 0);
  });

  test('FLUSHALL: rows and lease are written anew, nobody is taken for dead', async (t) => {
    const { redis, fn, gateways } = await cluster(t, { nodes: 2 });
    const [a, b] = gateways;
    const clients = await Promise.all(Array.from({ length: 5 }, () => join(t, a, fn)));
    assert.equal(await status(b, clients[0].id), 200);
    await redis.command('FLUSHALL');
    for (const client of clients) assert.equal(await status(b, client.id), 200);
    await waitFor(async () => (await rowCount(redis)) === 5);
    await a.kill();
    await assertOneEach(fn, clients.map((x) => x.id));
  });

  test('a restart of Redis, empty, longer than the lease: every node begins anew, none is false', async (t) => {
    const { redis, fn, gateways } = await cluster(t, { nodes: 2 });
    const client = await join(t, gateways[0], fn);
    await redis.kill();
    assert.equal((await client.ended(LEASE + 5000)).code, 1012);
    assert.equal((await refused(t, gateways[0].url())).status, 503);
    await waitFor(async () => !(await ready(gateways[1])), { what: 'the other to give itself up' });
    await redis.start();
    for (const gateway of gateways) await waitFor(() => ready(gateway));
    const next = await join(t, gateways[0], fn);
    await waitFor(async () => (await status(gateways[1], next.id)) === 200);
    await assertOneEach(fn, [client.id]);
  });

  test('connections outlive any failure of Redis with whenCutOff: keep', async (t) => {
    const { redis, fn, gateways } = await cluster(t, { nodes: 2, registry: { leaseSeconds: 0.6, whenCutOff: 'keep' } });
    const [a, b] = gateways;
    const client = await join(t, a, fn);
    await redis.kill();
    await new Promise((resolve) => setTimeout(resolve, 2000)); // more than three leases: nothing may happen
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    await redis.start();
    await waitFor(async () => (await status(b, client.id)) === 200);
    await new Promise((resolve) => setTimeout(resolve, 1500)); // long enough for a survivor to look, and to be wrong
    assert.equal(await status(b, client.id), 200);
    assert.equal(disconnects(fn, client.id).length, 0);
  });
});

// Rows of all nodes.
async function rowCount(redis) {
  const script = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'tidegate:*:rows:*')) do n = n + redis.call('HLEN', k) end return n";
  return Number((await redis.command('EVAL', script, '0')).slice(1));
}

describe('partition', options, () => {
  test('a node cut off beyond its lease closes its sockets, and comes back with another number', async (t) => {
    const redis = await startRedis(t);
    const proxy = await startProxy(t, redis.port);
    const fn = await startLambda(t, { app: echo });
    const cut = await startNode(t, fn, proxy);
    const other = await startNode(t, fn, redis);
    const clients = await Promise.all(Array.from({ length: 10 }, () => join(t, cut, fn)));
    const there = await join(t, other, fn);
    assert.equal(await status(other, clients[0].id), 200);
    const number = await sample(cut, 'tidegate_cluster_node');
    proxy.cut();
    const began = Date.now();
    for (const client of clients) assert.equal((await client.ended(LEASE + 3000)).code, 1012);
    assert.ok(Date.now() - began < LEASE + 1000);
    assert.equal(await status(cut, there.id), 503);
    assert.equal((await refused(t, cut.url())).status, 503);
    assert.equal(await ready(cut), false);
    await assertOneEach(fn, clients.map((x) => x.id));
    assert.equal(await status(other, clients[0].id), 410);
    proxy.heal();
    await waitFor(() => ready(cut), { what: 'the new incarnation' });
    assert.notEqual(await sample(cut, 'tidegate_cluster_node'), number);
    const next = await join(t, cut, fn);
    await waitFor(async () => (await status(other, next.id)) === 200);
    await waitFor(async () => (await status(cut, there.id)) === 200);
    assert.equal(await status(cut, clients[0].id), 410);
    for (const client of clients) assert.equal(disconnects(fn, client.id).length, 1);
  });

  // Two nodes, the first behind a proxy that can cut it off, with clients of its own.
  async function halves(t, config) {
    const redis = await startRedis(t);
    const proxy = await startProxy(t, redis.port);
    const fn = await startLambda(t, { app: echo });
    const cut = await startNode(t, fn, proxy, config);
    const other = await startNode(t, fn, redis);
    const clients = await Promise.all(Array.from({ length: 6 }, () => join(t, cut, fn)));
    return { proxy, fn, cut, other, clients, ids: clients.map(({ id }) => id) };
  }

  // Ends them all, and waits until the node knows.
  async function leave(gateway, clients) {
    for (const client of clients) client.ws.close(1000);
    await waitFor(async () => (await sample(gateway, 'tidegate_disconnects_waiting')) === clients.length, { what: 'the events to wait' });
  }

  test('cut off for less than its lease, a node tells when it reaches Redis again', async (t) => {
    const { proxy, fn, cut, clients, ids } = await halves(t, { registry: { leaseSeconds: 30 } });
    proxy.cut();
    await leave(cut, clients);
    for (const id of ids) assert.equal(disconnects(fn, id).length, 0);
    proxy.heal();
    await waitFor(() => ids.every((id) => disconnects(fn, id).length > 0), { what: 'the $disconnects' });
    assert.equal(await sample(cut, 'tidegate_disconnects_waiting'), 0);
    for (const id of ids) assert.deepEqual(disconnects(fn, id).map(({ event }) => event.requestContext.disconnectStatusCode), [1000]);
  });

  test('cut off for longer than its lease, it tells of nothing that another node tells of', async (t) => {
    const { proxy, fn, cut, clients, ids } = await halves(t);
    proxy.cut();
    await leave(cut, clients.slice(0, 3));
    await assertOneEach(fn, ids); // 1006: from the other
    proxy.heal();
    await waitFor(() => ready(cut), { what: 'the new incarnation' });
    await waitFor(async () => (await sample(cut, 'tidegate_disconnects_waiting')) === 0, { what: 'nothing to wait' });
    for (const id of ids) assert.equal(disconnects(fn, id).length, 1);
  });

  test('a drain that Redis does not answer ends at its deadline, and leaves events to another node', async (t) => {
    const { proxy, fn, cut, clients, ids } = await halves(t, { drain: { deadlineSeconds: 2 } });
    proxy.cut();
    await leave(cut, clients.slice(0, 3));
    const began = Date.now();
    await cut.stop();
    assert.ok(Date.now() - began < 6000);
    assert.deepEqual(cut.exit, { code: 0, signal: null });
    await assertOneEach(fn, ids);
    for (const id of ids) assert.equal(disconnects(fn, id).length, 1);
  });

  // Back under a new number, while it is not known what becomes of the old one: a foreign claim holds it.
  async function back(t) {
    const redis = await startRedis(t);
    const proxy = await startProxy(t, redis.port);
    const fn = await startLambda(t, { app: echo });
    const cut = await startNode(t, fn, proxy, { drain: { deadlineSeconds: 20 } });
    const ids = (await Promise.all(Array.from({ length: 6 }, () => join(t, cut, fn)))).map(({ id }) => id);
    const former = `tidegate:{test:${await sample(cut, 'tidegate_cluster_node')}}`;
    await waitFor(async () => (await rowCount(redis)) === ids.length, { what: 'the rows' });
    proxy.cut();
    await redis.command('SET', `${former}:claim`, 'foreign');
    await waitFor(async () => !(await ready(cut)), { timeout: 2 * LEASE, what: 'the loss of the lease' });
    proxy.heal();
    await waitFor(() => ready(cut), { what: 'the new incarnation' });
    return { redis, fn, cut, ids, former };
  }

  // A drain has begun, and waits.
  async function drains(gateway) {
    gateway.signal('SIGTERM');
    await waitFor(() => gateway.log().includes('closing connections'), { what: 'the drain' });
    const began = Date.now();
    await waitFor(() => Date.now() - began > 500, { timeout: 2000, what: 'some of its time' });
    assert.equal(gateway.exit, undefined);
  }

  test('a drain soon after its return waits until it knows of whom nobody else has told, and tells of them', async (t) => {
    const { redis, fn, cut, ids, former } = await back(t);
    await drains(cut);
    await redis.command('HSET', `${former}:told`, ids[0], '1', ids[1], '1');
    await redis.command('SET', `${former}:dead`, '1');
    await cut.exited;
    assert.deepEqual(cut.exit, { code: 0, signal: null });
    for (const [i, id] of ids.entries()) assert.equal(disconnects(fn, id).length, i < 2 ? 0 : 1, id);
    assert.ok(!cut.log().includes('$disconnects given up'));
  });

  test('a drain soon after its return hands what Redis has forgotten to another node', async (t) => {
    const { redis, fn, cut, ids, former } = await back(t);
    await drains(cut);
    await redis.command('DEL', `${former}:rows:0`, `${former}:rows:1`, `${former}:claim`);
    await cut.exited;
    assert.deepEqual(cut.exit, { code: 0, signal: null });
    assert.equal(await rowCount(redis), ids.length);
    assert.equal(fn.filter('DISCONNECT').length, 0);
    await startNode(t, fn, redis);
    await assertOneEach(fn, ids);
  });
});
