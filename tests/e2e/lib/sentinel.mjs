// A primary, replicas and Sentinels of the test's own.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { startRedis } from './redis.mjs';
import { onEnd } from './scope.mjs';
import { waitFor } from './wait.mjs';
import { ask } from './resp.mjs';

async function startSentinel(owner, primary, more) {
  const port = await freePort();
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-e2e-sentinel-'));
  const file = path.join(dir, 'sentinel.conf');
  fs.writeFileSync(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${dir}`,
      `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 3000',
      'sentinel parallel-syncs main 2',
      ...more,
      '',
    ].join('\n'),
  );
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.on('close', resolve));
  const sentinel = { port, command: (...words) => ask(port, words), child };
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

export async function startSentinels(owner, { replicas = 2, sentinels = 3, redisArgs = [], lines = [] } = {}) {
  const primary = await startRedis(owner, { args: redisArgs });
  const others = await Promise.all(
    Array.from({ length: replicas }, () => startRedis(owner, { args: [...redisArgs, '--replicaof', '127.0.0.1', String(primary.port), '--repl-diskless-sync-delay', '0'] })),
  );
  for (const replica of others) {
    await waitFor(async () => (await replica.command('INFO', 'replication')).includes('master_link_status:up'), { what: 'a replica in step' });
  }
  const all = await Promise.all(Array.from({ length: sentinels }, () => startSentinel(owner, primary, lines)));
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
  const hosts = all.map((s) => `127.0.0.1:${s.port}`).join(',');
  return { primary, replicas: others, sentinels: all, url: (login = '') => `redis+sentinel://${login}${hosts}/main` };
}
