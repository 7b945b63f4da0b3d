// A fleet as it is run: three gateways over one Redis behind a load balancer that sends PROXY v2 (a real HAProxy), two thousand clients
// that come back when they are closed, callers that push to all of them all the time, and a restart of every gateway in turn. What
// clients, callers and the back end saw of it. docs/operations.md, "Behind a load balancer"; by hand:
//   TIDEGATE=build/tidegate node tests/e2e/fleet.test.mjs [--full] [--seed N]
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseArgs } from 'node:util';
import { httpProxy, route, twoWay, UNTHROTTLED, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { freePort } from './lib/ports.mjs';
import { startBalancer } from './lib/proxies.mjs';
import { Connection, Load, now, startEvents } from './lib/pushload.mjs';
import { REDIS, startRedis } from './lib/redis.mjs';
import { judge } from './lib/verdict.mjs';
import { waitFor, watchStalls, within } from './lib/wait.mjs';

const { values: given } = parseArgs({ options: { seed: { type: 'string' }, full: { type: 'boolean' } }, strict: false });
const FULL = given.full ?? process.env.TIDEGATE_FAULTS === 'full';
const SEED = Number(given.seed ?? process.env.TIDEGATE_FAULT_SEED ?? randomInt(1_000_000));
const SIZE = FULL ? { slots: 2000, callers: 24, pace: 20 } : { slots: 300, callers: 8, pace: 25 };
const PACE = FULL ? 150 : 60; // closes a second, of the node that drains
const RAMP = FULL ? 400 : 300; // first connections a second
const JITTER = 1000; // ms: a client comes back after a random part of it
const GRACE = 1.5; // s: longer than the balancer takes to notice
const LATEST = { timeout: 60000, interval: 50 };
const FENCE = 2000; // ms between a 410 and the end as its client sees it, on a loaded machine
const OUT = 1500; // ms in which a gateway gives up its port, its lease, and ends
const TURNED_AWAY = 6000; // ms: a push's time, and what an answer of another node may take on top

// Clients dial the balancer, each from an address of its own; the connection's node is known by its $connect.
class Fleet extends Load {
  constructor(owner, { front, ...options }) {
    super(owner, options);
    this.front = front;
    for (const slot of this.slots) slot.address = `127.1.${slot.number >> 8}.${slot.number & 255}`;
  }

  start() {
    super.start();
    this.started = now();
  }

  dial(slot) {
    if (slot.redials++ === 0) {
      setTimeout(() => this.connect(slot), (slot.number / RAMP) * 1000);
      return;
    }
    this.connect(slot);
  }

  connect(slot) {
    if (!this.running) return;
    slot.dialled = new Connection(this, slot, this.front);
    this.connections.push(slot.dialled);
  }

  // One message at a time, of any client: a fleet's clients are mostly silent.
  async talk({ number, random }) {
    while (this.running && number === 0) {
      await new Promise((resolve) => setTimeout(resolve, random.between(0, 2 * this.pace)));
      random.pick(this.slots).current?.say();
    }
  }

  opened(connection) {
    connection.connect = this.events.events.findLast(({ type, id }) => type === 'CONNECT' && id === connection.id);
    connection.gateway = this.gateways[Number(connection.connect.node)];
    super.opened(connection);
  }

  ended(connection) {
    if (this.running && connection.slot.dialled === connection) setTimeout(() => this.connect(connection.slot), connection.slot.random.between(0, JITTER));
  }
}

// The most of these times that lie within a second.
function peak(times) {
  const sorted = [...times].sort((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last] - sorted[first] > 1000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

function startNode(t, { redis, events, node }, ports = {}) {
  const fields = { type: 'context.eventType', id: 'context.connectionId', tag: 'route.request.querystring.tag', address: 'context.identity.sourceIp', node: `'${node}'` };
  const mapped = (names) => ({ requestParameters: Object.fromEntries(names.map((name) => [`integration.request.header.x-${name}`, fields[name]])) });
  const integrations = [httpProxy('open', events.url, mapped(Object.keys(fields))), httpProxy('app', events.url, mapped(['type', 'id', 'address']))];
  const config = (gw) => ({
    // Clients come through the balancer, back ends directly.
    listeners: [{ address: `127.0.0.1:${gw.port}`, proxyProtocol: 'v2', trustedProxies: ['127.0.0.1'] }, { address: `127.0.0.1:${ports.back}` }],
    apis: [wsApi({ integrations, routes: [route('$connect', 'open', { requestParameters: { 'route.request.querystring.tag': { required: true } } }), route('$disconnect', 'app'), twoWay('$default', 'app')] })],
    // The back end shares its process with two thousand clients. Node accepts one connection in a turn of its loop, and with those
    // clients a turn takes a tenth of a second: many connections at once would wait for half a minute.
    backends: { maxConnectionsPerOrigin: 24, maxPendingPerOrigin: 20000, connectTimeoutMillis: 29000 },
    registry: { type: 'redis', url: redis.url, cluster: 'fleet', leaseSeconds: 10, probeIntervalSeconds: 0.5, commandTimeoutMillis: 2000 },
    management: { auth: 'none', pushTimeoutMillis: 3000 },
    drain: { graceSeconds: GRACE, closesPerSecond: PACE, deadlineSeconds: 60 },
    throttling: UNTHROTTLED,
  });
  return startGateway(t, config, { readyTimeout: LATEST.timeout, ...ports });
}

// Says what is left in a gateway that should have ended by now.
function watchDrain(t, node, due) {
  const timer = setInterval(async () => {
    if (now() < due) return;
    try {
      const inFlight = await sample(node, 'requests_in_flight');
      const [drain, counts, list] = await Promise.all(['/drain', '/connections', '/connections/list?limit=3'].map(async (where) => (await node.admin(where)).text.replaceAll('\n', '')));
      t.diagnostic(`drain overdue by ${Math.round(now() - due)} ms: requests ${inFlight}; ${drain} ${counts} ${list}`);
    } catch (error) {
      t.diagnostic(`drain overdue by ${Math.round(now() - due)} ms: ${error.message}`);
    }
  }, 1000);
  node.exited.then(() => clearInterval(timer));
}

async function sample(gateway, name) {
  return (await gateway.metrics()).find((s) => s.name === `tidegate_${name}`).value;
}

describe('a fleet behind a load balancer', { skip: REDIS ? false : 'redis-server is not installed' }, () => {
  test(`a rolling restart under ${SIZE.slots} clients`, async (t) => {
    t.diagnostic(`seed ${SEED}`);
    const redis = await startRedis(t);
    const events = await startEvents(t);
    const ports = await Promise.all([0, 1, 2].map(async () => ({ port: await freePort(), adminPort: await freePort(), back: await freePort() })));
    const nodes = await Promise.all(ports.map((own, node) => startNode(t, { redis, events, node }, own)));
    const { us } = await startBalancer(t, { us: { send: 'send-proxy-v2', servers: ports.map(({ port, adminPort }) => ({ port, check: adminPort })) } });
    const gateways = ports.map(({ back }) => ({ port: back, host: `127.0.0.1:${back}` }));
    const fleet = new Fleet(t, { seed: SEED, gateways, events, front: { port: us }, ...SIZE });
    fleet.start();
    const begun = now();
    const settled = (what) => waitFor(() => fleet.allOpen() && now() - Math.max(begun, fleet.lastTrouble()) > 500, { ...LATEST, what });
    await settled('all clients to be connected');
    t.diagnostic(`connected ${SIZE.slots} in ${Math.round(now() - begun)} ms, by node ${(await Promise.all(nodes.map((node) => sample(node, 'connections')))).join(' ')}`);

    const rolled = [];
    const stalls = watchStalls(t);
    for (let i = 0; i < nodes.length; i++) {
      const had = await sample(nodes[i], 'connections');
      const from = now();
      nodes[i].signal('SIGTERM');
      nodes[i].stopped = true;
      watchDrain(t, nodes[i], from + 1000 * (GRACE + 3 + (1.2 * had) / PACE));
      await within(nodes[i].exited, `gateway ${i} to drain`, 70000);
      assert.deepEqual(nodes[i].exit, { code: 0, signal: null });
      const to = now();
      nodes[i] = await startNode(t, { redis, events, node: i }, ports[i]);
      const up = now();
      await settled(`all clients to be back from gateway ${i}`);
      rolled.push({ gateway: gateways[i], had, from, to, up, whole: now() });
    }
    await fleet.stop();
    fleet.leave();
    const opened = fleet.connections.filter((connection) => connection.openedAt !== undefined);
    const ids = () => new Set(events.events.filter(({ type }) => type === 'DISCONNECT').map(({ id }) => id));
    await waitFor(() => {
      const told = ids();
      return opened.every(({ id }) => told.has(id));
    }, { ...LATEST, what: 'every $disconnect' }).catch(() => {}); // a verdict follows

    // Addresses: of each client, in each event of it.
    const byId = new Map(opened.map((connection) => [connection.id, connection]));
    for (const { type, id, address } of events.events) if (byId.has(id)) assert.equal(address, byId.get(id).slot.address, `${type} of ${id}`);

    // Pushes, $disconnects, order.
    const { counts, faults } = judge({ ...fleet, events: events.events, fence: FENCE, silent: true });
    t.diagnostic(`pushes ${JSON.stringify(counts)}; reconnected ${opened.length - SIZE.slots}`);
    for (const [name, list] of Object.entries(faults)) assert.equal(list.length, 0, `${name}: ${JSON.stringify(list.slice(0, 3).map(({ status, stream, seq, id, code, startedAt, endedAt }) => ({ status, stream, seq, id, code, startedAt, endedAt })))}`);

    // Nobody was turned away, or left without an answer, but by a gateway that gives up its port and its lease, or has not joined
    // again: those that stay answer for all of their connections all the time, and so does one that drains until its clients are gone.
    const slack = 1 + 2 * stalls.worst;
    const away = (gateway, { startedAt, endedAt }) => rolled.some(({ gateway: one, to, up }) => one === gateway && endedAt >= to - OUT * slack && startedAt <= up + 1000 * stalls.worst);
    const turned = fleet.pushes.filter(({ status }) => status === 503 || status === 'none');
    const tell = ({ status, gateway, connection, startedAt, endedAt }) => ({ status, by: gateway.port, has: connection.gateway.port, startedAt, endedAt, rolled: rolled.map(({ gateway: { port }, from, to, up }) => ({ port, from, to, up })) });
    assert.deepEqual(turned.filter((push) => !away(push.gateway, push) && !(push.status === 503 && away(push.connection.gateway, push))).map(tell), []);
    assert.deepEqual(turned.filter(({ startedAt, endedAt }) => endedAt - startedAt > TURNED_AWAY * slack).map(tell), []);
    assert.equal(counts[429], 0, 'a client that reads is not too slow');

    // Nobody was refused: the balancer knew before the node said no.
    const refused = fleet.connections.filter((connection) => connection.refused !== undefined);
    assert.deepEqual(refused.map((connection) => connection.refused), []);

    // Pace: of the closes and of what came of them, on average and in any second.
    // On a busy machine gateways and balancer stall as well; on a quiet one this is a factor of 1.4.
    const inSecond = PACE * 1.3 * (1 + 2 * stalls.worst);
    t.diagnostic(`this process stalled for ${stalls.worst.toFixed(2)} s at worst`);
    for (const { had, from, to, whole } of rolled) {
      const told = opened.filter(({ closedAt, code }) => code === 1012 && closedAt >= from && closedAt <= to).sort((a, b) => a.closedAt - b.closedAt);
      const closed = told.map(({ closedAt }) => closedAt);
      const back = events.events.filter(({ type, at }) => type === 'CONNECT' && at >= from && at <= whole).map(({ at }) => at);
      const first = closed[0];
      const lasted = closed[closed.length - 1] - first;
      const closing = (closed.length * 1000) / lasted;
      const coming = (back.length * 1000) / (Math.max(...back) - Math.min(...back));
      t.diagnostic(`${had} clients: closed at ${closing.toFixed(0)}/s (peak ${peak(closed)}), back at ${coming.toFixed(0)}/s (peak ${peak(back)}), drained in ${Math.round(to - from)} ms, whole after ${Math.round(whole - from)} ms`);
      const slow = lasted > 2000 + (1500 * closed.length) / PACE;
      for (const one of slow ? told.slice(-5) : []) t.diagnostic(`late: ${one.id} at ${Math.round(one.closedAt - from)}, opened at ${Math.round(one.openedAt - from)}, ${one.sent - one.answered} of ${one.sent} messages not answered`);
      assert.ok(to - from <= 1000 * slack * (GRACE + 7 + (1.2 * had) / PACE), `drained within its pace, the time for answers to the closes, and some seconds: ${Math.round(to - from)} ms`);
      assert.ok(closed.length >= had, `${closed.length} of ${had} closed with 1012`);
      assert.ok(first - from >= GRACE * 1000 - 50, 'nobody is closed in the grace');
      assert.ok(closing <= PACE * 1.15, 'the pace of the closes');
      assert.ok(coming <= PACE * 1.15, 'the pace of the reconnects');
      assert.ok(peak(closed) <= inSecond, 'closes in any second');
      assert.ok(peak(back) <= inSecond, 'reconnects in any second');
    }
    for (const node of nodes) {
      assert.equal(await sample(node, 'proxy_malformed_total'), 0);
      assert.equal(await sample(node, 'proxy_untrusted_total'), 0);
      assert.equal(await sample(node, 'proxy_timed_out_total'), 0);
    }
  });
});
