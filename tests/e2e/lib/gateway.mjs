// Starts and stops the gateway binary named by $TIDEGATE, and calls its management and admin interfaces.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ADMIN_KEY, ALLOW_ALL, ACCOUNT, REGION } from './config.mjs';
import { request } from './http.mjs';
import { freePort } from './ports.mjs';
import { sharedRedis } from './redis.mjs';
import { onEnd } from './scope.mjs';
import { sign } from './sigv4.mjs';
import { waitFor, within } from './wait.mjs';

export const BINARY = process.env.TIDEGATE ? path.resolve(process.env.TIDEGATE) : undefined;
const REPORT = /ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:|WARNING: ThreadSanitizer|ERROR SUMMARY: [1-9]/;
const LOGS = process.env.TIDEGATE_E2E_LOGS ?? path.join(os.tmpdir(), 'tidegate-e2e-logs');

// For tests that measure memory: a sanitizer's quarantine of freed memory stays small.
export const MEASURED = { env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=4:thread_local_quarantine_size_kb=64` } };

export function binary() {
  if (!BINARY) throw new Error('set TIDEGATE to the gateway binary');
  return BINARY;
}

// Whether a build has a sanitizer in it: slower by far, and generous with memory.
export function isSanitized(file = binary()) {
  return fs.readFileSync(file).includes('__asan_init');
}

export function tempDir(owner) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-e2e-'));
  onEnd(owner, () => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

// The environment of a gateway: variables of the tests would be taken for options.
function environment(more) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEGATE'));
  return { ...Object.fromEntries(own), ...more };
}

// Runs the binary to its end: `tidegate check FILE` and the like.
export function run(args, { env = {}, timeout = 20000, cwd } = {}) {
  return within(
    new Promise((resolve, reject) => {
      const child = spawn(binary(), args, { env: environment(env), cwd, stdio: ['ignore', 'pipe', 'pipe'] });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (data) => (stdout += data));
      child.stderr.on('data', (data) => (stderr += data));
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr, output: stdout + stderr }));
    }),
    `tidegate ${args.join(' ')}`,
    timeout,
  );
}

function complete(config, port, adminPort, registry) {
  return {
    listeners: [{ address: `127.0.0.1:${port}` }],
    admin: { address: `127.0.0.1:${adminPort}` },
    workers: 2,
    region: REGION,
    accountId: ACCOUNT,
    management: { auth: 'sigv4' },
    credentials: [{ ...ADMIN_KEY, policy: ALLOW_ALL }],
    drain: { closesPerSecond: 0, deadlineSeconds: 5 },
    log: { level: 'info', format: 'json' },
    // The other way to write as well: what is run once more with Redis does without io_uring.
    ...(registry ? { registry, ioUring: false } : {}),
    ...config,
  };
}

class Gateway {
  // http://, ws:// addresses of the first listener.
  get host() {
    return `127.0.0.1:${this.port}`;
  }

  url(where = '/prod') {
    return `ws://${this.host}${where}`;
  }

  log() {
    return this.output;
  }

  write(config) {
    const text = typeof config === 'string' ? config : JSON.stringify(complete(config, this.port, this.adminPort, this.registry), null, 1);
    fs.writeFileSync(this.file, text);
  }

  // Replaces the configuration file and sends SIGHUP. `until` is polled until the effect shows.
  async reload(config, until) {
    this.write(config);
    process.kill(this.pid, 'SIGHUP');
    if (until) await waitFor(until, { what: 'the effect of a reload', interval: 20 });
  }

  get(where, options = {}) {
    return request({ port: this.port, path: where, ...options });
  }

  admin(where) {
    return request({ port: this.adminPort, path: where });
  }

  // Samples of /metrics: [{name, labels, value}].
  async metrics() {
    const answer = await this.admin('/metrics');
    if (answer.status !== 200) throw new Error(`/metrics answered ${answer.status}`);
    return parseMetrics(answer.text);
  }

  // A signed management call. Options: stage, path (as on the wire), headers (sent, unsigned), signed (sent and signed),
  // credentials (null: unsigned), host, when, region, port, body.
  manage(method, id, { stage = 'prod', body = '', credentials = ADMIN_KEY, host = this.host, port = this.port, path: given, headers = {}, signed = {}, when, region, agent } = {}) {
    const where = given ?? `/${stage}/@connections/${encodeURIComponent(id)}`;
    const auth = credentials ? sign({ method, path: where, host, body, credentials, when, region, extra: signed }) : { host, ...signed };
    const length = body.length || method === 'POST' ? { 'content-length': Buffer.byteLength(body) } : {};
    return request({ method, port, path: where, headers: { ...auth, ...length, ...headers }, body: body.length ? body : undefined, agent });
  }

  post(id, body, options) {
    return this.manage('POST', id, { body, ...options });
  }

  info(id, options) {
    return this.manage('GET', id, options);
  }

  remove(id, options) {
    return this.manage('DELETE', id, options);
  }

  // A field of /proc/PID/status in KiB, e.g. VmRSS.
  memory(field = 'VmRSS') {
    const line = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8').split('\n').find((l) => l.startsWith(`${field}:`));
    return Number(/\d+/.exec(line)[0]);
  }

  signal(name) {
    process.kill(this.pid, name);
  }

  // Stops it, and returns when each of its threads stands still: the signal reaches them one after another.
  async pause() {
    process.kill(this.pid, 'SIGSTOP');
    const tasks = `/proc/${this.pid}/task`;
    const still = (task) => / T /.test(fs.readFileSync(`${tasks}/${task}/stat`, 'utf8'));
    await waitFor(() => fs.readdirSync(tasks).every(still), { what: 'the gateway to stand still' });
  }

  // Kills it on purpose: its end is no failure.
  async kill() {
    this.stopped = true;
    process.kill(this.pid, 'SIGKILL');
    await this.exited;
  }

  // Ends the process by SIGTERM (once) and checks how it ended.
  async stop({ timeout = 30000 } = {}) {
    if (this.stopped) return;
    this.stopped = true;
    if (!this.exit) process.kill(this.pid, 'SIGTERM');
    try {
      await within(this.exited, 'the gateway to exit after SIGTERM', timeout);
    } catch (error) {
      process.kill(this.pid, 'SIGKILL');
      await this.exited;
      throw new Error(`${error.message}; log: ${this.logFile}\n${this.tail()}`);
    }
    const { code, signal } = this.exit;
    if (REPORT.test(this.output)) throw new Error(`the sanitizer reported a fault; log: ${this.logFile}\n${this.report()}`);
    if (code !== 0) throw new Error(`the gateway ended with ${signal ?? code} instead of 0; log: ${this.logFile}\n${this.tail()}`);
  }

  // What a failed test leaves to look at: the test runner tells of the first error alone.
  async end(owner) {
    try {
      await this.stop();
    } catch (error) {
      console.error(error.message);
      throw error;
    } finally {
      if (owner.passed === false) console.error(`the gateway of "${owner.name}", which ended with ${JSON.stringify(this.exit)}; log: ${this.logFile}\n${this.tail()}`);
    }
  }

  tail(lines = 40) {
    return this.output.split('\n').slice(-lines).join('\n');
  }

  report() {
    const at = this.output.search(REPORT);
    return this.output.slice(Math.max(0, at - 200), at + 6000);
  }
}

export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    if (!line || line.startsWith('#')) continue;
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/.exec(line);
    if (!found) throw new Error(`not a metrics line: ${line}`);
    const labels = {};
    for (const pair of (found[2] ?? '').matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?/g)) labels[pair[1]] = pair[2];
    samples.push({ name: found[1], labels, value: found[3] === '+Inf' ? Infinity : Number(found[3]) });
  }
  return samples;
}

// Ports that nobody asked for by number, and that a stranger took in between, are chosen anew.
export async function startGateway(owner, config, options = {}) {
  for (let attempts = options.port || options.ready === false ? 1 : 3; ; attempts--) {
    try {
      return await startOnce(owner, config, options);
    } catch (error) {
      if (attempts === 1 || !/Address already in use/.test(error.message)) throw error;
    }
  }
}

// Options: env, args (after --config FILE), file (name of the configuration file), text (file content instead of an
// object), ready (false: do not wait), wrap (command put before the binary, e.g. a memory checker), binary.
async function startOnce(owner, config, options) {
  const gateway = new Gateway();
  gateway.port = options.port ?? (await freePort());
  gateway.adminPort = options.adminPort ?? (await freePort());
  gateway.dir = tempDir(owner);
  gateway.file = path.join(gateway.dir, options.file ?? 'tidegate.json');
  // The scenarios of one node under the other registry: a cluster of one for each gateway.
  if (process.env.TIDEGATE_E2E_REGISTRY === 'redis') gateway.registry = { type: 'redis', url: (await sharedRedis()).url, cluster: `g${gateway.port}`, leaseSeconds: 5 };
  if (typeof config === 'function') config = config(gateway);
  gateway.write(config);
  const command = [...(options.wrap ?? []), options.binary ?? binary(), 'serve', '--config', gateway.file, ...(options.args ?? [])];
  const child = spawn(command[0], command.slice(1), { env: environment(options.env), cwd: gateway.dir, stdio: ['ignore', 'pipe', 'pipe'] });
  gateway.child = child;
  gateway.pid = child.pid;
  gateway.output = '';
  fs.mkdirSync(LOGS, { recursive: true });
  const file = path.basename(process.argv[1] ?? 'node', '.mjs');
  gateway.logFile = path.join(LOGS, `${file}-${String(owner.name ?? 'x').replace(/[^A-Za-z0-9]+/g, '_').slice(0, 60)}-${gateway.port}.log`);
  const log = fs.createWriteStream(gateway.logFile);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (data) => {
      gateway.output += data;
      log.write(data);
    });
  }
  gateway.exited = new Promise((resolve) => {
    child.on('close', (code, signal) => {
      gateway.exit = { code, signal };
      log.end();
      resolve(gateway.exit);
    });
  });
  child.on('error', (error) => (gateway.output += `${error}\n`));
  onEnd(owner, () => gateway.end(owner));
  if (options.ready !== false) await untilReady(gateway, options.readyTimeout);
  return gateway;
}

async function untilReady(gateway, timeout = 15000) {
  const ready = async () => {
    if (gateway.exit) throw new Error(`the gateway ended (${gateway.exit.signal ?? gateway.exit.code}) before it was ready:\n${gateway.tail()}`);
    try {
      return (await gateway.admin('/readyz')).status === 200;
    } catch {
      return false;
    }
  };
  try {
    await waitFor(ready, { timeout, interval: 20, what: '/readyz' });
  } catch (error) {
    gateway.stopped = true;
    if (!gateway.exit) {
      process.kill(gateway.pid, 'SIGKILL');
      await gateway.exited;
    }
    throw new Error(`${error.message}; log: ${gateway.logFile}\n${gateway.tail()}`);
  }
}
