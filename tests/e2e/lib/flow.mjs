// A gateway whose one HTTP API goes to a back end that does with each connection what the test says, byte by byte: for tests of bodies
// and connections of proxied requests.
import { randomBytes } from 'node:crypto';
import { before } from 'node:test';
import { forward, httpApi, route } from './config.mjs';
import { startGateway } from './gateway.mjs';
import { connectRaw } from './raw.mjs';
import { startTcpBackend } from './tcpbackend.mjs';
import { waitFor } from './wait.mjs';

export const MAX = 300000; // http.maxBodyBytes
export const TIMEOUT = 400; // timeoutInMillis of what is below /quick
export const BIG = randomBytes(MAX);
export const LAST = '0\r\n\r\n';
export const UNAVAILABLE = [503, '{"message":"Service Unavailable"}', '33'];

export const summary = (got) => [got.status, got.text, got.headers['content-length']];
export const head = (method, path, ...fields) => `${method} ${path} HTTP/1.1\r\nHost: web\r\n${fields.map((f) => `${f}\r\n`).join('')}\r\n`;
export const chunk = (data) => Buffer.concat([Buffer.from(`${Buffer.byteLength(data).toString(16)}\r\n`), Buffer.from(data), Buffer.from('\r\n')]);

// For a whole file: {on, client, ask}, and gw and backend once they run.
export function flowWorld(file) {
  const handlers = new Map();
  const world = { on, client, ask };

  // A path whose requests handler(connection, head) serves: {path, calls}.
  function on(handler, prefix = '') {
    const calls = [];
    const where = `${prefix}/${handlers.size}`;
    handlers.set(where, async (connection, request) => {
      calls.push(request);
      await handler(connection, request);
    });
    return { path: where, calls, called: (n = 0) => waitFor(() => calls[n], { what: `call ${n} of ${where}` }) };
  }

  function client(t) {
    return connectRaw(t, { port: world.gw.port });
  }

  async function ask(t, bytes, options) {
    const peer = await client(t);
    peer.write(bytes);
    const got = await peer.response(options);
    got.peer = peer;
    return got;
  }

  before(async () => {
    world.backend = await startTcpBackend(file, async (connection) => {
      for (;;) {
        const request = await connection.head({ timeout: 600000 });
        await handlers.get(request.target)(connection, request);
      }
    });
    world.gw = await startGateway(file, {
      http: { maxBodyBytes: MAX },
      apis: [
        httpApi({
          integrations: [forward('all', world.backend.url), forward('quick', `${world.backend.url}/quick/{proxy}`, { timeoutInMillis: TIMEOUT })],
          routes: [route('$default', 'all'), route('ANY /quick/{proxy+}', 'quick')],
        }),
      ],
    });
  });
  return world;
}
