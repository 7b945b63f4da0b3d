// A Redis Cluster of the test's own: primaries with a replica each, on free ports of 127.0.0.1.
import { freePort } from './ports.mjs';
import { startRedis } from './redis.mjs';
import { waitFor } from './wait.mjs';

// CRC-16/XMODEM of what stands between the braces.
export function slotOf(key) {
  const text = /\{([^}]+)\}/.exec(key)?.[1] ?? key;
  let crc = 0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
  }
  return crc % 16384;
}

const value = (raw) => raw.slice(raw.indexOf('\r\n') + 2).replace(/\r\n$/, '');
const ok = async (server, ...words) => {
  const raw = await server.command(...words);
  if (!raw.startsWith('+OK')) throw new Error(`${words.join(' ')}: ${raw}`);
};

export async function startCluster(owner, { primaries = 3, timeout = 1000 } = {}) {
  const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', String(timeout), '--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0'];
  const servers = [];
  for (let i = 0; i < 2 * primaries; i++) {
    // The bus at a free port too: by default it is at the other and 10000.
    const bus = await freePort();
    const server = await startRedis(owner, { args: [...args, '--cluster-port', String(bus)] });
    server.bus = bus;
    server.id = value(await server.command('CLUSTER', 'MYID'));
    servers.push(server);
  }
  const heads = servers.slice(0, primaries);
  for (const [i, head] of heads.entries()) {
    const first = Math.floor((16384 * i) / primaries);
    const last = Math.floor((16384 * (i + 1)) / primaries) - 1;
    await ok(head, 'CLUSTER', 'ADDSLOTSRANGE', String(first), String(last));
    await ok(head, 'CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
  }
  for (const server of servers.slice(1)) await ok(servers[0], 'CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(server.bus));
  const knowAll = async (server) => (await server.command('CLUSTER', 'INFO')).includes(`cluster_known_nodes:${servers.length}`);
  for (const server of servers) await waitFor(() => knowAll(server), { timeout: 30000, what: 'a Cluster that knows itself' });
  for (const [i, replica] of servers.slice(primaries).entries()) {
    await waitFor(() => ok(replica, 'CLUSTER', 'REPLICATE', heads[i].id).then(() => true, () => false), { timeout: 30000, what: 'a replica' });
  }
  const cluster = { servers, heads, url: `redis+cluster://${servers.slice(0, 2).map((s) => `127.0.0.1:${s.port}`).join(',')}` };
  cluster.settled = async () => {
    for (const server of servers.filter((s) => s.child)) {
      await waitFor(async () => (await server.command('CLUSTER', 'INFO').catch(() => '')).includes('cluster_state:ok'), { timeout: 30000, what: 'cluster_state:ok' });
    }
  };
  await cluster.settled();
  for (const replica of servers.slice(primaries)) {
    await waitFor(async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'), { timeout: 30000, what: 'a replica in step' });
  }
  cluster.ownerOf = (slot) => heads.findIndex((_, i) => slot < Math.floor((16384 * (i + 1)) / primaries));
  // Moves a slot with all its keys, as redis-cli --cluster reshard does. half: called between the keys and the end.
  cluster.move = async (slot, from, to, half = async () => {}) => {
    await ok(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', from.id);
    await ok(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', to.id);
    for (;;) {
      const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')).split('\r\n').filter((line) => line.startsWith('tidegate:'));
      if (keys.length === 0) break;
      const raw = await from.command('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys);
      if (!/^\+(OK|NOKEY)/.test(raw)) throw new Error(`MIGRATE: ${raw}`);
    }
    await half();
    await ok(to, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', to.id);
    await ok(from, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', to.id);
  };
  return cluster;
}
