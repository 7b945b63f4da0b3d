// A redis-server of the test's own, and a TCP proxy in front of one that can cut a gateway off.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { ask } from './resp.mjs';
import { onEnd } from './scope.mjs';
import { waitFor } from './wait.mjs';

export const REDIS = spawnSync('redis-server', ['--version']).status === 0;

class RedisServer {
  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start() {
    const child = spawn('redis-server', ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.dir, ...this.args], { stdio: 'ignore' });
    this.child = child;
    this.exited = new Promise((resolve) => child.on('close', resolve));
    child.on('error', () => {});
    await waitFor(() => ask(this.port, ['PING']).then((text) => /^(\+PONG|-NOAUTH)/.test(text), () => false), { what: 'redis-server' });
  }

  // As its administrator, whatever the default user may do.
  admin(...words) {
    return execFileSync('redis-cli', ['-s', this.socket, '--user', 'admin', '--pass', 'admin', '--no-auth-warning', ...words], { encoding: 'utf8' });
  }

  async kill() {
    if (!this.child) return;
    process.kill(this.child.pid, 'SIGKILL');
    await this.exited;
    this.child = undefined;
  }

  // By its own command; nothing is saved.
  async shutdown() {
    await ask(this.port, ['SHUTDOWN', 'NOSAVE']).catch(() => {}); // it answers by ending
    await this.exited;
    this.child = undefined;
  }

  pause() {
    process.kill(this.child.pid, 'SIGSTOP');
  }

  resume() {
    process.kill(this.child.pid, 'SIGCONT');
  }

  command(...words) {
    return ask(this.port, words);
  }
}

// For a whole test file: started once, ended with the process.
let shared;
export function sharedRedis() {
  shared ??= (async () => {
    const owner = { stack: [] };
    const server = await startRedis(owner);
    process.on('exit', () => {
      process.kill(server.child.pid, 'SIGKILL');
      fs.rmSync(server.dir, { recursive: true, force: true });
    });
    server.child.unref();
    return server;
  })();
  return shared;
}

// For a server or a Sentinel with a certificate of `tls.authority`, which asks clients for none.
export function tlsArgs(port, { authority, pair, clients = 'no' }) {
  const settings = { 'tls-port': String(port), 'tls-cert-file': pair.certFile, 'tls-key-file': pair.keyFile, 'tls-ca-cert-file': authority.file, 'tls-auth-clients': clients };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

// tls: {authority, pair}: it listens with TLS on tlsPort as well.
export async function startRedis(owner, { args = [], start = true, tls } = {}) {
  const server = new RedisServer();
  server.port = await freePort();
  server.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-e2e-redis-'));
  server.socket = path.join(server.dir, 'socket');
  server.args = ['--unixsocket', server.socket, '--user', 'admin', 'on', '>admin', '~*', '&*', '+@all', ...args];
  if (tls) {
    server.tlsPort = await freePort();
    server.args.push(...tlsArgs(server.tlsPort, tls));
  }
  onEnd(owner, async () => {
    await server.kill();
    fs.rmSync(server.dir, { recursive: true, force: true });
  });
  if (start) await server.start();
  return server;
}

// When each row was last taken away by a script, by connection id, on the clock of performance.now(). It watches until the server
// ends.
export async function startMonitor(owner, port) {
  const removed = new Map();
  let text = '';
  let watching = false;
  const socket = net.connect(port, '127.0.0.1', () => socket.write('MONITOR\r\n'));
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  socket.on('data', (data) => {
    const lines = (text + data).split('\r\n');
    text = lines.pop();
    for (const line of lines) {
      watching ||= line === '+OK';
      const [, at, id] = /^\+(\S+) \[\d+ lua\] "HDEL" "[^"]*:rows:\d+" "([^"]+)"$/.exec(line) ?? [];
      if (id) removed.set(id, Number(at) * 1000 - performance.timeOrigin);
    }
  });
  onEnd(owner, () => socket.destroy());
  await waitFor(() => watching, { what: 'MONITOR' });
  return removed;
}

// Passes bytes both ways until cut(): then it swallows what comes, as a network that drops packets, and accepts new
// connections without answering; heal() ends those and passes again. reset() breaks what there is, and takes new connections.
export async function startProxy(owner, target) {
  const pairs = new Set();
  const proxy = { isCut: false };
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1');
    const pair = { near, far };
    pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      pairs.delete(pair);
    };
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('data', (data) => {
        if (!proxy.isCut) to.write(data);
      });
      from.on('error', () => {});
      from.on('close', () => {
        if (!proxy.isCut) end();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.port = server.address().port;
  proxy.url = `redis://127.0.0.1:${proxy.port}`;
  proxy.cut = () => {
    proxy.isCut = true;
  };
  proxy.reset = () => {
    for (const { near, far } of pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    pairs.clear();
  };
  proxy.heal = () => {
    proxy.isCut = false;
    proxy.reset();
  };
  onEnd(owner, () => {
    proxy.heal();
    server.close();
  });
  return proxy;
}
