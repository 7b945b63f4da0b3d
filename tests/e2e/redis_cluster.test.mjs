// The registry in a Redis Cluster: slots that move and primaries that die under load, and every connection kept
// (docs/cluster.md). Real servers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertOneEach, startFleet, startLoad } from './lib/fleet.mjs';
import { REDIS } from './lib/redis.mjs';
import { slotOf, startCluster } from './lib/rediscluster.mjs';
import { waitFor } from './lib/wait.mjs';

const LEASE = 8; // seconds: a fail-over fits into the half of it that is left for certain
const options = { skip: REDIS ? false : 'redis-server is not installed' };

async function fleet(t, more) {
  const cluster = await startCluster(t);
  const { fn, gateways } = await startFleet(t, { registry: { url: cluster.url, leaseSeconds: LEASE }, ...more });
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
    assert.match(keys, /^:[23]\r\n/, 'a lease and the rows of two workers');
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
});
