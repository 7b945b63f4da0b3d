// The registry at the primary that Sentinels name: found, followed through fail-overs under load, and every
// connection kept (docs/cluster.md). Real redis-servers and Sentinels.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { appApi } from './lib/config.mjs';
import { assertOneEach, startFleet, startLoad } from './lib/fleet.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { REDIS } from './lib/redis.mjs';
import { startSentinels } from './lib/sentinel.mjs';
import { waitFor } from './lib/wait.mjs';

const LEASE = 8; // seconds: a fail-over fits into the half of it that is left for certain
const options = { skip: REDIS ? false : 'redis-server is not installed' };

describe('Sentinel', options, () => {
  test('the primary is killed: no connection is lost, and every answer is true', async (t) => {
    const site = await startSentinels(t, {
      redisArgs: ['--user', 'app', 'on', '>p@ss', '~*', '&*', '+@all'],
      lines: ['user gateway on >other +@all allchannels'],
    });
    const registry = { url: site.url('app:p%40ss@'), sentinelUser: 'gateway', sentinelPassword: 'other', leaseSeconds: LEASE };
    const { fn, gateways } = await startFleet(t, { registry });
    const load = await startLoad(t, { fn, gateways });
    await site.primary.kill();
    const took = await load.settle('pushes after the fail-over');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
    // The new primary knows every row: who dies now is told of.
    const rows = async () => Promise.all(gateways.map(async (g) => (await g.metrics()).find((s) => s.name === 'tidegate_registry_rows_clean')?.value));
    await waitFor(async () => (await rows()).every((v) => v === 1), { what: 'rows in line' });
    await gateways[0].kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateways[0]).map((c) => c.id), 2 * LEASE * 1000 + 5000);
  });

  test('the primary hangs, another is promoted, it comes back as a replica', async (t) => {
    const site = await startSentinels(t);
    const { fn, gateways } = await startFleet(t, { registry: { url: site.url(), leaseSeconds: LEASE } });
    const load = await startLoad(t, { fn, gateways });
    site.primary.pause();
    const took = await load.settle('pushes after the fail-over');
    site.primary.resume();
    await waitFor(async () => (await site.primary.command('ROLE').catch(() => '')).includes('slave'), { timeout: 30000, what: 'the old primary as a replica' });
    await load.settle('pushes with the old primary back');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
  });

  test('a fail-over that is asked for, with one Sentinel gone', async (t) => {
    const site = await startSentinels(t);
    await site.sentinels[0].kill();
    const { fn, gateways } = await startFleet(t, { registry: { url: site.url(), leaseSeconds: LEASE } });
    const load = await startLoad(t, { fn, gateways });
    assert.match(await site.sentinels[1].command('SENTINEL', 'FAILOVER', 'main'), /^\+OK/);
    await waitFor(async () => (await site.primary.command('ROLE')).includes('slave'), { timeout: 30000, what: 'the fail-over' });
    await load.settle('pushes after the fail-over');
    await load.stop();
  });

  test('what cannot be found is said', async (t) => {
    const site = await startSentinels(t, { replicas: 0 });
    const fn = await startLambda(t, { app: echo });
    const start = (url) =>
      startGateway(t, { functions: fn.table('app'), apis: [appApi()], registry: { type: 'redis', url, leaseSeconds: LEASE, probeIntervalSeconds: 0.1 } }, { ready: false });
    const says = (gateway, pattern) =>
      waitFor(async () => {
        const { status, text } = await gateway.admin('/readyz').catch(() => ({}));
        return status === 503 && pattern.test(text);
      }, { what: String(pattern) });
    await says(await start(site.url().replace('/main', '/other')), /Sentinel 127\.0\.0\.1:\d+: it does not know the service/);
    await says(await start(site.url('').replace(/:\d+/g, ':1')), /Sentinel 127\.0\.0\.1:1: connection refused/i);
  });
});
