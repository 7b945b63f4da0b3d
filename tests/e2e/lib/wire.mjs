// A back end on bare TCP that reads requests by the letter of RFC 9112 and records each of them, for tests of framing: what
// it cannot read is recorded too. It answers by script with bytes.
import net from 'node:net';
import { onEnd } from './scope.mjs';

const CRLF = '\r\n';
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export const answer = (text, head = '') => `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(text)}\r\n${head}\r\n${text}`;

// One head: {method, target, headers: [[name, value]], get(name)}; throws when it is none.
function parseHead(text) {
  const [line, ...fields] = text.split(CRLF);
  const found = /^(\S+) (\S+) HTTP\/1\.1$/.exec(line);
  if (!found || /[\r\n\0]/.test(text.replaceAll(CRLF, ''))) throw new Error(`not a request: ${JSON.stringify(text)}`);
  const headers = fields.map((field) => {
    const colon = field.indexOf(':');
    if (!TOKEN.test(field.slice(0, Math.max(colon, 0)))) throw new Error(`not a field: ${JSON.stringify(field)}`);
    return [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const all = (name) => headers.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value);
  return { method: found[1], target: found[2], headers, all };
}

// Where the message ends: a length, or 'chunked'. One way to tell alone is allowed.
function framing(request) {
  const lengths = request.all('content-length');
  const codings = request.all('transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error(`two framings: ${lengths} ${codings}`);
  if (codings.length) {
    if (codings[0] !== 'chunked') throw new Error(`coding ${codings[0]}`);
    return 'chunked';
  }
  if (lengths.length && !/^\d+$/.test(lengths[0])) throw new Error(`length ${lengths[0]}`);
  return Number(lengths[0] ?? 0);
}

// The chunked body at the front of text: {body, used}, undefined when more is to come.
function parseChunks(text) {
  let at = 0;
  let body = '';
  for (;;) {
    const eol = text.indexOf(CRLF, at);
    if (eol < 0) return undefined;
    const line = text.slice(at, eol);
    if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`);
    const size = parseInt(line, 16);
    const end = eol + 2 + size;
    if (text.length < end + 2) return undefined;
    if (text.slice(end, end + 2) !== CRLF) throw new Error(`no line end behind a chunk, or trailers`);
    body += text.slice(eol + 2, end);
    at = end + 2;
    if (size === 0) return { body, used: at };
  }
}

class Wire {
  constructor() {
    this.requests = []; // {method, target, headers, all(name), body, connection}
    this.unreadable = []; // what came instead of a request
    this.connections = 0;
    this.script = (request) => answer(request.target);
  }

  serve(socket) {
    const connection = ++this.connections;
    let text = '';
    let queue = Promise.resolve();
    const report = (error) => {
      this.unreadable.push(error.message);
      socket.destroy();
    };
    socket.setNoDelay(true);
    socket.on('error', () => {});
    this.greet?.(socket);
    const take = () => {
      for (;;) {
        const end = text.indexOf(CRLF + CRLF);
        if (end < 0) return;
        const request = parseHead(text.slice(0, end));
        const how = framing(request);
        const rest = text.slice(end + 4);
        const got = how === 'chunked' ? parseChunks(rest) : rest.length < how ? undefined : { body: rest.slice(0, how), used: how };
        if (!got) return;
        text = rest.slice(got.used);
        Object.assign(request, { body: got.body, connection });
        this.requests.push(request);
        queue = queue.then(() => this.script(request, socket)).then((bytes) => bytes !== undefined && socket.write(bytes, 'latin1'), report);
      }
    };
    socket.on('data', (data) => {
      text += data.toString('latin1');
      try {
        take();
      } catch (error) {
        report(error);
      }
    });
  }
}

// script(request, socket) -> bytes to write (or a promise of them; undefined: nothing more).
export async function startWire(owner, script) {
  const wire = new Wire();
  if (script) wire.script = script;
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    wire.serve(socket);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  wire.port = server.address().port;
  onEnd(owner, () =>
    new Promise((resolve) => {
      server.close(resolve);
      for (const socket of sockets) socket.destroy();
    }),
  );
  return wire;
}
