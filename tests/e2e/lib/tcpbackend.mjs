// A back end on bare TCP: a test reads what arrives on each of its connections, byte for byte, and writes what it likes.
import net from 'node:net';
import { RawPeer } from './raw.mjs';
import { onEnd } from './scope.mjs';
import { DEADLINE, waitFor } from './wait.mjs';

// One connection of the gateway.
export class GatewayPeer extends RawPeer {
  // The next head: {line, method, target, version, rawHeaders, headers (names in lower case), all(name)}.
  head({ timeout = DEADLINE } = {}) {
    return this.until(() => this.parseHead(), 'a request', timeout);
  }

  parseHead() {
    const at = this.buffer.indexOf('\r\n\r\n');
    if (at < 0) return undefined;
    const [line, ...fields] = this.buffer.toString('latin1', 0, at).split('\r\n');
    const [method, target, version] = line.split(' ');
    const rawHeaders = fields.map((field) => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 1).trim()]);
    const all = (name) => rawHeaders.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
    const headers = Object.fromEntries(rawHeaders.map(([name]) => [name.toLowerCase(), all(name.toLowerCase()).join(', ')]));
    this.buffer = Buffer.from(this.buffer.subarray(at + 4));
    this.trailers = undefined;
    return { line, method, target, version, rawHeaders, headers, all, connection: this };
  }

  // Exactly so many bytes.
  bytes(count, { timeout = DEADLINE } = {}) {
    return this.until(
      () => {
        if (this.buffer.length < count) return undefined;
        const bytes = Buffer.from(this.buffer.subarray(0, count));
        this.buffer = Buffer.from(this.buffer.subarray(count));
        return bytes;
      },
      `${count} bytes`,
      timeout,
    );
  }

  line(options) {
    return this.until(
      () => {
        const at = this.buffer.indexOf('\r\n');
        if (at < 0) return undefined;
        const text = this.buffer.toString('latin1', 0, at);
        this.buffer = Buffer.from(this.buffer.subarray(at + 2));
        return text;
      },
      'a line',
      options?.timeout ?? DEADLINE,
    );
  }

  // The next chunk; an empty one is the last, its trailers are in `trailers`.
  async chunk() {
    const size = parseInt(await this.line(), 16);
    if (size > 0) {
      const data = await this.bytes(size);
      await this.bytes(2);
      return data;
    }
    this.trailers = [];
    for (let line = await this.line(); line !== ''; line = await this.line()) this.trailers.push(line);
    return Buffer.alloc(0);
  }

  async body(head) {
    if (/chunked/i.test(head.headers['transfer-encoding'] ?? '')) {
      const parts = [];
      for (let part = await this.chunk(); part.length; part = await this.chunk()) parts.push(part);
      return Buffer.concat(parts);
    }
    return this.bytes(Number(head.headers['content-length'] ?? 0));
  }

  // Head and body: {..., body, text}.
  async request(options) {
    const head = await this.head(options);
    const body = await this.body(head);
    return { ...head, body, text: body.toString() };
  }

  // Half-closes.
  shut() {
    this.socket.end();
  }

  // Cuts with a reset.
  reset() {
    this.socket.resetAndDestroy();
  }
}

export const answer = (text = '', head = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n${head}\r\n${text}`;

class TcpBackend {
  constructor() {
    this.connections = []; // in the order in which they were accepted
    this.requests = []; // what `serve` of the loop below has read
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  // The n-th connection, from 0.
  connection(n = 0) {
    return waitFor(() => this.connections[n], { what: `connection ${n} to the back end` });
  }
}

// serve(connection, backend) runs for each connection; what it throws because the connection has ended is dropped. Without it,
// the test takes connections itself.
export async function startTcpBackend(owner, serve) {
  const backend = new TcpBackend();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const peer = new GatewayPeer(socket);
    backend.connections.push(peer);
    onEnd(owner, () => socket.destroy());
    serve?.(peer, backend).catch((error) => {
      if (!peer.finished) backend.error = error;
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  backend.port = server.address().port;
  onEnd(owner, () => {
    server.close();
    if (backend.error) throw backend.error;
  });
  return backend;
}

// A serve function that answers each request with the bytes of reply(request).
export function replying(reply = (request) => answer(request.target)) {
  return async (connection, backend) => {
    for (;;) {
      const request = await connection.request({ timeout: 60000 });
      backend.requests.push(request);
      connection.write(await reply(request));
    }
  };
}
