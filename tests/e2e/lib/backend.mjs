// An HTTP or HTTPS back end that records requests and answers by script.
import http from 'node:http';
import https from 'node:https';
import { onEnd } from './scope.mjs';
import { DEADLINE, waitFor } from './wait.mjs';

class Backend {
  constructor() {
    this.requests = [];
    this.script = () => ({});
  }

  get url() {
    return `${this.tls ? 'https://localhost' : 'http://127.0.0.1'}:${this.port}`;
  }

  // script(request) -> {status, headers, body, delay, hang, reset, raw} or a promise of it. `headers` may be an array of pairs.
  // hang: never answers; reset: cuts the connection; raw: bytes written instead of a response.
  answer(script) {
    this.script = typeof script === 'function' ? script : () => script;
    return this;
  }

  filter(match) {
    return this.requests.filter(match);
  }

  async request(match, { timeout = DEADLINE } = {}) {
    return waitFor(() => this.requests.find(match), { timeout, what: `a back-end request ${match}` });
  }

  async handle(req, res, body) {
    const record = { method: req.method, url: req.url, headers: req.headers, rawHeaders: req.rawHeaders, body, text: body.toString(), at: Date.now(), port: req.socket.remotePort, serverName: req.socket.servername };
    record.closed = new Promise((resolve) => res.once('close', () => resolve(res.writableFinished)));
    this.requests.push(record);
    const out = (await this.script(record)) ?? {};
    if (out.delay) await new Promise((resolve) => setTimeout(resolve, out.delay));
    if (out.hang) return;
    if (out.reset) {
      req.socket.resetAndDestroy();
      return;
    }
    if (out.raw !== undefined) {
      req.socket.end(out.raw);
      return;
    }
    const bytes = Buffer.from(out.body ?? '');
    const headers = Array.isArray(out.headers) ? out.headers.flat() : Object.entries(out.headers ?? {}).flat();
    res.writeHead(out.status ?? 200, [...headers, 'Content-Length', String(bytes.length)]);
    res.end(bytes);
  }
}

// tls: {key, cert} of an HTTPS back end, whose `url` has the name localhost. path: of a unix socket, in place of a port.
export async function startBackend(owner, script, { tls, path } = {}) {
  const backend = new Backend();
  backend.tls = tls;
  if (script) backend.answer(script);
  const server = (tls ? https : http).createServer({ keepAliveTimeout: 60000, ...tls }, (req, res) => {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('error', () => {});
    req.on('end', () => backend.handle(req, res, Buffer.concat(chunks)));
  });
  await new Promise((resolve) => (path ? server.listen(path, resolve) : server.listen(0, '127.0.0.1', 4096, resolve)));
  backend.port = server.address().port;
  onEnd(owner, () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  );
  return backend;
}
