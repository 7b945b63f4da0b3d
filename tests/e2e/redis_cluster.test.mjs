// The registry in a Redis Cluster: slots that move and primaries that die under load, and every connection kept
// (docs/cluster.md). Real servers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeAuthority } from './lib/certificates.mjs';
import { join } from './lib/client.mjs';
import { assertOneEach, startFleet, startLoad } from './lib/fleet.mjs';
import { REDIS } from './lib/redis.mjs';
import { slotOf, startCluster } from './lib/rediscluster.mjs';
import { waitFor } from './lib/wait.mjs';

const LEASE = 8; // seconds: a fail-over fits into the half of it that is left for certain
const options = { skip: REDIS ? false : 'redis-server is not installed' };

async function fleet(t, more = {}, servers = {}) {
  const cluster = await startCluster(t, servers);
  const { fn, gateways } = await startFleet(t, { ...more, registry: { url: cluster.url, leaseSeconds: LEASE, ...more.registry } });
  // Numbers of nodes, as their logs say.
  for (const gateway of gateways) {
    gateway.number = await waitFor(() => /"joined the cluster".*?"node":(\d+)/.exec(gateway.log())?.[1], { what: 'a number' });
    gateway.slot = slotOf(`tidegate:{test:${gateway.number}}:lease`);
  }
  return { cluster, fn, gateways };
}

describe('Redis Cluster', options, () => {
  test('pushes through any node; one that dies is told of', async (t) => {
    const { cluster, fn, gateways } = await fleet(t);
    const load = await startLoad(t, { fn, gateways });
    await load.stop();
    // Its keys lie together, at the server that has their slot.
    const [victim] = gateways;
    const keys = await cluster.heads[cluster.ownerOf(victim.slot)].command('CLUSTER', 'COUNTKEYSINSLOT', String(victim.slot));
    assert.match(keys, /^:[34]\r\n/, 'a lease, that it is known, and the rows of two workers');
    await victim.kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === victim).map((c) => c.id), 2 * LEASE * 1000 + 5000);
  });

  test('slots move: a node\'s own, and that of the index', async (t) => {
    const { cluster, fn, gateways } = await fleet(t);
    const load = await startLoad(t, { fn, gateways });
    for (const slot of [gateways[0].slot, gateways[1].slot, slotOf('tidegate:{test}:nodes')]) {
      const at = cluster.ownerOf(slot);
      const from = cluster.heads[at];
      const to = cluster.heads[(at + 1) % 3];
      // A slot that is half moved for a while: the lease is kept, and pushes go on.
      await cluster.move(slot, from, to, () => load.settle('pushes with a slot half moved'));
      await load.settle('pushes with the slot moved');
    }
    const statuses = await load.stop();
    t.diagnostic(JSON.stringify([...statuses]));
    await waitFor(async () => {
      const samples = await gateways[0].metrics();
      return samples.find((s) => s.name === 'tidegate_registry_rows_clean')?.value === 1;
    }, { what: 'rows in line' });
    await gateways[0].kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateways[0]).map((c) => c.id), 2 * LEASE * 1000 + 5000);
  });

  test('a primary is killed and its replica promoted: no connection is lost', async (t) => {
    const { cluster, fn, gateways } = await fleet(t);
    const load = await startLoad(t, { fn, gateways });
    const dead = cluster.heads[cluster.ownerOf(gateways[0].slot)];
    await dead.kill();
    const took = await load.settle('pushes after the fail-over');
    const statuses = await load.stop();
    t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}`);
    // What the promoted one has is enough to tell of a death.
    await gateways[0].kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateways[0]).map((c) => c.id), 3 * LEASE * 1000 + 5000);
  });

  // The lease has moved, the rows have not: whoever touches both is told to try again for a long while.
  test('a slot that is half moved keeps rows waiting, and no push', async (t) => {
    const { cluster, fn, gateways } = await fleet(t);
    const [gateway] = gateways;
    await join(t, gateway, fn);
    const metric = async (name) => (await gateway.metrics()).filter((s) => s.name === name).reduce((sum, s) => sum + s.value, 0);
    const from = cluster.heads[cluster.ownerOf(gateway.slot)];
    const to = cluster.heads[(cluster.ownerOf(gateway.slot) + 1) % 3];
    const half = async () => {
      // Letters to itself are all that is published in this slot, and they come back.
      for (let i = 0; i < 30; i++) {
        await join(t, gateway, fn);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal(await metric('tidegate_registry_rows_clean'), 0, 'rows wait');
    };
    await cluster.move(gateway.slot, from, to, half, (key) => key.endsWith(':lease'));
    assert.equal(await metric('tidegate_cluster_stalls_total'), 0, 'inboxes that were opened anew');
    await waitFor(async () => (await metric('tidegate_registry_rows_clean')) === 1, { what: 'rows in line' });
  });

  // No more rights than docs/cluster.md asks for, in all that a Cluster does.
  test('TLS, and a user with few rights: a slot moves, a primary is replaced, a node dies', async (t) => {
    const authority = makeAuthority(t);
    const tls = { pair: authority.issue('IP:127.0.0.1'), caFile: authority.file };
    const rights = '+@connection +@pubsub +@hash +@string +@keyspace +@scripting +time +cluster|info +cluster|slots';
    const redisArgs = ['--user', 'app', 'on', '>p@ss', '~tidegate:*', '&tidegate:*', ...rights.split(' ')];
    const { cluster, fn, gateways } = await fleet(t, { registry: { tlsConfig: { caFile: authority.file } } }, { tls, redisArgs, login: 'app:p%40ss@' });
    const load = await startLoad(t, { fn, gateways });
    const at = cluster.ownerOf(gateways[0].slot);
    await cluster.move(gateways[0].slot, cluster.heads[at], cluster.heads[(at + 1) % 3], () => load.settle('pushes with a slot half moved'));
    await cluster.failover(cluster.ownerOf(gateways[1].slot));
    await load.settle('pushes after the fail-over');
    t.diagnostic(JSON.stringify([...(await load.stop())]));
    for (const server of cluster.servers) {
      assert.match(await server.command('ACL', 'LOG'), /^\*0\r\n/, 'what the user was refused');
      const clients = await server.command('CLIENT', 'LIST');
      assert.ok(!clients.split('\n').some((line) => line.includes('user=app') && line.includes(`laddr=127.0.0.1:${server.port} `)), 'without TLS');
    }
    for (const gateway of gateways) assert.doesNotMatch(gateway.log(), /NOPERM|Redis refused/);
    await cluster.settled();
    await gateways[0].kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateways[0]).map((c) => c.id), 3 * LEASE * 1000 + 5000);
  });

  test('a primary loses its memory: no node that is there is taken for dead', async (t) => {
    const { cluster, fn, gateways } = await fleet(t);
    const at = cluster.ownerOf(slotOf('tidegate:{test}:nodes'));
    // A node whose keys are elsewhere than the index.
    let gateway = gateways.find((g) => cluster.ownerOf(g.slot) !== at);
    const home = gateway ? cluster.ownerOf(gateway.slot) : (at + 1) % 3;
    if (!gateway) {
      [gateway] = gateways;
      await cluster.move(gateway.slot, cluster.heads[at], cluster.heads[home]);
    }
    const load = await startLoad(t, { fn, gateways });
    const rows = async () => {
      const counts = await Promise.all([0, 1].map((worker) => cluster.heads[home].command('HLEN', `tidegate:{test:${gateway.number}}:rows:${worker}`)));
      return counts.reduce((sum, raw) => sum + Number(raw.slice(1)), 0);
    };
    // All have seen Redis for a whole lease, and would claim who has none.
    const start = Date.now();
    await waitFor(() => Date.now() - start > LEASE * 1000, { timeout: 2 * LEASE * 1000, what: 'a lease' });
    for (let i = 0; i < 6; i++) {
      assert.equal(await rows(), 4);
      await cluster.heads[home].command('FLUSHALL');
      await waitFor(async () => (await rows()) === 4, { what: 'rows written anew' });
    }
    await load.stop();
    for (const g of gateways) {
      const samples = await g.metrics();
      for (const name of ['tidegate_cluster_leases_lost_total', 'tidegate_takeovers_total']) {
        assert.equal(samples.find((s) => s.name === name)?.value, 0, name);
      }
    }
    await gateway.kill();
    await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateway).map((c) => c.id), 3 * LEASE * 1000 + 5000);
  });

  // As operators change primaries: the old one lives on, and still takes subscriptions and what is published. The looks at
  // who has which slots are far apart: what is found out is found out from the servers' answers.
  for (const how of [[], ['FORCE'], ['TAKEOVER']]) {
    test(`CLUSTER FAILOVER ${how}: primaries that live on as replicas`, async (t) => {
      const { cluster, fn, gateways } = await fleet(t, { registry: { probeIntervalSeconds: 4 } });
      const load = await startLoad(t, { fn, gateways });
      const took = [];
      for (let at = 0; at < 3; at++) {
        await cluster.failover(at, ...how);
        took.push(await load.settle('pushes after the fail-over', { times: 5 }));
      }
      const settled = Date.now();
      await load.settle('pushes after all of them', { times: 20 });
      const statuses = await load.stop();
      const { all, got, gotAtOnce } = load.refused();
      t.diagnostic(`recovered in ${took} ms; ${JSON.stringify([...statuses])}; 503 and received ${got.length}, at once ${gotAtOnce.length}`);
      assert.deepEqual(all.filter((r) => r.at >= settled), [], 'answered 503 after the settling');
      assert.deepEqual(gotAtOnce, [], 'told at once that it did not arrive, and received');
      await cluster.settled();
      await gateways[0].kill();
      await assertOneEach(fn, load.clients.filter((c) => c.gateway === gateways[0]).map((c) => c.id), 3 * LEASE * 1000 + 5000);
    });
  }
});
