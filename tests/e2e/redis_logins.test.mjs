// Every way into a Redis that a registry URL can say, as an operator sets it (docs/cluster.md, "What Redis must be"): logins,
// databases, unix sockets, TLS; and what is said where it is wrong. Real redis-servers.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { makeAuthority } from './lib/certificates.mjs';
import { join } from './lib/client.mjs';
import { appApi, UNTHROTTLED } from './lib/config.mjs';
import { assertOneEach, disconnects, status } from './lib/fleet.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { REDIS, startRedis } from './lib/redis.mjs';
import { waitFor } from './lib/wait.mjs';

const options = { skip: REDIS ? false : 'redis-server is not installed' };
const LEASE = 2; // seconds
const SECRETS = ['hunter2/@:%', 'other-secret'];
const [PASSWORD, OTHER] = SECRETS;
const escaped = encodeURIComponent(PASSWORD);

// The rights that operators are told to give, from the page that tells them.
const page = fs.readFileSync(new URL('../../docs/cluster.md', import.meta.url), 'utf8');
const [, rights, keys, channels] = /an ACL user with\s+`([^`]+)` on `([^`]+)` and `([^`]+)`/.exec(page);
const USER = ['--user', 'app', 'on', `>${PASSWORD}`, keys, channels, ...rights.split(' ')];

function config(fn, registry) {
  return {
    functions: fn.table('app'),
    apis: [appApi({ settings: { disconnectRetryMillis: 50, closeTimeoutSeconds: 1 } })],
    registry: { type: 'redis', cluster: 'test', leaseSeconds: LEASE, probeIntervalSeconds: 0.1, reconnectMinMillis: 10, reconnectMaxMillis: 50, ...registry },
    management: { auth: 'none', pushTimeoutMillis: 1000 },
    throttling: UNTHROTTLED,
    workers: 1,
  };
}

const start = (t, fn, registry, more) => startGateway(t, config(fn, registry), more);
const sample = async (gateway, name) => (await gateway.metrics()).find((s) => s.name === name)?.value;

// What /readyz says of the trouble, in the log as well, and no secret in either.
async function says(gateway, pattern) {
  const text = await waitFor(async () => {
    const answer = await gateway.admin('/readyz').catch(() => undefined);
    return answer?.status === 503 && pattern.test(answer.text) ? answer.text : undefined;
  }, { timeout: 30000, what: `/readyz to say ${pattern}` }).catch(async (error) => assert.fail(`${error.message}, but ${(await gateway.admin('/readyz')).text}`));
  await waitFor(() => pattern.test(gateway.log()), { timeout: 30000, what: 'the log to say it too' });
  for (const said of [text, gateway.log()]) for (const secret of [...SECRETS, escaped]) assert.ok(!said.includes(secret), said);
}

// One client, its row in Redis, and a push to it.
async function works(t, fn, gateway) {
  const client = await join(t, gateway, fn);
  assert.equal(await status(gateway, client.id), 200);
  assert.equal(await client.next(), 'hello');
  return client;
}

const untilReady = (gateway) => waitFor(async () => (await gateway.admin('/readyz')).status === 200, { what: 'readiness' });

describe('logins', options, () => {
  test('an ACL user with the documented rights, for the whole life of a cluster', async (t) => {
    const redis = await startRedis(t, { args: [...USER, '--user', 'default', 'off'] });
    const fn = await startLambda(t, { app: echo });
    const url = `redis://app:${escaped}@127.0.0.1:${redis.port}`;
    const [a, b, c] = await Promise.all([1, 2, 3].map(() => start(t, fn, { url })));
    const clients = await Promise.all([a, b, c].map((gateway) => join(t, gateway, fn)));
    for (const gateway of [a, b, c]) for (const client of clients) await waitFor(async () => (await status(gateway, client.id)) === 200, { what: 'a push' });
    await c.kill();
    await assertOneEach(fn, [clients[2].id], 2 * LEASE * 1000 + 8000);
    await waitFor(async () => (await status(a, clients[2].id)) === 410, { what: '410' });
    // Redis forgets everything: rows and leases are written anew.
    redis.admin('FLUSHALL');
    const rows = () => Number(redis.admin('EVAL', "local n = 0 for _, k in ipairs(redis.call('KEYS', 'tidegate:*:rows:*')) do n = n + redis.call('HLEN', k) end return n", '0'));
    await waitFor(() => rows() === 2, { what: 'the rows to be written anew' });
    await a.stop();
    assert.equal(disconnects(fn, clients[0].id).length, 1);
    assert.equal(await status(b, clients[0].id), 410);
    assert.equal(await status(b, clients[1].id), 200);
    assert.equal(await sample(b, 'tidegate_redis_errors_total'), 0);
    assert.equal(redis.admin('ACL', 'LOG').trim(), '', 'something was denied');
    assert.match(redis.admin('ACL', 'LIST'), /user default off/);
  });

  test('a right that is missing is named', async (t) => {
    const redis = await startRedis(t, { args: [...USER, '--user', 'poor', 'on', `>${PASSWORD}`, keys, channels, ...rights.split(' '), '-hsetnx', '--user', 'blind', 'on', `>${PASSWORD}`, '~other:*', channels, ...rights.split(' ')] });
    const fn = await startLambda(t, { app: echo });
    const url = (user) => `redis://${user}:${escaped}@127.0.0.1:${redis.port}`;
    await says(await start(t, fn, { url: url('poor') }, { ready: false }), /NOPERM .*hsetnx/);
    await says(await start(t, fn, { url: url('blind') }, { ready: false }), /NOPERM .*key/);
  });

  test('a Redis that takes no writes is said', async (t) => {
    const redis = await startRedis(t);
    const fn = await startLambda(t, { app: echo });
    redis.admin('CONFIG', 'SET', 'maxmemory', '1');
    const gateway = await start(t, fn, { url: redis.url }, { ready: false });
    await says(gateway, /OOM command not allowed/);
    redis.admin('CONFIG', 'SET', 'maxmemory', '0');
    await untilReady(gateway);
    const client = await works(t, fn, gateway);
    redis.admin('CONFIG', 'SET', 'min-replicas-to-write', '1');
    assert.equal((await client.ended(LEASE * 1000 + 5000)).code, 1012);
    assert.match(gateway.log(), /lease lost.*Redis denies a command: NOREPLICAS/);
    await says(gateway, /Redis denies a command: NOREPLICAS/);
    redis.admin('CONFIG', 'SET', 'min-replicas-to-write', '0');
    await untilReady(gateway);
  });

  test('a wrong password is said, and set right while the gateway tries', async (t) => {
    const redis = await startRedis(t, { args: ['--user', 'default', 'on', `>${OTHER}`, '~*', '&*', '+@all', '--user', 'app', 'on', `>${OTHER}`, keys, channels, ...rights.split(' ')] });
    const fn = await startLambda(t, { app: echo });
    const at = `127.0.0.1:${redis.port}`;
    const [named, unnamed, none] = await Promise.all(
      [`redis://app:${escaped}@${at}`, `redis://:${escaped}@${at}`, `redis://${at}`].map((url, i) => start(t, fn, { url, cluster: `c${i}` }, { ready: false })),
    );
    for (const gateway of [named, unnamed]) await says(gateway, /the server refused the greeting: WRONGPASS invalid username-password pair/);
    await says(none, /the server refused the greeting: NOAUTH Authentication required/);
    for (const user of ['app', 'default']) redis.admin('ACL', 'SETUSER', user, `>${PASSWORD}`);
    for (const gateway of [named, unnamed]) {
      await untilReady(gateway);
      await works(t, fn, gateway);
    }
  });

  test('a password alone, a database, a unix socket', async (t) => {
    const redis = await startRedis(t, { args: ['--requirepass', PASSWORD, ...USER] });
    const fn = await startLambda(t, { app: echo });
    const file = path.join(tempDir(t), 'url');
    fs.writeFileSync(file, `redis://:${escaped}@localhost:${redis.port}\n`);
    const forms = [
      [{ url: `redis://:${PASSWORD.replace('%', '%25')}@127.0.0.1:${redis.port}` }, 0],
      [{ urlFile: file }, 0],
      [{ url: `redis://app:${escaped}@127.0.0.1:${redis.port}/3` }, 3],
      [{ url: `unix://:${escaped}@${redis.socket}` }, 0],
      [{ url: `redis+unix://app:${escaped}@${redis.socket}?db=5` }, 5],
    ];
    await Promise.all(
      forms.map(async ([registry, database], i) => {
        const gateway = await start(t, fn, { ...registry, cluster: `form${i}` });
        const client = await works(t, fn, gateway);
        const node = await sample(gateway, 'tidegate_cluster_node');
        const key = `tidegate:{form${i}${database ? `/${database}` : ''}:${node}}:rows:0`;
        await waitFor(() => redis.admin('-n', String(database), 'HEXISTS', key, client.id).trim() === '1', { what: `${key} in database ${database}` });
        assert.ok(!gateway.log().includes(PASSWORD) && !gateway.log().includes(escaped));
      }),
    );
    assert.deepEqual([...redis.admin('INFO', 'keyspace').matchAll(/^db(\d+)/gm)].map((m) => m[1]).sort(), ['0', '3', '5']);
  });
});

describe('TLS', options, () => {
  test('the server is verified; what fails is said', async (t) => {
    const authority = makeAuthority(t);
    const stranger = makeAuthority(t);
    const redis = await startRedis(t, { args: USER, tls: { authority, pair: authority.issue('DNS:localhost', 'DNS:redis.example', 'IP:127.0.0.1') } });
    const strict = await startRedis(t, { tls: { authority, pair: authority.issue('DNS:other.example'), clients: 'yes' } });
    const fn = await startLambda(t, { app: echo });
    const url = (host, server = redis) => `rediss://app:${escaped}@${host}:${server.tlsPort}/1`;
    const good = [
      { url: url('127.0.0.1'), tlsConfig: { caFile: authority.file } },
      { url: url('localhost'), tlsConfig: { caFile: authority.file } },
      { url: url('127.0.0.1'), tlsConfig: { caFile: authority.file, serverNameToVerify: 'redis.example' } },
    ];
    await Promise.all(good.map(async (registry, i) => works(t, fn, await start(t, fn, { ...registry, cluster: `good${i}` }))));
    const bad = [
      [{ url: url('127.0.0.1'), tlsConfig: { caFile: stranger.file } }, /TLS to the server failed: .*certificate/],
      [{ url: url('127.0.0.1') }, /TLS to the server failed: .*certificate/],
      [{ url: url('127.0.0.1'), tlsConfig: { caFile: authority.file, serverNameToVerify: 'x.example' } }, /TLS to the server failed: hostname mismatch/],
      [{ url: url('127.0.0.1', strict), tlsConfig: { caFile: authority.file, serverNameToVerify: 'other.example' } }, /TLS to the server failed: .*certificate required/],
      [{ url: `rediss://app:${escaped}@127.0.0.1:${redis.port}`, tlsConfig: { caFile: authority.file }, connectTimeoutMillis: 500 }, /no connection in time: does this port speak TLS/],
      [{ url: `redis://app:${escaped}@127.0.0.1:${redis.tlsPort}` }, /closed the connection instead of answering: does this port expect TLS/],
    ];
    await Promise.all(bad.map(async ([registry, pattern], i) => says(await start(t, fn, { ...registry, cluster: `bad${i}` }, { ready: false }), pattern)));
  });
});

describe('tidegate check', () => {
  test('says what is wrong with a URL, and where', async (t) => {
    const dir = tempDir(t);
    const fn = await startLambda(t, { app: echo });
    const check = async (registry) => {
      const file = path.join(dir, 'tidegate.json');
      fs.writeFileSync(file, JSON.stringify({ ...config(fn, registry), listeners: [{ address: '127.0.0.1:0' }] }));
      return run(['check', file]);
    };
    const rows = [
      [{ url: `redis://${PASSWORD.replace('@', '')}@` }, /registry\.url: the host is missing/],
      [{ url: `redis://${OTHER}@h` }, /registry\.url: before the @ stands user:password/],
      [{ url: 'redis+sentinel://a,b:x/main' }, /registry\.url: server 2 of the list: the port/],
      [{ url: 'rediss://h', tlsConfig: { caFile: path.join(dir, 'none.pem') } }, /registry\.tlsConfig\.caFile: .*none\.pem/],
    ];
    for (const [registry, pattern] of rows) {
      const { code, output } = await check(registry);
      assert.notEqual(code, 0);
      assert.match(output, pattern);
      assert.match(output, /tidegate\.json:1: /);
      for (const secret of SECRETS) assert.ok(!output.includes(secret), output);
    }
  });
});
