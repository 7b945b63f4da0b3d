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

// With tls, a pair of an authority for 127.0.0.1 and its file, the servers speak TLS to each other and, at `address`, to clients;
// the test's own commands go to another port of each.
export async function startCluster(owner, { primaries = 3, timeout = 1000, login = '', redisArgs = [], tls } = {}) {
  const args = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', String(timeout), '--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0'];
  const servers = [];
  for (let i = 0; i < 2 * primaries; i++) {
    // The bus at a free port too: by default it is at the other and 10000.
    const bus = await freePort();
    const secure = tls && String(await freePort());
    const more = tls ? ['--tls-port', secure, '--tls-cert-file', tls.pair.certFile, '--tls-key-file', tls.pair.keyFile, '--tls-ca-cert-file', tls.caFile, '--tls-auth-clients', 'no', '--tls-cluster', 'yes', '--tls-replication', 'yes'] : [];
    const server = await startRedis(owner, { args: [...args, '--cluster-port', String(bus), ...more, ...redisArgs] });
    server.bus = bus;
    server.address = secure ?? String(server.port);
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
  for (const server of servers.slice(1)) await ok(servers[0], 'CLUSTER', 'MEET', '127.0.0.1', server.address, String(server.bus));
  const knowAll = async (server) => (await server.command('CLUSTER', 'INFO')).includes(`cluster_known_nodes:${servers.length}`);
  for (const server of servers) await waitFor(() => knowAll(server), { timeout: 30000, what: 'a Cluster that knows itself' });
  for (const [i, replica] of servers.slice(primaries).entries()) {
    await waitFor(() => ok(replica, 'CLUSTER', 'REPLICATE', heads[i].id).then(() => true, () => false), { timeout: 30000, what: 'a replica' });
  }
  const cluster = { servers, heads, url: `${tls ? 'rediss' : 'redis'}+cluster://${login}${servers.slice(0, 2).map((s) => `127.0.0.1:${s.address}`).join(',')}` };
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
  // Moves a slot with all its keys, as redis-cli --cluster reshard does. half: called when those of `first` are there.
  cluster.move = async (slot, from, to, half = async () => {}, first = () => true) => {
    const carry = async (wanted) => {
      for (;;) {
        const keys = (await from.command('CLUSTER', 'GETKEYSINSLOT', String(slot), '100')).split('\r\n').filter((line) => line.startsWith('tidegate:') && wanted(line));
        if (keys.length === 0) break;
        const raw = await from.command('MIGRATE', '127.0.0.1', to.address, '', '0', '5000', 'KEYS', ...keys);
        if (!/^\+(OK|NOKEY)/.test(raw)) throw new Error(`MIGRATE: ${raw}`);
      }
    };
    await ok(to, 'CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', from.id);
    await ok(from, 'CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', to.id);
    await carry(first);
    await half();
    await carry(() => true);
    await ok(to, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', to.id);
    await ok(from, 'CLUSTER', 'SETSLOT', String(slot), 'NODE', to.id);
  };
  // The replica of the head's takes its place; the head lives on as a replica. They change names.
  cluster.failover = async (at, ...how) => {
    const old = heads[at];
    const next = servers[primaries + at];
    await ok(next, 'CLUSTER', 'FAILOVER', ...how);
    await waitFor(async () => (await old.command('ROLE')).includes('slave'), { timeout: 30000, what: 'the old primary as a replica' });
    heads[at] = next;
    servers[primaries + at] = old;
    servers[at] = next;
  };
  return cluster;
}
