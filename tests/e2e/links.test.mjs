// Targets of a private integration that are killed, stopped and started again while calls go to them: no POST is sent twice,
// what fails could not be helped, and the gateway's figures agree with what clients and targets saw.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { linkConfig, targetFigures } from './lib/links.mjs';
import { startTargets } from './lib/targets.mjs';
import { waitFor } from './lib/wait.mjs';

const LANES = 16;
const WORKERS = 2;
const TRIALS = 2 * WORKERS;
const METHODS = ['GET', 'POST', 'PUT', 'POST'];

// Clients that each send one request after another, until stop().
class Load {
  constructor(port) {
    this.done = []; // {method, id, status} or {method, id, error}
    this.going = true;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: LANES });
    this.port = port;
    this.lanes = Array.from({ length: LANES }, (_, lane) => this.run(lane));
  }

  async run(lane) {
    for (let i = 0; this.going; i++) {
      const method = METHODS[(lane + i) % METHODS.length];
      const id = `/${lane}-${i}`;
      const body = method === 'GET' ? {} : { body: id, headers: { 'Content-Length': id.length } };
      try {
        const got = await request({ port: this.port, path: id, method, agent: this.agent, timeout: 20000, ...body });
        this.done.push({ method, id, status: got.status === 200 && got.text !== id ? 'wrong' : got.status });
      } catch (error) {
        this.done.push({ method, id, error: String(error) });
      }
      if (this.done.at(-1).status !== 200) await new Promise((resolve) => setTimeout(resolve, 10)); // as a client would
    }
  }

  // `count` more answers from now on.
  more(count) {
    const enough = this.done.length + count;
    return waitFor(() => this.done.length >= enough, { timeout: 60000, what: `${count} more answers` });
  }

  async stop() {
    this.going = false;
    await Promise.all(this.lanes);
    this.agent.destroy();
  }
}

async function world(t) {
  const targets = await startTargets(t, 3);
  const gateway = await startGateway(
    t,
    linkConfig(
      {
        targets: targets.map(({ url }) => ({ url })),
        healthCheck: { path: '/health', intervalSeconds: 0.1, timeoutMillis: 500, unhealthyThreshold: 2, healthyThreshold: 1 },
        ejection: { failures: 3, seconds: 0.2, maxSeconds: 0.4 },
        attemptTimeoutMillis: 500,
      },
      { workers: WORKERS, integration: { timeoutInMillis: 3000 } },
    ),
  );
  const load = new Load(gateway.port);
  t.after(() => load.stop()); // also when the test has failed
  const healthy = (target, value) => waitFor(async () => (await targetFigures(gateway))[target.url].healthy === value, { timeout: 30000, what: `target ${target.port} to be ${value ? 'healthy' : 'out'}` });
  await load.more(100);
  return { targets, gateway, load, healthy };
}

const count = (list, match) => list.filter(match).length;
const sum = (figures, name) => Object.values(figures).reduce((total, target) => total + target[name], 0);

// What holds whatever happened to the targets.
async function assertAccounts(t, { targets, gateway, load }) {
  await load.stop();
  const served = new Map();
  for (const line of targets.flatMap((target) => target.served())) served.set(line, (served.get(line) ?? 0) + 1);
  const times = ({ method, id }) => served.get(`${method} ${id}`) ?? 0;

  const odd = load.done.filter(({ status }) => status !== 200 && status !== 503);
  assert.deepEqual(odd, [], 'neither answered nor refused');
  assert.deepEqual(load.done.filter((one) => one.method === 'POST' && times(one) > 1), [], 'POSTs sent twice');
  assert.deepEqual(load.done.filter((one) => one.status === 200 && times(one) === 0), [], 'answered, and served by nobody');

  const failed = count(load.done, ({ status }) => status === 503);
  const metrics = await gateway.metrics();
  const total = (name) => metrics.filter((m) => m.name === name).reduce((all, m) => all + m.value, 0);
  assert.equal(total('tidegate_http_api_count_total'), load.done.length, 'requests counted');
  assert.equal(total('tidegate_http_api_5xx_total'), failed, 'failures counted');
  const figures = await targetFigures(gateway);
  assert.equal(sum(figures, 'outstanding'), 0);
  assert.equal(sum(figures, 'calls'), load.done.length + sum(figures, 'moved'), 'a call for each request, and one for each move');
  assert.ok(sum(figures, 'failures') <= failed + sum(figures, 'moved'), 'more failures than were moved or told');
  t.diagnostic(`${load.done.length} requests, ${failed} failed; failures ${sum(figures, 'failures')}, moved ${sum(figures, 'moved')}, ejections ${sum(figures, 'ejections')}`);
  return { failed, figures };
}

// Requests that can be sent again do not fail while another target is there; of the others at most one a client, that which the
// target had at the time.
function assertUnavoidable(load, from, events) {
  const failed = load.done.slice(from).filter(({ status }) => status !== 200);
  assert.deepEqual(failed.filter(({ method }) => method !== 'POST'), [], 'could have been sent again');
  assert.ok(failed.length <= LANES * events, `${failed.length} POSTs failed for ${events} targets lost`);
}

// A target that is out gets no calls, but for the trials that follow an ejection until the checks have judged it too.
async function assertOut(gateway, target, calls) {
  const more = (await targetFigures(gateway))[target.url].calls - calls;
  assert.ok(more <= TRIALS, `${more} calls to a target that is out`);
}

describe('targets under load', () => {
  test('killed and started again', async (t) => {
    const all = await world(t);
    const { targets, gateway, load, healthy } = all;
    const [target] = targets;
    await target.kill();
    await healthy(target, 0);
    const { calls } = (await targetFigures(gateway))[target.url];
    const before = load.done.length;
    await load.more(200);
    await assertOut(gateway, target, calls);
    assert.ok(count(load.done.slice(before + LANES), ({ status }) => status !== 200) <= TRIALS, 'failures once the target was out');
    await target.start();
    await healthy(target, WORKERS);
    await waitFor(async () => (await targetFigures(gateway))[target.url].calls > calls, { what: 'calls to the target again' });
    await load.more(100);
    const { failed } = await assertAccounts(t, all);
    assertUnavoidable(load, 0, 1);
    assert.ok(failed <= LANES);
  });

  test('killed and started again at once, one after another', async (t) => {
    const all = await world(t);
    for (let round = 0; round < 2; round++) {
      for (const target of all.targets) {
        await target.kill();
        await target.start();
        await all.healthy(target, WORKERS);
        await all.load.more(30);
      }
    }
    await assertAccounts(t, all);
    assertUnavoidable(all.load, 0, 6);
  });

  test('stopped (SIGSTOP) and let go on', async (t) => {
    const all = await world(t);
    const { targets, gateway, load, healthy } = all;
    const [, target] = targets;
    target.stop();
    await healthy(target, 0);
    const { calls } = (await targetFigures(gateway))[target.url];
    await load.more(200);
    await assertOut(gateway, target, calls);
    // The POSTs that it has end in time, with 503; what came to it before is done late, and once.
    await waitFor(async () => (await targetFigures(gateway))[target.url].outstanding === 0, { what: 'the calls to the stopped target to end' });
    target.resume();
    await healthy(target, WORKERS);
    await load.more(100);
    const { failed, figures } = await assertAccounts(t, all);
    assertUnavoidable(load, 0, 1);
    assert.ok(figures[target.url].moved + failed > 0, 'what it had was neither moved nor, as a POST, refused');
  });

  test('all of them killed: refused and counted, and served again when they are back', async (t) => {
    const all = await world(t);
    const { targets, load, healthy } = all;
    await Promise.all(targets.map((target) => target.kill()));
    const failed = () => count(load.done, ({ status }) => status === 503);
    await waitFor(() => failed() >= 100, { timeout: 30000, what: 'a hundred refusals' });
    await Promise.all(targets.map((target) => target.start()));
    for (const target of targets) await healthy(target, WORKERS);
    await load.more(LANES); // what was under way
    const before = load.done.length;
    await load.more(200);
    assertUnavoidable(load, before, 0);
    await assertAccounts(t, all);
  });
});
