// The registry at the primary that Sentinels name: found, followed through fail-overs under load, and every
// connection kept (docs/cluster.md). Real redis-servers and Sentinels.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, test } from 'node:test';
import { appApi } from './lib/config.mjs';
import { assertOneEach, startFleet, startLoad } from './lib/fleet.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { makeAuthority } from './lib/certificates.mjs';
import { REDIS, startRedis } from './lib/redis.mjs';
import { startLoneSentinel, startSentinels } from './lib/sentinel.mjs';
import { waitFor } from './lib/wait.mjs';

const LEASE = 8; // seconds: a fail-over fits into the half of it that is left for certain
// What docs/cluster.md tells operators to give to the user at the server.
const page = fs.readFileSync(new URL('../../docs/cluster.md', import.meta.url), 'utf8');
const [, rights, keys, channels] = /an ACL user with\s+`([^`]+)` on `([^`]+)` and `([^`]+)`/.exec(page);
const RIGHTS = [keys, channels, ...rights.split(' '), '+role'];
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

  test('Sentinels that name a replica, or a server that is gone, hide no other', async (t) => {
    const site = await startSentinels(t, { replicas: 1 });
    // Of the same name, but another's: nobody agrees with them, and they never learn better.
    const alien = await startRedis(t);
    const replica = await startRedis(t, { args: ['--replicaof', '127.0.0.1', String(alien.port)] });
    const gone = await startRedis(t, { start: false });
    const strays = [await startLoneSentinel(t, replica), await startLoneSentinel(t, gone)];
    const [first, ...rest] = site.sentinels;
    const url = site.url('', [strays[0], first, strays[1], ...rest]);
    const { fn, gateways } = await startFleet(t, { registry: { url, leaseSeconds: LEASE } });
    const load = await startLoad(t, { fn, gateways });
    // Who asked it goes on to the second stray: what works is not left on its word.
    await first.kill();
    const looks = async () => Promise.all(gateways.map(async (g) => (await g.metrics()).find((s) => s.name === 'tidegate_redis_commands_total').value));
    const before = await looks();
    await waitFor(async () => (await looks()).every((n, i) => n > before[i] + 100), { what: 'some looks more' });
    assert.deepEqual([...load.statuses.keys()], [200], `before the fail-over: ${JSON.stringify([...load.statuses])}`);
    await site.primary.kill();
    const took = await load.settle('pushes after the fail-over');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
  });

  test('a Sentinel that slept through the fail-over', async (t) => {
    const site = await startSentinels(t);
    const { fn, gateways } = await startFleet(t, { registry: { url: site.url(), leaseSeconds: LEASE } });
    const load = await startLoad(t, { fn, gateways });
    process.kill(site.sentinels[0].child.pid, 'SIGSTOP');
    await site.primary.kill();
    const took = await load.settle('pushes after the fail-over');
    // The others go away one after another: the one that slept is asked at last.
    process.kill(site.sentinels[0].child.pid, 'SIGCONT');
    await site.sentinels[1].kill();
    await site.sentinels[2].kill();
    await load.settle('pushes with one Sentinel');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
  });

  test('TLS to Sentinels and servers, with logins at both, through a fail-over', async (t) => {
    const authority = makeAuthority(t);
    const tls = { authority, pair: authority.issue('IP:127.0.0.1') };
    const site = await startSentinels(t, {
      tls,
      redisArgs: ['--user', 'app', 'on', '>p@ss', ...RIGHTS],
      lines: ['user gateway on >other +auth +ping +sentinel|get-master-addr-by-name'],
    });
    const registry = { url: site.url('app:p%40ss@'), sentinelUser: 'gateway', sentinelPassword: 'other', tlsConfig: { caFile: authority.file }, leaseSeconds: LEASE };
    const { fn, gateways } = await startFleet(t, { registry });
    const load = await startLoad(t, { fn, gateways });
    await site.primary.kill();
    const took = await load.settle('pushes after the fail-over');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
    for (const gateway of gateways) assert.doesNotMatch(gateway.log(), /NOPERM/);
  });

  test('what cannot be found is said', async (t) => {
    const site = await startSentinels(t, { replicas: 0 });
    const fn = await startLambda(t, { app: echo });
    const start = (registry) =>
      startGateway(t, { functions: fn.table('app'), apis: [appApi()], registry: { type: 'redis', ...registry, leaseSeconds: LEASE, probeIntervalSeconds: 0.1 } }, { ready: false });
    const says = (gateway, pattern) =>
      waitFor(async () => {
        const { status, text } = await gateway.admin('/readyz').catch(() => ({}));
        return status === 503 && pattern.test(text);
      }, { what: String(pattern) });
    await says(await start({ url: site.url().replace('/main', '/other') }), /Sentinel 127\.0\.0\.1:\d+: it does not know the service/);
    // A login at the Sentinels that is wrong, or lacks the right.
    for (const sentinel of site.sentinels) {
      await sentinel.command('ACL', 'SETUSER', 'gateway', 'on', '>other', '+auth', '+ping');
    }
    const at = (sentinelPassword) => ({ url: site.url(), sentinelUser: 'gateway', sentinelPassword });
    await says(await start(at('nope')), /Sentinel 127\.0\.0\.1:\d+: the server refused the greeting: WRONGPASS/);
    await says(await start(at('other')), /Sentinel 127\.0\.0\.1:\d+: NOPERM/);
    await says(await start({ url: site.url('').replace(/:\d+/g, ':1') }), /Sentinel 127\.0\.0\.1:1: connection refused/i);
  });
});
