// A primary, replicas and Sentinels of the test's own.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { startRedis, tlsArgs } from './redis.mjs';
import { onEnd } from './scope.mjs';
import { waitFor } from './wait.mjs';
import { ask } from './resp.mjs';

// Arguments of a command line as lines of a file.
function lines(...args) {
  const words = args.flat();
  return words.flatMap((word, i) => (word.startsWith('--') ? [`${word.slice(2)} ${words[i + 1]}`] : []));
}

// The port where others reach it.
const portOf = (server) => server.tlsPort ?? server.port;

async function startSentinel(owner, primary, more, tls) {
  const port = await freePort();
  const tlsPort = tls ? await freePort() : undefined;
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-e2e-sentinel-'));
  const file = path.join(dir, 'sentinel.conf');
  fs.writeFileSync(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      ...(tls ? lines(tlsArgs(tlsPort, tls), ['--tls-replication', 'yes']) : []),
      `sentinel monitor main 127.0.0.1 ${portOf(primary)} 2`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 3000',
      'sentinel parallel-syncs main 2',
      ...more,
      '',
    ].join('\n'),
  );
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.on('close', resolve));
  const sentinel = { port, tlsPort, command: (...words) => ask(port, words), child };
  sentinel.kill = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  onEnd(owner, async () => {
    await sentinel.kill();
    fs.rmSync(dir, { recursive: true, force: true });
  });
  return sentinel;
}

// One alone, which calls that server "main".
export const startLoneSentinel = (owner, server) => startSentinel(owner, server, []);

// tls: {authority, pair}: servers and Sentinels talk to each other, and are to be talked to, with TLS.
export async function startSentinels(owner, { replicas = 2, sentinels = 3, redisArgs = [], lines: more = [], tls } = {}) {
  const common = [...redisArgs, ...(tls ? ['--tls-replication', 'yes'] : [])];
  const primary = await startRedis(owner, { args: common, tls });
  const others = await Promise.all(
    Array.from({ length: replicas }, () => startRedis(owner, { args: [...common, '--replicaof', '127.0.0.1', String(portOf(primary)), '--repl-diskless-sync-delay', '0'], tls })),
  );
  for (const replica of others) {
    await waitFor(async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'), { what: 'a replica in step' });
  }
  const all = await Promise.all(Array.from({ length: sentinels }, () => startSentinel(owner, primary, more, tls)));
  // Each knows the replicas and the other Sentinels: only then can they fail over.
  for (const sentinel of all) {
    await waitFor(
      async () => {
        const text = await sentinel.command('SENTINEL', 'MASTER', 'main').catch(() => '');
        const field = (name) => text.split('\r\n')[text.split('\r\n').indexOf(name) + 2];
        return field('num-slaves') === String(replicas) && field('num-other-sentinels') === String(sentinels - 1);
      },
      { timeout: 30000, what: 'Sentinels that know each other' },
    );
  }
  const url = (login = '', asked = all) => `redis${tls ? 's' : ''}+sentinel://${login}${asked.map((s) => `127.0.0.1:${portOf(s)}`).join(',')}/main`;
  return { primary, replicas: others, sentinels: all, url };
}
