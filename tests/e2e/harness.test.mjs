// Tests of the harness itself: they need no gateway.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { startBackend } from './lib/backend.mjs';
import { dial, refused } from './lib/client.mjs';
import { parseMetrics } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { functionError, raw, startLambda } from './lib/lambda.mjs';
import { acceptFor, closeFrame, connectRaw, frame, upgradeRequest } from './lib/raw.mjs';
import { onEnd } from './lib/scope.mjs';
import { EMPTY_HASH, canonicalRequest, encodePath, presign, sign } from './lib/sigv4.mjs';
import { judge } from './lib/verdict.mjs';
import { waitFor } from './lib/wait.mjs';

const VECTORS = [
  ['POST', '/prod/@connections/L0SM9cOFvHcCIhw%3D', 'hello', '/prod/%40connections/L0SM9cOFvHcCIhw%253D', 'ae4d5c8b154c83f090c10bb11e7b5759f6381b6fd4debcf97a6f4521009ff6a4'],
  ['GET', '/prod/@connections/L0SM9cOFvHcCIhw%3D', '', '/prod/%40connections/L0SM9cOFvHcCIhw%253D', '7b2ebe48ae76e779b3ced8da0700c24ba456e04a0ed2cf7c6506731c43b01a02'],
  ['POST', '/prod/%40connections/L0SM9cOFvHcCIhw%3D', 'hello', '/prod/%2540connections/L0SM9cOFvHcCIhw%253D', 'd4ef5f90e5b2192a1706d7a74a49fd191f83ca98688db7ef68dfd8756812c03a'],
];

for (const [method, path, body, canonical, expected] of VECTORS) {
  test(`signer vector: ${method} ${path}`, () => {
    const headers = sign({
      method,
      path,
      body,
      host: 'abc123.execute-api.us-east-1.amazonaws.com',
      credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
      when: new Date('2026-01-02T03:04:05Z'),
    });
    assert.equal(encodePath(path), canonical);
    assert.match(headers.authorization, new RegExp(`Signature=${expected}$`));
    assert.match(headers.authorization, /Credential=AKIDEXAMPLE\/20260102\/us-east-1\/execute-api\/aws4_request, SignedHeaders=host;x-amz-date/);
  });
}

test('the canonical request has the layout of section 5.5', () => {
  const text = canonicalRequest({ method: 'GET', path: '/p', headers: { host: 'h', 'x-amz-date': 'd' }, signed: ['host', 'x-amz-date'], payloadHash: EMPTY_HASH });
  assert.equal(text, `GET\n/p\n\nhost:h\nx-amz-date:d\n\nhost;x-amz-date\n${EMPTY_HASH}`);
});

test('a presigned query is sorted and ends with the signature', () => {
  const query = presign({ method: 'GET', path: '/p', host: 'h', credentials: { accessKeyId: 'A', secretAccessKey: 'b' } });
  assert.match(query, /^X-Amz-Algorithm=.*&X-Amz-Credential=A%2F\d{8}%2F.*&X-Amz-Date=.*&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=[0-9a-f]{64}$/);
});

test('the function runtime answers invoke calls, reports function errors, and records events', async (t) => {
  const fake = await startLambda(t);
  fake.on('good', (event) => ({ statusCode: 200, body: event.x }));
  fake.on('bad', () => {
    throw new Error('boom');
  });
  fake.on('named', () => functionError('Unauthorized'));
  fake.on('odd', () => raw({ body: 'not json' }));
  const invoke = (name, body = '{}') => request({ port: fake.port, method: 'POST', path: `/2015-03-31/functions/${name}/invocations`, body });
  const good = await invoke('good', '{"x":"y","requestContext":{"eventType":"MESSAGE"}}');
  assert.deepEqual(JSON.parse(good.text), { statusCode: 200, body: 'y' });
  assert.equal(good.headers['x-amz-function-error'], undefined);
  const bad = await invoke('bad');
  assert.equal(bad.status, 200);
  assert.equal(bad.headers['x-amz-function-error'], 'Unhandled');
  assert.equal(JSON.parse(bad.text).errorMessage, 'boom');
  assert.equal(JSON.parse((await invoke('named')).text).errorMessage, 'Unauthorized');
  assert.equal((await invoke('odd')).text, 'not json');
  assert.equal((await invoke('good/extra')).status, 404);
  assert.equal((await fake.event('MESSAGE')).x, 'y');
  assert.equal(fake.count({ name: 'bad' }), 1);
});

test('the HTTP back end records requests and follows its script', async (t) => {
  const backend = await startBackend(t, (req) => (req.url === '/cut' ? { reset: true } : { status: 418, headers: { 'X-A': 'b' }, body: req.text }));
  const answer = await request({ port: backend.port, method: 'PUT', path: '/x?y=1', body: 'hello', headers: { 'X-CaSe': '1' } });
  assert.deepEqual([answer.status, answer.headers['x-a'], answer.text], [418, 'b', 'hello']);
  const seen = await backend.request((r) => r.url === '/x?y=1');
  assert.ok(seen.rawHeaders.includes('X-CaSe'));
  await assert.rejects(request({ port: backend.port, path: '/cut' }), /ECONNRESET|socket hang up/);
});

async function wsServer(t, options = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
  await new Promise((resolve) => server.once('listening', resolve));
  onEnd(t, () => {
    for (const ws of server.clients) ws.terminate();
    return new Promise((resolve) => server.close(resolve));
  });
  return server;
}

test('the client collects messages and the end', async (t) => {
  const server = await wsServer(t);
  server.on('connection', (ws) => {
    ws.send('one');
    ws.on('message', (data) => {
      ws.send(`got ${data}`);
      ws.close(4001, 'bye');
    });
  });
  const client = await dial(t, `ws://127.0.0.1:${server.address().port}/`);
  assert.equal(await client.next(), 'one');
  assert.equal(await client.ask('x'), 'got x');
  assert.deepEqual(await client.ended(), { code: 4001, reason: 'bye' });
  await assert.rejects(client.next(), /connection closed: 4001 bye/);
});

test('the client reports a refusal with status, headers and body', async (t) => {
  const server = await wsServer(t, { verifyClient: (info, cb) => cb(false, 401, 'no entry', { 'X-A': 'b' }) });
  const answer = await refused(t, `ws://127.0.0.1:${server.address().port}/`);
  assert.deepEqual([answer.status, answer.headers['x-a'], answer.text], [401, 'b', 'no entry']);
});

test('the raw peer speaks HTTP and WebSocket by hand', async (t) => {
  const server = await wsServer(t);
  server.on('connection', (ws) => ws.on('message', (data, binary) => ws.send(data, { binary })));
  const peer = await connectRaw(t, { port: server.address().port });
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  assert.equal(acceptFor(key), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  const text = 'x'.repeat(70000);
  peer.write(upgradeRequest({ key, path: '/' }));
  const answer = await peer.response();
  assert.equal(answer.status, 101);
  assert.equal(answer.headers['sec-websocket-accept'], acceptFor(key));
  peer.write(frame({ payload: text.slice(0, 100), fin: false }));
  peer.write(frame({ payload: text.slice(100), opcode: 0 }));
  assert.equal((await peer.message()).text, text);
  peer.write(closeFrame(4000, 'done'));
  const end = await peer.frame();
  assert.deepEqual([end.opcode, end.code], [8, 4000]);
  await peer.ended();
});

test('the raw peer parses chunked and pipelined responses', async (t) => {
  const { createServer } = await import('node:net');
  const server = createServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    socket.end('0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 400 Bad\r\nX-A: 1\r\n\r\nrest');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(t, () => server.close());
  const peer = await connectRaw(t, { port: server.address().port });
  assert.equal((await peer.response()).text, 'abc');
  assert.equal((await peer.response()).status, 204);
  const last = await peer.response();
  assert.deepEqual([last.status, last.text], [400, 'rest']);
});

test('metrics text is parsed', () => {
  const samples = parseMetrics('# HELP a b\n# TYPE a counter\na{x="1",y="q\\"r"} 3\nb 4.5\nc_bucket{le="+Inf"} 7\n');
  assert.deepEqual(samples, [
    { name: 'a', labels: { x: '1', y: 'q\\"r' }, value: 3 },
    { name: 'b', labels: {}, value: 4.5 },
    { name: 'c_bucket', labels: { le: '+Inf' }, value: 7 },
  ]);
});

test('waiting ends with an error that names what was awaited', async () => {
  await assert.rejects(waitFor(() => false, { timeout: 30, what: 'the impossible' }), /waiting for the impossible/);
});

// A connection that stays until the load ends, at 1000, with two pushes that it received.
function record() {
  const connection = { id: 'a', gateway: 'g', openedAt: 0, endedAt: 1100, sent: 1, answered: 1, receipts: [{ stream: 's', seq: 1 }, { stream: 's', seq: 2 }] };
  const pushes = [1, 2].map((seq) => ({ stream: 's', seq, connection, gateway: 'g', startedAt: seq * 10, endedAt: seq * 10 + 5, status: 200 }));
  return { connections: [connection], pushes, events: [{ type: 'CONNECT', id: 'a' }, { type: 'DISCONNECT', id: 'a' }], stoppedAt: 1000, fence: 100 };
}

const LIES = {
  false200: [
    (r) => r.connections[0].receipts.pop(), // never received
    (r) => Object.assign(r.connections[0], { receipts: [{ stream: 's', seq: 1 }], code: 1012, closedAt: 500, endedAt: 501 }), // nor before the close frame
    (r) => Object.assign(r.connections[0], { endedAt: 15 }), // 200 for what was over
    (r) => Object.assign(r.connections[0], { leftAt: -90, endedAt: -89 }), // nor long after the client had gone
    (r) => Object.assign(r.connections[0], { leftAt: 500, closedAt: 501, endedAt: 502, code: 1000 }).receipts.pop(), // it listened until its close was answered
  ],
  false410: [(r) => Object.assign(r.pushes[1], { status: 410 }) && r.connections[0].receipts.pop()],
  home: [(r) => Object.assign(r.pushes[1], { status: 503 })],
  refused: [(r) => Object.assign(r.pushes[1], { status: 429 })],
  order: [(r) => r.connections[0].receipts.reverse(), (r) => r.connections[0].receipts.push({ stream: 's', seq: 2 }), (r) => Object.assign(r.connections[0], { oddities: 1 })],
  missing: [(r) => r.events.pop()],
  doubled: [(r) => r.events.push({ type: 'DISCONNECT', id: 'a' })],
  silent: [(r) => Object.assign(r.connections[0], { sent: 2 })],
  other: [(r) => Object.assign(r.pushes[0], { status: 500 }), (r) => Object.assign(r.pushes[0], { status: 'none' })],
};

test('the judge of the fault matrix sees every kind of lie, and nothing in a true record', () => {
  const kinds = (r) => Object.entries(judge(r).faults).flatMap(([kind, found]) => (found.length ? [kind] : []));
  assert.deepEqual(kinds(record()), []);
  for (const [kind, lies] of Object.entries(LIES)) {
    for (const lie of lies) {
      const r = record();
      lie(r);
      assert.deepEqual(kinds(r), [kind], String(lie));
    }
  }
});

test('the judge of the fault matrix knows what is no lie', () => {
  const closed = record(); // cut by the death of its node, with a frame on its way
  Object.assign(closed.connections[0], { endedAt: 500, receipts: [{ stream: 's', seq: 1 }] });
  const late = record(); // 410, and closed within the fence
  Object.assign(late.connections[0], { endedAt: 120, closedAt: 110, code: 1012, receipts: [{ stream: 's', seq: 1 }] });
  late.pushes[1].status = 410;
  const slept = record(); // 410, and closed when its node could
  Object.assign(slept.connections[0], { endedAt: 800, receipts: [{ stream: 's', seq: 1 }] });
  slept.pushes[1].status = 410;
  slept.wokeAt = () => 750;
  const left = record(); // a client went without a word, with a frame on its way
  Object.assign(left.connections[0], { leftAt: 12, endedAt: 13, sent: 2, receipts: [{ stream: 's', seq: 1 }] });
  const leaving = record(); // one whose node did not answer its close in time
  Object.assign(leaving.connections[0], { leftAt: 999, sent: 2, receipts: [{ stream: 's', seq: 1 }] });
  for (const r of [closed, late, slept, left, leaving]) assert.deepEqual(Object.values(judge(r).faults).flat(), []);
  const killed = record(); // between the removal of a row and its call: counted apart
  killed.events.pop();
  killed.lost = ({ id }) => id === 'a';
  assert.deepEqual(Object.values(judge(killed).faults).flat(), []);
  assert.deepEqual(judge(killed).exempt, killed.connections);
  assert.deepEqual(judge({ ...record(), lost: () => true }).exempt, []);
});
