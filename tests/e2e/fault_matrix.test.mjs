// The fault matrix (docs/cluster.md): three gateways over a real Redis under a load of pushes and messages, one fault after another,
// and what clients, callers and the back end saw of it. It prints a table, and its seed:
//   TIDEGATE=build/tidegate node tests/e2e/fault_matrix.test.mjs [--seed N] [--full] [--row WORDS]
// The same seed makes the same faults and load at the same times; what runs on the machine beside it is not in the seed.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { parseArgs } from 'node:util';
import { httpProxy, route, twoWay, UNTHROTTLED, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { Load, now, startEvents } from './lib/pushload.mjs';
import { REDIS, startMonitor, startProxy, startRedis } from './lib/redis.mjs';
import { seeded } from './lib/seeded.mjs';
import { startSentinels } from './lib/sentinel.mjs';
import { judge } from './lib/verdict.mjs';
import { waitFor } from './lib/wait.mjs';

const { values: given } = parseArgs({ options: { seed: { type: 'string' }, full: { type: 'boolean' }, row: { type: 'string' } }, strict: false });
const SEED = Number(given.seed ?? process.env.TIDEGATE_FAULT_SEED ?? randomInt(1_000_000));
const FULL = given.full ?? process.env.TIDEGATE_FAULTS === 'full';
const LEASE = FULL ? 2000 : 1000; // ms
const SIZE = FULL ? { slots: 60, leavers: 20, callers: 32, pace: 20 } : { slots: 24, leavers: 8, callers: 16, pace: 25 };
const STAY = [0.05 * LEASE, LEASE]; // of a client that leaves by itself
// A gateway that is killed in the moment between the removal of a row and its call has told nobody; no more than so many a kill.
const KILL_WINDOW = 200; // ms, for a loaded machine
const LOST_MAX = 3;
const ROUNDS = FULL ? 4 : 1;
const TOGETHER = 3; // rows at a time
const LATEST = { timeout: 60000, interval: 20 }; // what takes longer will not happen

const lasts = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class World {
  constructor(owner, { name, leases = 1 }) {
    Object.assign(this, { owner, random: seeded(SEED, name), lease: leases * LEASE, gateways: [], stops: [], kills: [], repairs: [] });
  }

  async start({ proxied, sentinels, kills }) {
    this.site = sentinels && (await startSentinels(this.owner));
    this.redis = this.site?.primary ?? (await startRedis(this.owner));
    this.events = await startEvents(this.owner);
    this.removed = kills ? await startMonitor(this.owner, this.redis.port) : new Map();
    this.victim = this.random.below(3);
    if (proxied) this.proxy = await startProxy(this.owner, this.redis.port);
    this.gateways.push(...(await Promise.all([0, 1, 2].map((i) => this.startGateway(i)))));
    this.load = new Load(this.owner, { seed: this.random.below(2 ** 31), gateways: this.gateways, events: this.events, ...SIZE, stay: STAY });
    this.load.start();
    await this.settled('the first connections');
  }

  startGateway(i, ports = {}) {
    const headers = { type: 'context.eventType', id: 'context.connectionId', tag: 'route.request.querystring.tag' };
    const mapped = (names) => ({ requestParameters: Object.fromEntries(names.map((name) => [`integration.request.header.x-${name}`, headers[name]])) });
    const integrations = [httpProxy('open', this.events.url, mapped(['type', 'id', 'tag'])), httpProxy('app', this.events.url, mapped(['type', 'id']))];
    return startGateway(
      this.owner,
      {
        apis: [wsApi({ integrations, routes: [route('$connect', 'open', { requestParameters: { 'route.request.querystring.tag': { required: true } } }), route('$disconnect', 'app'), twoWay('$default', 'app')], settings: { disconnectRetryMillis: 50, closeTimeoutSeconds: 1 } })],
        registry: {
          type: 'redis',
          url: this.site?.url() ?? (i === this.victim && this.proxy ? this.proxy : this.redis).url,
          cluster: 'matrix',
          leaseSeconds: this.lease / 1000,
          probeIntervalSeconds: 0.2,
          commandTimeoutMillis: 400,
          connectTimeoutMillis: 500,
          reconnectMinMillis: 10,
          reconnectMaxMillis: 100,
        },
        management: { auth: 'none', pushTimeoutMillis: 300 },
        throttling: UNTHROTTLED,
      },
      { readyTimeout: LATEST.timeout, ...ports },
    );
  }

  // Every client is connected, and callers have been answered 200 and 410 alone for half a lease.
  async settled(what) {
    const since = now();
    const calm = () => this.load.allOpen() && now() - Math.max(since, this.load.lastTrouble()) > LEASE / 2;
    await waitFor(calm, { ...LATEST, what: `${what} to be well` });
  }

  // Trouble, in units of a lease.
  async holds(leases) {
    await lasts(leases * this.lease);
  }

  other(i = this.victim) {
    return (i + 1 + this.random.below(2)) % 3;
  }

  async kill(i) {
    const kill = { gateway: this.gateways[i], from: now(), to: Infinity };
    this.kills.push(kill);
    await kill.gateway.kill();
    kill.to = now();
  }

  // Redis took the row away right before the gateway was killed.
  lost({ id, gateway }) {
    const at = this.removed.get(id);
    return this.kills.some((kill) => kill.gateway === gateway && kill.from - KILL_WINDOW <= at && at <= kill.to + KILL_WINDOW);
  }

  async restart(i) {
    const { port, adminPort } = this.gateways[i];
    this.gateways[i] = await this.startGateway(i, { port, adminPort });
  }

  async stopped(i, leases) {
    const stop = { gateway: this.gateways[i], from: now(), to: Infinity };
    this.stops.push(stop);
    stop.gateway.signal('SIGSTOP');
    await this.holds(leases);
    stop.to = now();
    stop.gateway.signal('SIGCONT');
  }

  async round(fault) {
    const begin = now();
    await fault(this);
    const end = now();
    await this.settled('the cluster');
    const recovered = Math.max(0, this.load.lastTrouble() - begin);
    this.repairs.push({ lasted: end - begin, recovered });
    this.victim = this.proxy ? this.victim : this.random.below(3);
  }

  // The end of the load, every $disconnect, and time for one too many.
  async end({ silent }) {
    const { load, events, stops } = this;
    await load.stop();
    load.leave();
    const opened = load.connections.filter((connection) => connection.openedAt !== undefined);
    const told = () => {
      const ids = new Set(events.events.filter(({ type }) => type === 'DISCONNECT').map(({ id }) => id));
      return opened.every((connection) => ids.has(connection.id) || this.lost(connection));
    };
    await waitFor(told, { ...LATEST, timeout: 20 * this.lease, what: 'every $disconnect' }).catch(() => {}); // a verdict follows
    await this.holds(1.5);
    const wokeAt = (gateway, at) => Math.max(at, ...stops.filter((stop) => stop.gateway === gateway && stop.from <= at).map(({ to }) => to));
    return judge({ ...load, events: events.events, fence: this.lease, wokeAt, silent, lost: (connection) => this.lost(connection) });
  }
}

// A fault, once. `kills`: gateways, without a word. `silent`: gateways end, or are stopped, in it, so that callers may get no answer. `leases`: of the nodes, in units of
// the usual one.
const ROWS = [
  {
    name: 'gateway: kill -9',
    silent: true,
    kills: true,
    fault: async (w) => {
      await w.kill(w.victim);
      await w.holds(w.random.between(0.1, 1.5));
      await w.restart(w.victim);
    },
  },
  {
    name: 'gateway: two killed at once',
    silent: true,
    kills: true,
    fault: async (w) => {
      const second = w.other();
      await Promise.all([w.victim, second].map((i) => w.kill(i)));
      await w.holds(w.random.between(0.1, 1.5));
      await Promise.all([w.victim, second].map((i) => w.restart(i)));
    },
  },
  { name: 'gateway: stopped < lease', silent: true, fault: (w) => w.stopped(w.victim, w.random.between(0.1, 0.6)) },
  { name: 'gateway: stopped > lease', silent: true, fault: (w) => w.stopped(w.victim, w.random.between(1.2, 2.2)) },
  {
    name: 'gateways: rolling restart',
    silent: true,
    fault: async (w) => {
      for (const i of [0, 1, 2]) {
        await w.gateways[i].stop();
        await w.restart(i);
      }
    },
  },
  {
    name: 'Redis: SHUTDOWN, empty > lease',
    fault: async (w) => {
      await w.redis.shutdown();
      await w.holds(w.random.between(1.2, 2));
      await w.redis.start();
    },
  },
  {
    name: 'Redis: kill -9, empty < lease',
    fault: async (w) => {
      await w.redis.kill();
      await w.holds(w.random.between(0, 0.3));
      await w.redis.start();
    },
  },
  {
    name: 'Redis: kill -9, old state',
    fault: async (w) => {
      await w.redis.command('SAVE');
      await w.holds(w.random.between(0.2, 0.6));
      await w.redis.kill();
      await w.holds(w.random.between(0, 0.5));
      await w.redis.start();
    },
  },
  {
    name: 'Redis: stalled < lease',
    fault: async (w) => {
      w.redis.pause();
      await w.holds(w.random.between(0.3, 0.6));
      w.redis.resume();
    },
  },
  {
    name: 'Redis: stalled > lease',
    fault: async (w) => {
      w.redis.pause();
      await w.holds(w.random.between(1.2, 2));
      w.redis.resume();
    },
  },
  {
    name: 'Redis: FLUSHALL',
    fault: async (w) => {
      for (let i = 0; i < 3; i++) {
        await w.redis.command('FLUSHALL');
        await w.holds(w.random.between(0.1, 0.4));
      }
    },
  },
  {
    name: 'Redis: Sentinel fail-over',
    sentinels: true,
    leases: 6, // a fail-over fits into it
    rounds: 1, // the primary is gone for good
    fault: (w) => w.redis.kill(),
  },
  {
    name: 'network: cut < lease',
    proxied: true,
    fault: async (w) => {
      w.proxy.cut();
      await w.holds(w.random.between(0.3, 0.6));
      w.proxy.heal();
    },
  },
  {
    name: 'network: cut > lease',
    proxied: true,
    fault: async (w) => {
      w.proxy.cut();
      await w.holds(w.random.between(1.2, 2));
      w.proxy.heal();
    },
  },
  {
    name: 'network: reset',
    proxied: true,
    fault: async (w) => {
      for (let i = 0; i < 5; i++) {
        w.proxy.reset();
        await w.holds(w.random.between(0.02, 0.2));
      }
    },
  },
];

const table = [];
const FAULTS = [['false200', 'false 200'], ['false410', 'false 410'], ['home', 'at home'], ['refused', 'refused'], ['order', 'order'], ['missing', 'missing'], ['doubled', 'doubled'], ['silent', 'silent'], ['other', 'other']];
const COLUMNS = ['fault', 'pushes', '200', '410', '503', 'none', ...FAULTS.map(([, title]) => title), 'exempt', 'left', 'lasted ms', 'recovered ms'];

function print() {
  const rows = [COLUMNS, ...ROWS.map(({ name }) => table.find(([row]) => row === name) ?? [name, 'not run'])];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => String(row[i] ?? '').length)));
  const line = (row) => row.map((cell, i) => (i ? String(cell).padStart(widths[i]) : cell.padEnd(widths[0]))).join('  ');
  console.log(`\nfault matrix, ${FULL ? 'full' : 'short'}, lease ${LEASE} ms, seed ${SEED}\n${rows.map(line).join('\n')}\n`);
}

// The worst of the rounds.
const worst = (repairs, field) => Math.round(Math.max(...repairs.map((repair) => repair[field])));

describe(`fault matrix, --seed ${SEED}`, { skip: REDIS ? false : 'redis-server is not installed', concurrency: TOGETHER }, () => {
  after(print);
  for (const row of ROWS.filter(({ name }) => name.includes(given.row ?? ''))) {
    test(row.name, async (t) => {
      const world = new World(t, row);
      await world.start(row);
      for (let i = 0; i < (row.rounds ?? ROUNDS); i++) await world.round(row.fault);
      const { counts, faults, exempt } = await world.end(row);
      const left = world.load.connections.filter(({ leftAt }) => leftAt < world.load.stoppedAt).length;
      const { pushes, 200: yes, 410: gone, 503: unknown, none } = counts;
      table.push([row.name, pushes, yes, gone, unknown, none, ...FAULTS.map(([kind]) => faults[kind].length), exempt.length, left, worst(world.repairs, 'lasted'), worst(world.repairs, 'recovered')]);
      assert.ok(yes > 20, `only ${yes} pushes were answered 200`);
      assert.ok(left > 3, `only ${left} clients left by themselves`);
      if (row.kills) assert.ok(world.removed.size > 3, `only ${world.removed.size} removals of rows were seen`);
      assert.ok(exempt.length <= LOST_MAX * world.kills.length, `${exempt.length} connections of killed gateways have no $disconnect`);
      for (const [kind, title] of FAULTS) assert.equal(faults[kind].length, 0, `${title}, seed ${SEED}: ${explain(faults[kind][0])}`);
    });
  }
});

function explain(what) {
  const plain = ({ connection, gateway, load, slot, socket, buffer, receipts, received, ...rest }) => ({ ...rest, ...(gateway && { port: gateway.port }), ...(connection && { connection: plain(connection) }) });
  return what && JSON.stringify(plain(what));
}
