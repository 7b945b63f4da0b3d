// Targets that are processes (target_process.mjs), each on a port of its own that it keeps when it is started again.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { tempDir } from './gateway.mjs';
import { freePort } from './ports.mjs';
import { onEnd } from './scope.mjs';
import { deferred, within } from './wait.mjs';

const SCRIPT = fileURLToPath(new URL('target_process.mjs', import.meta.url));

class Target {
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    const ready = deferred();
    this.child = spawn(process.execPath, [SCRIPT, this.port, this.file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.ended = new Promise((resolve) => this.child.on('close', resolve));
    this.child.stdout.once('data', ready.resolve);
    this.child.once('exit', () => ready.reject(new Error('a target ended at its start')));
    await within(ready.promise, 'a target to listen');
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  stop() {
    this.child.kill('SIGSTOP');
  }

  resume() {
    this.child.kill('SIGCONT');
  }

  // "METHOD PATH" of all that it has served in all its lives.
  served() {
    return fs.readFileSync(this.file, 'utf8').split('\n').filter(Boolean);
  }
}

export async function startTargets(owner, count) {
  const dir = tempDir(owner);
  const targets = [];
  for (let i = 0; i < count; i++) {
    const target = new Target();
    target.port = await freePort();
    target.file = path.join(dir, `served${i}`);
    targets.push(target);
    await target.start();
    onEnd(owner, () => target.kill());
  }
  return targets;
}
