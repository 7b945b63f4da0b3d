// examples/http as its README says: the commands of its page, typed one after the other.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binary } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { freePort } from './lib/ports.mjs';
import { onEnd } from './lib/scope.mjs';
import { PYTHON, exec } from './lib/tools.mjs';
import { waitFor } from './lib/wait.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

// Starts a program in the repository's root and waits until it answers on the port.
async function start(t, command, args, env, port) {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const started = { child, output: '' };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (started.output += data));
  const over = new Promise((resolve) => child.once('close', (code) => resolve((started.code = code))));
  started.stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await over;
  };
  onEnd(t, started.stop);
  const answers = () => {
    assert.equal(child.exitCode, null, `${command} ended: ${started.output}`);
    return request({ port, path: '/status' }).then(() => true, () => false);
  };
  await waitFor(answers, { what: `${command} to listen`, timeout: 20000, interval: 30 });
  return started;
}

test('examples/http: every command of the README does what it says', async (t) => {
  const env = { GATEWAY_PORT: String(await freePort()), BACKEND_PORT: String(await freePort()) };
  const backend = await start(t, PYTHON, ['examples/http/backend.py'], env, Number(env.BACKEND_PORT));
  const gateway = await start(t, binary(), ['serve', '--config', 'examples/http/tidegate.yaml'], env, Number(env.GATEWAY_PORT));

  const readme = fs.readFileSync(path.join(ROOT, 'examples/http/README.md'), 'utf8');
  const block = [...readme.matchAll(/^```sh\n([^]*?)^```/gm)].map((found) => found[1]).find((text) => text.startsWith('curl '));
  const commands = block.replace(/\\\n\s*/g, '').trim().split('\n');
  const expected = [
    /^HTTP\/1\.1 200 OK[^]*^ETag: (W\/)?"[^]*<h1>Notes<\/h1>/im,
    /^<!doctype html>\n$/,
    /^\{"number": 1\}$/,
    /^\{"1": "buy milk"\}$/,
    /^\{"deleted": "buy milk"\}$/,
    /^\{"greeting": "Bonjour, Ann!", "from": "127\.0\.0\.1"\}$/,
    /^\{"api": "notes", "stage": "\$default", "mood": "calm"\}$/,
    /^HTTP\/1\.1 404 /,
    /^HTTP\/1\.1 204 [^]*access-control-allow-methods: GET,POST,DELETE/i,
  ];
  assert.equal(commands.length, expected.length);
  for (const [i, command] of commands.entries()) {
    const typed = command.replaceAll(':8080', `:${env.GATEWAY_PORT}`).replace(/^curl /, 'curl -sS ');
    const { code, stdout, stderr } = await exec('sh', ['-c', typed]);
    assert.equal(code, 0, `${command}: ${stderr}`);
    assert.match(stdout.replaceAll('\r', ''), expected[i], command);
  }
  assert.match(backend.output, /^request [A-Za-z0-9_-]{15}= for for=127\.0\.0\.1/m);
  assert.match(gateway.output, /^127\.0\.0\.1 "GET \/greet\/Ann" 200 \d+ /m);

  await backend.stop();
  const get = (where) => request({ port: Number(env.GATEWAY_PORT), path: where });
  assert.deepEqual([(await get('/api/notes')).status, (await get('/greet/Ann')).status, (await get('/')).status, (await get('/status')).status], [503, 503, 200, 200]);
  await gateway.stop();
  assert.equal(gateway.code, 0, gateway.output);
});
