// serverless-offline as the runtime of functions: a process that serves the handlers of ../functions by the Invoke API.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { freePort } from './ports.mjs';
import { onEnd } from './scope.mjs';
import { waitFor } from './wait.mjs';

export async function startOffline(owner) {
  const port = await freePort();
  const script = fileURLToPath(new URL('../functions/offline.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const runtime = { output: '', endpoint: `http://127.0.0.1:${port}` };
  let ended = false;
  const over = new Promise((resolve) => child.once('close', resolve)).then(() => (ended = true));
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (runtime.output += data));
  onEnd(owner, () => {
    child.kill('SIGKILL');
    return over;
  });
  const ready = () => {
    if (ended) throw new Error(`serverless-offline ended:\n${runtime.output}`);
    return /^ready$/m.test(runtime.output);
  };
  await waitFor(ready, { timeout: 30000, what: 'serverless-offline to listen' });
  return runtime;
}
