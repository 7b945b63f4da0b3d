// The HTTP server on the public listener: bad input, slow clients, keep-alive, pipelining, addresses.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { dial, join } from './lib/client.mjs';
import { ADMIN_KEY, appApi } from './lib/config.mjs';
import { MEASURED, run, startGateway, tempDir } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { freePort } from './lib/ports.mjs';
import { connectRaw, frame, openRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let gw;

before(async () => {
  fn = await startLambda(file, { app: echo });
  gw = await startGateway(file, { functions: fn.table('app'), apis: [appApi()] });
});

// Sends `bytes` with a second, innocent request behind: a smuggled request would be answered too.
const MARKER = 'GET /marker HTTP/1.1\r\nHost: x\r\n\r\n';

async function assertRefused(t, bytes, { status = [400], gateway = gw } = {}) {
  const peer = await connectRaw(t, { port: gateway.port });
  peer.write(bytes);
  const answer = await peer.response();
  assert.ok(status.includes(answer.status), `${answer.status}, not ${status}`);
  await peer.ended();
  assert.equal(peer.buffer.length, 0, `more was answered: ${peer.buffer.toString('latin1').slice(0, 200)}`);
  return answer;
}

describe('front door: bad input', () => {
  const H = 'Host: x\r\n';
  const body = 'POST /prod/@connections/abc HTTP/1.1\r\n';
  const cases = {
    'Content-Length and Transfer-Encoding': `${body}${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${MARKER}`,
    'Transfer-Encoding and Content-Length': `${body}${H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${MARKER}`,
    'two different Content-Lengths': `${body}${H}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello${MARKER}`,
    'two equal Content-Lengths': `${body}${H}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello${MARKER}`,
    'a list of Content-Lengths': `${body}${H}Content-Length: 5, 5\r\n\r\nhello${MARKER}`,
    'a negative Content-Length': `${body}${H}Content-Length: -5\r\n\r\n${MARKER}`,
    'a Content-Length with a sign': `${body}${H}Content-Length: +5\r\n\r\nhello${MARKER}`,
    'a hexadecimal Content-Length': `${body}${H}Content-Length: 0x5\r\n\r\nhello${MARKER}`,
    'an empty Content-Length': `${body}${H}Content-Length: \r\n\r\n${MARKER}`,
    'a Content-Length beyond 64 bits': `${body}${H}Content-Length: 99999999999999999999\r\n\r\n${MARKER}`,
    'a bare LF after the request line': `GET /prod HTTP/1.1\n${H}\r\n${MARKER}`,
    'a bare LF after a header': `GET /prod HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n${MARKER}`,
    'a bare LF as empty line': `GET /prod HTTP/1.1\r\n${H}\n${MARKER}`,
    'a bare CR in a value': `GET /prod HTTP/1.1\r\n${H}X-A: a\rb\r\n\r\n${MARKER}`,
    'a folded header': `GET /prod HTTP/1.1\r\n${H}X-A: a\r\n b\r\n\r\n${MARKER}`,
    'a folded first header': `GET /prod HTTP/1.1\r\n X-A: a\r\n${H}\r\n${MARKER}`,
    'a blank before the colon': `GET /prod HTTP/1.1\r\nHost : x\r\n\r\n${MARKER}`,
    'a tab before the colon': `${body}${H}Content-Length\t: 5\r\n\r\nhello${MARKER}`,
    'a blank within a header name': `GET /prod HTTP/1.1\r\n${H}X A: b\r\n\r\n${MARKER}`,
    'a header without colon': `GET /prod HTTP/1.1\r\n${H}nonsense\r\n\r\n${MARKER}`,
    'an empty header name': `GET /prod HTTP/1.1\r\n${H}: b\r\n\r\n${MARKER}`,
    'two Hosts': `GET /prod HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n${MARKER}`,
    'two equal Hosts': `GET /prod HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n${MARKER}`,
    'no Host': `GET /prod HTTP/1.1\r\n\r\n${MARKER}`,
    'a NUL in a header': `GET /prod HTTP/1.1\r\n${H}X-A: a\0b\r\n\r\n${MARKER}`,
    'a NUL in the path': `GET /pr\0od HTTP/1.1\r\n${H}\r\n${MARKER}`,
    'a control character in the path': `GET /pr\x01od HTTP/1.1\r\n${H}\r\n${MARKER}`,
    'a blank in the path': `GET /pr od HTTP/1.1\r\n${H}\r\n${MARKER}`,
    'no path': `GET  HTTP/1.1\r\n${H}\r\n${MARKER}`,
    'no version': `GET /prod\r\n${H}\r\n${MARKER}`,
    'a version of another protocol': `GET /prod HTTX/1.1\r\n${H}\r\n${MARKER}`,
    'garbage': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    'chunked with a vertical tab': `${body}${H}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${MARKER}`,
    'two Transfer-Encodings': `${body}${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${MARKER}`,
    'a chunk size that is no number': `${body}${H}Transfer-Encoding: chunked\r\n\r\nxyz\r\n0\r\n\r\n${MARKER}`,
    'a chunk size with a prefix': `${body}${H}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n${MARKER}`,
    'a negative chunk size': `${body}${H}Transfer-Encoding: chunked\r\n\r\n-1\r\n0\r\n\r\n${MARKER}`,
    'a chunk size beyond 64 bits': `${body}${H}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n0\r\n\r\n${MARKER}`,
    'a bare LF after a chunk size': `${body}${H}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n${MARKER}`,
    'a bare LF after a chunk': `${body}${H}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n${MARKER}`,
    'a chunk longer than its size': `${body}${H}Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n${MARKER}`,
    'a bare LF within a chunk extension': `${body}${H}Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n${MARKER}`,
    'a bare CR within a chunk extension': `${body}${H}Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n${MARKER}`,
    'a chunk extension of 64 KB': `${body}${H}Transfer-Encoding: chunked\r\n\r\n5;${'a'.repeat(65536)}\r\nhello\r\n0\r\n\r\n${MARKER}`,
    'endless chunk extensions': `${body}${H}Transfer-Encoding: chunked\r\n\r\n${`1;${'a'.repeat(200)}\r\nx\r\n`.repeat(2000)}0\r\n\r\n${MARKER}`,
    'an upgrade with a body of ambiguous length': `GET /prod HTTP/1.1\r\n${H}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: q4xkcO32u266gldTuKaSOw==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello`,
  };
  for (const [name, bytes] of Object.entries(cases)) {
    test(`front door: ${name}: 400 and close`, (t) => assertRefused(t, Buffer.from(bytes, 'latin1')));
  }

  for (const coding of ['gzip', 'chunked, identity', 'chunked, chunked', 'gzip, chunked']) {
    test(`front door: transfer coding ${coding}: 400 or 501 and close`, (t) => assertRefused(t, `${body}${H}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n${MARKER}`, { status: [400, 501] }));
  }
  test('front door: an unsupported version: 400 or 505 and close', (t) => assertRefused(t, `GET /prod HTTP/2.0\r\n${H}\r\n${MARKER}`, { status: [400, 505] }));
  test('front door: a request line that is too long: 414 and close', (t) => assertRefused(t, `GET /${'a'.repeat(9000)} HTTP/1.1\r\n${H}\r\n`, { status: [400, 414] }));
  test('front door: headers that are too long: 431 and close', (t) => assertRefused(t, `GET /prod HTTP/1.1\r\n${H}X-A: ${'a'.repeat(20000)}\r\n\r\n`, { status: [400, 431] }));
  test('front door: too many headers: 431 and close', (t) => assertRefused(t, `GET /prod HTTP/1.1\r\n${H}${'X: y\r\n'.repeat(200)}\r\n`, { status: [400, 431] }));
  test('front door: a request line without end is cut at the limit', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write('a'.repeat(20000));
    const answer = await peer.response();
    assert.ok([400, 414].includes(answer.status));
    await peer.ended();
  });

  test('front door: the limits are settings', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], http: { maxRequestLineBytes: 100, maxHeaderBytes: 600, maxHeaders: 12, maxBodyBytes: 1000 } });
    await assertRefused(t, `GET /${'a'.repeat(100)} HTTP/1.1\r\n${H}\r\n`, { status: [400, 414], gateway: g });
    await assertRefused(t, `GET /prod HTTP/1.1\r\n${H}X-A: ${'a'.repeat(600)}\r\n\r\n`, { status: [400, 431], gateway: g });
    await assertRefused(t, `GET /prod HTTP/1.1\r\n${H}${'X: y\r\n'.repeat(12)}\r\n`, { status: [400, 431], gateway: g });
    const peer = await connectRaw(t, { port: g.port });
    peer.write(`GET /prod HTTP/1.1\r\n${H}X-A: b\r\n\r\n`);
    assert.equal((await peer.response()).status, 426);
  });

  test('front door: the gateway lives on after all of it', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});

describe('front door: good input', () => {
  // A signed POST of `text` to a connection, its body written by `render`.
  function post(id, text, headers, render) {
    const where = `/prod/@connections/${encodeURIComponent(id)}`;
    const signed = sign({ method: 'POST', path: where, host: gw.host, body: text, credentials: ADMIN_KEY });
    return `POST ${where} HTTP/1.1\r\n${Object.entries({ ...signed, ...headers }).map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${render(text)}`;
  }

  test('front door: chunked bodies, with extensions and trailers', async (t) => {
    const client = await join(t, gw, fn);
    const peer = await connectRaw(t, { port: gw.port });
    const forms = [
      (s) => `${s.length.toString(16)}\r\n${s}\r\n0\r\n\r\n`,
      (s) => `1\r\n${s[0]}\r\n${(s.length - 1).toString(16).toUpperCase()};name=value;q="x;y"\r\n${s.slice(1)}\r\n000\r\nX-Trailer: a\r\n\r\n`,
    ];
    for (const form of forms) {
      peer.write(post(client.id, 'hello chunked world', { 'Transfer-Encoding': 'chunked' }, form));
      assert.equal((await peer.response()).status, 200);
      assert.equal(await client.next(), 'hello chunked world');
    }
  });

  test('front door: a body that arrives byte by byte', async (t) => {
    const client = await join(t, gw, fn);
    const peer = await connectRaw(t, { port: gw.port });
    for (const byte of Buffer.from(post(client.id, 'drip', { 'Content-Length': 4 }, (s) => s))) {
      peer.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await peer.response()).status, 200);
    assert.equal(await client.next(), 'drip');
  });

  test('front door: Expect: 100-continue', async (t) => {
    const client = await join(t, gw, fn);
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(post(client.id, 'waited', { 'Content-Length': 6, Expect: '100-continue' }, () => ''));
    const first = await peer.until(() => (peer.buffer.includes('\r\n\r\n') ? peer.buffer.toString('latin1') : undefined), '100 Continue', 5000);
    assert.match(first, /^HTTP\/1\.1 100 /);
    peer.buffer = Buffer.alloc(0);
    peer.write('waited');
    assert.equal((await peer.response()).status, 200);
    assert.equal(await client.next(), 'waited');
  });

  test('front door: pipelined requests are answered in order', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const paths = ['/prod', '/nostage', '/prod', '/prod/extra', '/prod'];
    peer.write(paths.map((p) => `GET ${p} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
    const statuses = [];
    for (const _ of paths) statuses.push((await peer.response()).status);
    assert.equal(statuses[0], 426);
    assert.equal(statuses[1], 403);
    assert.equal(statuses[2], 426);
    assert.ok([403, 404].includes(statuses[3]));
    assert.equal(statuses[4], 426);
  });

  test('front door: keep-alive by default, Connection: close closes', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    for (let i = 0; i < 10; i++) {
      peer.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.equal((await peer.response()).status, 426);
    }
    peer.write('GET /prod HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const last = await peer.response();
    assert.equal(last.status, 426);
    assert.match(last.headers.connection ?? '', /close/i);
    await peer.ended();
  });

  test('front door: HTTP/1.0 closes after the answer', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write('GET /prod HTTP/1.0\r\nHost: x\r\n\r\n');
    const answer = await peer.response();
    assert.ok(answer.status >= 400);
    await peer.ended();
  });

  test('front door: a handshake on a connection that was used before, and one that was refused', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await peer.response()).status, 426);
    peer.write(upgradeRequest({ host: gw.host, path: '/nostage' }));
    assert.equal((await peer.response()).status, 403);
    const next = peer.finished ? await connectRaw(t, { port: gw.port }) : peer;
    next.write(upgradeRequest({ host: gw.host }));
    assert.equal((await next.response()).status, 101);
    next.write(frame({ payload: '{"action":"echo"}' }));
    assert.equal((await next.message()).text, '{"action":"echo"}');
  });

  test('front door: answers carry a date, and no answer names a version of the software in its body', async () => {
    const answer = await gw.get('/prod');
    assert.ok(answer.headers['content-length'] !== undefined || answer.headers['transfer-encoding']);
  });

  test('front door: HEAD has no body', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write('HEAD /prod HTTP/1.1\r\nHost: x\r\n\r\nGET /nostage HTTP/1.1\r\nHost: x\r\n\r\n');
    const head = await peer.response({ bodyless: true });
    assert.ok(head.status >= 400);
    assert.equal((await peer.response()).status, 403);
  });
});

describe('front door: slow clients', () => {
  const http = { headerTimeoutSeconds: 0.4, bodyTimeoutSeconds: 0.4, keepAliveTimeoutSeconds: 0.4 };
  const scope = fileScope();
  let g;
  before(async () => {
    g = await startGateway(scope, { functions: fn.table('app'), apis: [appApi()], http }, MEASURED);
  });

  async function assertTimedOut(t, first, drip) {
    const peer = await connectRaw(t, { port: g.port });
    const start = Date.now();
    if (first) peer.write(first);
    const timer = drip && setInterval(() => !peer.finished && peer.write(drip), 50);
    t.after(() => clearInterval(timer));
    await peer.ended(8000);
    clearInterval(timer);
    const took = Date.now() - start;
    assert.ok(took >= 350, `closed after ${took} ms already`);
    if (peer.buffer.length) {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(peer.buffer.toString('latin1'))?.[1]);
      assert.equal(status, 408);
    }
  }

  test('front door: no byte at all times out', (t) => assertTimedOut(t));
  test('front door: a head that stops times out', (t) => assertTimedOut(t, 'GET /prod HTTP/1.1\r\nHos'));
  test('front door: a head that drips times out', (t) => assertTimedOut(t, 'GET /prod HTTP/1.1\r\nHost: x\r\nX-A: ', 'a'));
  test('front door: a body that stops times out', (t) => assertTimedOut(t, 'POST /prod/@connections/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc'));
  test('front door: a body that drips times out', (t) => assertTimedOut(t, 'POST /prod/@connections/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n', 'a'));
  test('front door: an idle kept-alive connection times out', async (t) => {
    const peer = await connectRaw(t, { port: g.port });
    peer.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await peer.response()).status, 426);
    await peer.ended(8000);
  });

  test('front door: 500 clients that stop in the head hold neither workers nor much memory', async (t) => {
    const before = g.memory();
    const peers = await Promise.all(Array.from({ length: 500 }, () => connectRaw(t, { port: g.port })));
    for (const peer of peers) peer.write(`GET /prod HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(500)}`);
    const client = await join(t, g, fn);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    await Promise.all(peers.map((peer) => peer.ended(10000)));
    const grown = g.memory() - before;
    assert.ok(grown < 65536, `grown by ${grown} KiB`);
  });

  test('front door: a client that does not read its answers does not block others', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.pause();
    for (let i = 0; i < 100; i++) peer.write('GET /prod HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100));
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});

describe('listeners', () => {
  test('listeners: a port that another gateway listens on is refused, not shared', async () => {
    const second = await run(['serve', '--config', gw.file, '--set', 'admin.address=127.0.0.1:' + (await freePort())]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /cannot listen/);
    assert.match(second.stderr, /in use/);
    const tag = await gw.get('/prod');
    assert.equal(tag.status, 426);
  });

  test('listeners: IPv4, IPv6 and a unix socket at once', async (t) => {
    const dir = tempDir(t);
    const socket = path.join(dir, 'gateway.sock');
    const port6 = await freePort('::1');
    const g = await startGateway(t, (gateway) => ({
      functions: fn.table('app'),
      listeners: [{ address: `127.0.0.1:${gateway.port}` }, { address: `[::1]:${port6}` }, { address: `unix:${socket}` }],
      apis: [appApi()],
    }));
    const four = await join(t, g, fn);
    const tag = `six${process.pid}`;
    const six = await dial(t, `ws://[::1]:${port6}/prod?tag=${tag}`);
    const event = await fn.event((c) => c.event?.queryStringParameters?.tag === tag);
    assert.equal(event.requestContext.identity.sourceIp, '::1');
    assert.match(event.headers['X-Forwarded-For'], /::1/);
    assert.ok(fs.statSync(socket).isSocket());
    const local = await dial(t, `ws+unix:${socket}:/prod?tag=unix${tag}`);
    const unix = await fn.event((c) => c.event?.queryStringParameters?.tag === `unix${tag}`);
    assert.equal(typeof unix.requestContext.identity.sourceIp, 'string');
    for (const client of [four, six, local]) assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    // A push that comes in by one listener reaches connections of the others.
    const id = unix.requestContext.connectionId;
    assert.equal((await g.post(id, 'to unix')).status, 200);
    assert.equal(await local.next(), 'to unix');
    const where = `/prod/@connections/${encodeURIComponent(four.id)}`;
    const headers = sign({ method: 'POST', path: where, host: 'localhost', body: 'by unix', credentials: ADMIN_KEY });
    assert.equal((await request({ method: 'POST', socketPath: socket, path: where, headers, body: 'by unix' })).status, 200);
    assert.equal(await four.next(), 'by unix');
    await g.stop();
    assert.equal(fs.existsSync(socket), false, 'the socket file is gone after the stop');
  });

  test('listeners: a second gateway on the same unix socket fails and leaves the first one reachable', async (t) => {
    const socket = path.join(tempDir(t), 'gateway.sock');
    const admin = path.join(tempDir(t), 'admin.sock');
    const config = { listeners: [{ address: `unix:${socket}` }], apis: [appApi()], functions: fn.table('app') };
    await startGateway(t, config);
    const second = await startGateway(t, { ...config, admin: { address: `unix:${admin}` } }, { ready: false });
    second.stopped = true;
    assert.equal((await second.exited).code, 1);
    assert.equal((await request({ socketPath: socket, path: '/ping' })).status, 200);
  });

  test('listeners: a stale unix socket file is no obstacle, an address in use is an error', async (t) => {
    const dir = tempDir(t);
    const socket = path.join(dir, 'stale.sock');
    const config = (gateway) => ({ functions: fn.table('app'), listeners: [{ address: `127.0.0.1:${gateway.port}` }, { address: `unix:${socket}` }], apis: [appApi()] });
    const first = await startGateway(t, config);
    first.signal('SIGKILL');
    await first.exited;
    first.stopped = true;
    assert.ok(fs.existsSync(socket));
    const second = await startGateway(t, config);
    await dial(t, `ws+unix:${socket}:/prod`);
    await assert.rejects(startGateway(t, { functions: fn.table('app'), admin: { address: `127.0.0.1:${second.adminPort}` }, apis: [appApi()] }, { readyTimeout: 5000 }), /ended \([1-9]/);
  });

  test('listeners: the connections of a listener are spread over the workers', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], workers: 2 });
    const clients = await Promise.all(Array.from({ length: 40 }, () => join(t, g, fn)));
    for (const client of clients) assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});

test('front door: an early close by the client leaves nothing behind', async (t) => {
  for (const bytes of ['', 'GET', 'GET /prod HTTP/1.1\r\n', 'POST /prod/@connections/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc']) {
    const peer = await connectRaw(t, { port: gw.port });
    if (bytes) peer.write(bytes);
    peer.socket.resetAndDestroy();
  }
  const peer = await openRaw(t, gw);
  assert.equal(peer.handshake.status, 101);
  await waitFor(async () => (await gw.admin('/healthz')).status === 200);
});
