// Gateways of one cluster, what is pushed through them, and what their clients have got: for tests of what happens
// to pushes and connections while Redis changes under them.
import assert from 'node:assert/strict';
import { join } from './client.mjs';
import { appApi, UNTHROTTLED } from './config.mjs';
import { startGateway } from './gateway.mjs';
import { echo, startLambda } from './lambda.mjs';
import { waitFor } from './wait.mjs';

export async function startFleet(t, { nodes = 3, registry, ...rest }) {
  const fn = await startLambda(t, { app: echo });
  const start = async () => {
    const gateway = await startGateway(t, {
      functions: fn.table('app'),
      apis: [appApi({ settings: { disconnectRetryMillis: 50, closeTimeoutSeconds: 1 } })],
      registry: { type: 'redis', cluster: 'test', probeIntervalSeconds: 0.2, commandTimeoutMillis: 1000, reconnectMinMillis: 10, reconnectMaxMillis: 50, ...registry },
      management: { auth: 'none', pushTimeoutMillis: 1000 },
      throttling: UNTHROTTLED,
      workers: 2,
      ...rest,
    });
    gateway.kill = async () => {
      gateway.stopped = true; // on purpose: its end is no failure
      process.kill(gateway.pid, 'SIGKILL');
      await gateway.exited;
    };
    return gateway;
  };
  return { fn, gateways: await Promise.all(Array.from({ length: nodes }, start)) };
}

export const status = async (gateway, id, body = 'hello') => (await gateway.post(id, body, { credentials: null })).status;
export const disconnects = (fn, id) => fn.filter({ eventType: 'DISCONNECT', connectionId: id });

// Pushes to every client through every gateway in turn, one after another for each client, until stop(), which checks
// that what was answered is true: every 200 arrived, once and in order, and nothing was answered but 200 and 503.
export async function startLoad(t, { fn, gateways, clientsEach = 4 }) {
  const clients = [];
  for (const gateway of gateways) {
    for (let i = 0; i < clientsEach; i++) {
      const client = await join(t, gateway, fn);
      const one = { id: client.id, client, gateway, told: [], refused: [], sent: 0, closed: false };
      client.ws.on('close', (code) => {
        one.closed = code;
      });
      clients.push(one);
    }
  }
  const load = { clients, statuses: new Map(), running: true };
  // Since the last call of settle().
  const recent = new Map();
  const drive = async (one) => {
    for (let turn = 0; load.running; turn++) {
      const gateway = gateways[turn % gateways.length];
      const text = `n${one.sent++}`;
      const at = Date.now();
      const code = await status(gateway, one.id, text);
      load.statuses.set(code, (load.statuses.get(code) ?? 0) + 1);
      const path = `${gateway.port} ${one.id}`;
      recent.set(path, code === 200 ? (recent.get(path) ?? 0) + 1 : 0);
      if (code === 200) one.told.push(text);
      else one.refused.push({ text, at, took: Date.now() - at });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const drives = clients.map(drive);
  const paths = gateways.length * clients.length;
  // Every gateway has reached every client, `times` times in a row.
  load.settle = async (what, { times = 3, timeout = 30000 } = {}) => {
    recent.clear();
    const start = Date.now();
    await waitFor(() => recent.size === paths && [...recent.values()].every((n) => n >= times), { timeout, what });
    return Date.now() - start;
  };
  load.stop = async () => {
    load.running = false;
    await Promise.all(drives);
    const odd = [...load.statuses.keys()].filter((code) => code !== 200 && code !== 503);
    assert.deepEqual(odd, [], `statuses ${JSON.stringify([...load.statuses])}`);
    for (const one of clients) {
      assert.equal(one.closed, false, `a connection was closed with ${one.closed}`);
      assert.equal(disconnects(fn, one.id).length, 0);
      // A last one, which everything before precedes.
      await waitFor(async () => (await status(one.gateway, one.id, 'end')) === 200, { what: 'a push through its own gateway' });
      const got = [];
      for (let text = await one.client.next(); text !== 'end'; text = await one.client.next()) got.push(text);
      const numbers = got.map((text) => Number(text.slice(1)));
      assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), 'twice, or out of order');
      const missing = one.told.filter((text) => !got.includes(text));
      assert.deepEqual(missing, [], 'answered 200, and not received');
      one.got = new Set(got);
    }
    return load.statuses;
  };
  // After stop(): pushes that were answered 503, and those of them that were received all the same. What was sent and is
  // unanswered may have arrived, and takes its time to be told; what is told at once is known.
  load.refused = () => {
    const all = clients.flatMap((one) => one.refused.map((r) => ({ ...r, got: one.got.has(r.text) })));
    return { all, got: all.filter((r) => r.got), gotAtOnce: all.filter((r) => r.got && r.took < 1000) };
  };
  await load.settle('the first pushes');
  return load;
}

// Each has had exactly one $disconnect, with 1006.
export async function assertOneEach(fn, ids, timeout) {
  await waitFor(() => ids.every((id) => disconnects(fn, id).length > 0), { timeout, what: 'the takeover' });
  for (const id of ids) {
    const events = disconnects(fn, id);
    assert.equal(events.length, 1, `${id} has ${events.length} $disconnects`);
    assert.equal(events[0].event.requestContext.disconnectStatusCode, 1006);
  }
}
