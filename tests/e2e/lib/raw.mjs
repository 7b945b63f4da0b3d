// A bare TCP peer for what no library would send: it writes bytes and parses HTTP responses and WebSocket frames.
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { onEnd } from './scope.mjs';
import { DEADLINE, deferred, within } from './wait.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function acceptFor(key) {
  return createHash('sha1').update(key + GUID).digest('base64');
}

// The text of an upgrade request. `headers` (array of [name, value]) are added after the standard ones; `without` leaves
// standard ones out.
export function upgradeRequest({ method = 'GET', path = '/prod', host = '127.0.0.1', key = randomBytes(16).toString('base64'), version = '13', headers = [], without = [], httpVersion = '1.1' } = {}) {
  const standard = [
    ['Host', host],
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Key', key],
    ['Sec-WebSocket-Version', version],
  ].filter(([name]) => !without.includes(name));
  return `${method} ${path} HTTP/${httpVersion}\r\n${[...standard, ...headers].map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`;
}

// A client frame. `length` overrides the length that the header claims.
export function frame({ opcode = 1, payload = '', fin = true, rsv = 0, mask = true, length } = {}) {
  const data = Buffer.from(payload);
  const size = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const bit = mask ? 0x80 : 0;
  if (size < 126) head.push(bit | size);
  else if (size < 65536) head.push(bit | 126, size >> 8, size & 255);
  else head.push(bit | 127, 0, 0, 0, 0, (size >>> 24) & 255, (size >>> 16) & 255, (size >>> 8) & 255, size & 255);
  if (!mask) return Buffer.concat([Buffer.from(head), data]);
  const key = randomBytes(4);
  const masked = Buffer.alloc(data.length);
  for (let i = 0; i < data.length; i++) masked[i] = data[i] ^ key[i & 3];
  return Buffer.concat([Buffer.from(head), key, masked]);
}

export function closeFrame(code, reason = '') {
  if (code === undefined) return frame({ opcode: 8 });
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  return frame({ opcode: 8, payload });
}

export class RawPeer {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.received = 0;
    this.arrival = deferred();
    this.finished = false;
    const end = deferred();
    this.end = end.promise; // the other side closed or cut
    socket.on('data', (data) => {
      this.buffer = Buffer.concat([this.buffer, data]);
      this.received += data.length;
      this.wake();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    const over = () => {
      this.finished = true;
      end.resolve();
      this.wake();
    };
    socket.on('end', over);
    socket.on('close', over);
  }

  wake() {
    this.arrival.resolve();
    this.arrival = deferred();
  }

  write(data) {
    this.socket.write(data);
    return this;
  }

  destroy() {
    this.socket.destroy();
  }

  async until(parse, what, timeout) {
    const body = async () => {
      for (;;) {
        const value = parse();
        if (value !== undefined) return value;
        if (this.finished) throw new Error(`connection ended while waiting for ${what}; have ${JSON.stringify(this.buffer.toString('latin1').slice(0, 200))}`);
        await this.arrival.promise;
      }
    };
    return within(body(), what, timeout);
  }

  // The next HTTP response. `bodyless`: answer to HEAD.
  response({ timeout = DEADLINE, bodyless = false } = {}) {
    return this.until(() => this.parseResponse(bodyless), 'an HTTP response', timeout);
  }

  parseResponse(bodyless) {
    const at = this.buffer.indexOf('\r\n\r\n');
    if (at < 0) return undefined;
    const [line, ...fields] = this.buffer.toString('latin1', 0, at).split('\r\n');
    const found = /^HTTP\/1\.([01]) (\d{3}) ?(.*)$/.exec(line);
    if (!found) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    const rawHeaders = fields.map((field) => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon), field.slice(colon + 1).trim()];
    });
    const headers = {};
    for (const [name, value] of rawHeaders) {
      const key = name.toLowerCase();
      headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
    }
    const answer = { status: Number(found[2]), reason: found[3], version: `1.${found[1]}`, headers, rawHeaders };
    const start = at + 4;
    const none = bodyless || answer.status === 101 || answer.status === 204 || answer.status === 304;
    let body;
    let next;
    if (none) {
      body = Buffer.alloc(0);
      next = start;
    } else if (/chunked/i.test(headers['transfer-encoding'] ?? '')) {
      const chunks = [];
      let pos = start;
      for (;;) {
        const eol = this.buffer.indexOf('\r\n', pos);
        if (eol < 0) return undefined;
        const size = parseInt(this.buffer.toString('latin1', pos, eol), 16);
        const data = eol + 2;
        if (this.buffer.length < data + size + 2) return undefined;
        chunks.push(this.buffer.subarray(data, data + size));
        pos = data + size + 2;
        if (size === 0) break;
      }
      body = Buffer.concat(chunks);
      next = pos;
    } else if (headers['content-length'] !== undefined) {
      const size = Number(headers['content-length']);
      if (this.buffer.length < start + size) return undefined;
      body = this.buffer.subarray(start, start + size);
      next = start + size;
    } else {
      if (!this.finished) return undefined;
      body = this.buffer.subarray(start);
      next = this.buffer.length;
    }
    this.buffer = Buffer.from(this.buffer.subarray(next));
    return { ...answer, body: Buffer.from(body), text: body.toString() };
  }

  // The next WebSocket frame from the gateway: {fin, rsv, opcode, payload, text, code, reason}.
  frame({ timeout = DEADLINE } = {}) {
    return this.until(() => this.parseFrame(), 'a frame', timeout);
  }

  parseFrame() {
    const b = this.buffer;
    if (b.length < 2) return undefined;
    if (b[1] & 0x80) throw new Error('a frame from the gateway is masked');
    let size = b[1] & 0x7f;
    let start = 2;
    if (size === 126) {
      if (b.length < 4) return undefined;
      size = b.readUInt16BE(2);
      start = 4;
    } else if (size === 127) {
      if (b.length < 10) return undefined;
      size = Number(b.readBigUInt64BE(2));
      start = 10;
    }
    if (b.length < start + size) return undefined;
    const payload = Buffer.from(b.subarray(start, start + size));
    const result = { fin: Boolean(b[0] & 0x80), rsv: (b[0] >> 4) & 7, opcode: b[0] & 15, payload, text: payload.toString() };
    if (result.opcode === 8) {
      result.code = payload.length >= 2 ? payload.readUInt16BE(0) : undefined;
      result.reason = payload.subarray(2).toString();
    }
    this.buffer = Buffer.from(b.subarray(start + size));
    return result;
  }

  // A whole data message, continuations joined. Control frames other than close are passed over.
  async message(options) {
    const parts = [];
    let opcode;
    for (;;) {
      const got = await this.frame(options);
      if (got.opcode === 8) throw new Error(`closed instead: ${got.code} ${got.reason}`);
      if (got.opcode >= 8) continue;
      opcode ??= got.opcode;
      parts.push(got.payload);
      if (got.fin) return { opcode, payload: Buffer.concat(parts), text: Buffer.concat(parts).toString() };
    }
  }

  // All bytes up to and with this text.
  upTo(text, { timeout = DEADLINE } = {}) {
    return this.until(
      () => {
        const at = this.buffer.indexOf(text);
        if (at < 0) return undefined;
        const end = at + Buffer.byteLength(text);
        const taken = this.buffer.toString('latin1', 0, end);
        this.buffer = Buffer.from(this.buffer.subarray(end));
        return taken;
      },
      JSON.stringify(text),
      timeout,
    );
  }

  ended(timeout = DEADLINE) {
    return within(this.end, 'the connection to end', timeout);
  }

  // Stops reading, so that the kernel's buffers fill.
  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }
}

// `target`: {port, host} or {path}. Options as for net.connect.
export async function connectRaw(owner, target) {
  const socket = net.connect({ host: '127.0.0.1', allowHalfOpen: false, ...target });
  socket.setNoDelay(true);
  const opened = deferred();
  socket.once('connect', opened.resolve);
  socket.once('error', opened.reject);
  onEnd(owner, () => socket.destroy());
  await within(opened.promise, 'a TCP connection');
  return new RawPeer(socket);
}

// A WebSocket connection opened by hand; `early` bytes go out right behind the request.
export async function openRaw(owner, gateway, { early, port = gateway.port, target, ...request } = {}) {
  const peer = await connectRaw(owner, target ?? { port });
  const key = request.key ?? randomBytes(16).toString('base64');
  const head = Buffer.from(upgradeRequest({ host: gateway.host, ...request, key }), 'latin1');
  peer.write(early ? Buffer.concat([head, Buffer.from(early)]) : head);
  peer.handshake = await peer.response();
  peer.key = key;
  return peer;
}
