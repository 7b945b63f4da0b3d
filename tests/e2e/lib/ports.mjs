// Free loopback ports below the ephemeral range, so that outgoing connections of parallel tests cannot take them. A port is this
// process's until it ends, also while what listens there is being restarted: a file in a directory that all tests of the machine
// share says so.
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const FIRST = 12000;
const LAST = 31000;
const STALE = 6 * 3600 * 1000; // ms: longer than any run takes; of processes that were killed
const given = new Set();

export function portFile(port) {
  return path.join(os.tmpdir(), 'tidegate-e2e-ports', String(port));
}

process.on('exit', () => {
  for (const port of given) fs.rmSync(portFile(port), { force: true });
});

function reserve(port) {
  const file = portFile(port);
  try {
    if (Date.now() - fs.statSync(file).mtimeMs > STALE) fs.rmSync(file, { force: true });
  } catch {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o1777 });
  }
  try {
    fs.writeFileSync(file, `${process.pid}\n`, { flag: 'wx' });
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  given.add(port);
  return true;
}

function tryBind(port, host) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export async function freePort(host = '127.0.0.1') {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (reserve(port) && (await tryBind(port, host))) return port; // one that somebody else has stays reserved: nobody else need try it
  }
  throw new Error('no free port');
}
