// WebSocket upgrades to a plain back end (`websocket: true`): a tunnel that neither side notices. Beyond the model.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { before, describe, test } from 'node:test';
import WebSocket, { WebSocketServer } from 'ws';
import { makeAuthority } from './lib/certificates.mjs';
import { dial, Refused } from './lib/client.mjs';
import { forward, httpApi, mock, route, twoWay, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { acceptFor, closeFrame, connectRaw, frame, openRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { answer, startTcpBackend } from './lib/tcpbackend.mjs';
import { deferred, pool, waitFor, within } from './lib/wait.mjs';

const file = fileScope();
let back; // a server of the package ws
let bare; // a back end on bare TCP whose connections the tests take
let gw;

// An echo server: {port, url, sockets, ends}; `ends` holds {code, reason} of each connection's close.
async function startEcho(owner) {
  const echo = { sockets: [], requests: [], ends: [] };
  const http = createServer((req, res) => res.writeHead(200, { 'X-Plain': 'yes' }).end(`plain ${req.url}`));
  const server = new WebSocketServer({ server: http, perMessageDeflate: true, handleProtocols: (offered) => [...offered].at(-1), verifyClient: (info, done) => done(!info.req.url.startsWith('/refuse'), 403, 'not you', { 'X-Why': 'because' }) });
  server.on('connection', (ws, req) => {
    echo.sockets.push(ws);
    echo.requests.push(req);
    ws.on('message', (data, binary) => ws.send(data, { binary }));
    ws.on('close', (code, reason) => echo.ends.push({ code, reason: reason.toString() }));
    ws.on('error', () => {});
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', 4096, resolve));
  echo.port = http.address().port;
  echo.url = `http://127.0.0.1:${echo.port}`;
  onEnd(owner, () => {
    for (const ws of server.clients) ws.terminate();
    http.close();
    http.closeAllConnections();
  });
  return echo;
}

const config = (extra = {}) => ({
  apis: [
    httpApi({
      hosts: ['127.0.0.1', 'web.test'],
      integrations: [forward('ws', `${back.url}/{proxy}`, { websocket: true }), forward('bare', `${bare.url}/{proxy}`, { websocket: true, timeoutInMillis: 1000 }), forward('plain', `${back.url}/{proxy}`)],
      routes: [route('ANY /ws/{proxy+}', 'ws'), route('ANY /bare/{proxy+}', 'bare'), route('ANY /plain/{proxy+}', 'plain')],
    }),
    wsApi({ hosts: ['chat.test'], integrations: [mock('m', { template: '{"from":"api"}' })], routes: [twoWay('$default', 'm')] }),
  ],
  ...extra,
});

before(async () => {
  back = await startEcho(file);
  bare = await startTcpBackend(file);
  gw = await startGateway(file, config());
});

const url = (where) => `ws://${gw.host}${where}`;
const dialTunnel = (t, where, options) => dial(t, url(where), options);

// A tunnel whose both ends are bare TCP: {peer: the client's, connection: the back end's}.
async function openTunnel(t, gateway = gw, { early } = {}) {
  const peer = await connectRaw(t, { port: gateway.port, allowHalfOpen: true });
  const key = randomBytes(16).toString('base64');
  const count = bare.connections.length;
  peer.write(Buffer.concat([Buffer.from(upgradeRequest({ path: '/bare/x', key })), Buffer.from(early ?? '')]));
  const connection = await bare.connection(count);
  const head = await connection.head();
  connection.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`);
  const got = await peer.response();
  assert.equal(got.status, 101);
  return { peer, connection, head, got };
}

describe('tunnel', () => {
  test('tunnel: text and binary, both directions, in order', async (t) => {
    const client = await dialTunnel(t, '/ws/echo');
    for (let i = 0; i < 50; i++) client.send(`message ${i}`);
    for (let i = 0; i < 50; i++) assert.equal(await client.next(), `message ${i}`);
    const bytes = randomBytes(300000);
    client.send(bytes);
    assert.ok(bytes.equals(await client.next()));
    back.sockets.at(-1).send('unasked');
    assert.equal(await client.next(), 'unasked');
  });

  test('tunnel: the request as the back end sees it', async (t) => {
    await dialTunnel(t, '/ws/some/path?token=a%20b', { headers: { Cookie: 'a=b', Authorization: 'Bearer x', Origin: 'https://a.example', Host: 'web.test' } });
    const seen = back.requests.at(-1);
    assert.equal(seen.url, '/some/path?token=a%20b');
    assert.deepEqual([seen.headers.cookie, seen.headers.authorization, seen.headers.origin, seen.headers.host], ['a=b', 'Bearer x', 'https://a.example', `127.0.0.1:${back.port}`]);
    assert.deepEqual([seen.headers.upgrade, seen.headers.connection, seen.headers.via], ['websocket', 'Upgrade', 'HTTP/1.1 AmazonAPIGateway']);
    assert.equal(seen.headers.forwarded, 'for=127.0.0.1;host=web.test;proto=http');
    assert.equal(seen.headers['content-length'], undefined);
  });

  test('tunnel: the 101 is the back end\'s, hop-by-hop fields ours', async (t) => {
    const { got, head } = await openTunnel(t);
    const { 'apigw-requestid': id, date, ...rest } = got.headers;
    assert.ok(id);
    assert.deepEqual(Object.keys(rest).sort(), ['connection', 'sec-websocket-accept', 'upgrade']);
    assert.equal(head.headers.connection, 'Upgrade');
    assert.equal(date, undefined);
  });

  test('tunnel: subprotocols are the back end\'s choice, extensions as well', async (t) => {
    const client = await dialTunnel(t, '/ws/echo', { protocols: ['one', 'two'], perMessageDeflate: true });
    assert.equal(client.ws.protocol, 'two');
    assert.match(client.ws.extensions, /permessage-deflate/);
    client.send('x'.repeat(5000));
    assert.equal((await client.next()).length, 5000);
  });

  test('tunnel: pings are answered by the back end', async (t) => {
    const client = await dialTunnel(t, '/ws/echo');
    const pong = new Promise((resolve) => client.ws.once('pong', (data) => resolve(data.toString())));
    client.ws.ping('there?');
    assert.equal(await within(pong, 'a pong'), 'there?');
  });

  for (const [code, reason] of [[1000, 'done'], [3000, ''], [4999, 'own']]) {
    test(`tunnel: close code ${code} of the client reaches the back end, and its echo the client`, async (t) => {
      const client = await dialTunnel(t, '/ws/echo');
      const ends = back.ends.length;
      client.ws.close(code, reason);
      assert.deepEqual(await client.closed, { code, reason });
      await waitFor(() => back.ends.length > ends, { what: 'the back end\'s close' });
      assert.deepEqual(back.ends.at(-1), { code, reason });
    });

    test(`tunnel: close code ${code} of the back end reaches the client`, async (t) => {
      const client = await dialTunnel(t, '/ws/echo');
      back.sockets.at(-1).close(code, reason);
      assert.deepEqual(await client.closed, { code, reason });
    });
  }

  test('tunnel: without frames between, a cut is a cut: 1006 both ways', async (t) => {
    const client = await dialTunnel(t, '/ws/echo');
    back.sockets.at(-1).terminate();
    assert.equal((await client.closed).code, 1006);
    const other = await dialTunnel(t, '/ws/echo');
    const ends = back.ends.length;
    other.ws.terminate();
    await waitFor(() => back.ends.length > ends, { what: 'the back end\'s close' });
    assert.equal(back.ends.at(-1).code, 1006);
  });

  test('tunnel: what the client sends behind its handshake, before the 101, arrives', async (t) => {
    const { connection } = await openTunnel(t, gw, { early: 'early bird' });
    assert.equal(String(await connection.bytes(10)), 'early bird');
  });

  test('tunnel: what the back end sends behind its 101 arrives', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const count = bare.connections.length;
    peer.write(upgradeRequest({ path: '/bare/x' }));
    const connection = await bare.connection(count);
    await connection.head();
    connection.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nat once');
    assert.equal((await peer.response()).status, 101);
    await peer.upTo('at once');
  });

  test('tunnel: bytes pass as they are, no frames are looked for', async (t) => {
    const { peer, connection } = await openTunnel(t);
    const there = randomBytes(500000);
    const back_ = randomBytes(500000);
    peer.write(there);
    connection.write(back_);
    assert.ok(there.equals(await connection.bytes(there.length)));
    await waitFor(() => peer.buffer.length === back_.length, { what: 'all bytes' });
    assert.ok(back_.equals(peer.buffer));
  });

  test('tunnel: the client half-closes: the back end sees it, and what it still says arrives', async (t) => {
    const { peer, connection } = await openTunnel(t);
    peer.write('last words');
    peer.socket.end();
    await connection.bytes(10);
    await connection.ended();
    connection.write('heard');
    await peer.upTo('heard');
    connection.shut();
    await peer.ended();
    assert.equal(peer.error, undefined);
  });

  test('tunnel: the back end closes: the client gets all of it and a clean end', async (t) => {
    const { peer, connection } = await openTunnel(t);
    const much = randomBytes(700000);
    connection.write(much);
    connection.shut();
    await peer.ended();
    assert.ok(much.equals(peer.buffer));
    assert.equal(peer.error, undefined);
  });

  test('tunnel: a reset passes, both ways', async (t) => {
    const one = await openTunnel(t);
    one.peer.socket.resetAndDestroy();
    await one.connection.ended();
    const two = await openTunnel(t);
    two.connection.reset();
    await two.peer.ended();
    await waitFor(() => two.peer.error, { what: 'a reset' });
  });

  test('tunnel: neither timeoutInMillis nor answerIdleTimeoutSeconds ends one that is open', async (t) => {
    const { peer, connection } = await openTunnel(t); // timeoutInMillis: 1000
    await new Promise((resolve) => setTimeout(resolve, 1300));
    connection.write('still here');
    await peer.upTo('still here');
    peer.write('so am I');
    assert.equal(String(await connection.bytes(7)), 'so am I');
  });

  test('tunnel: a refusal of the back end passes: status, headers, body; the connection stays', async (t) => {
    const refused = await dialTunnel(t, '/ws/refuse').then(() => assert.fail('was accepted'), (error) => error);
    assert.ok(refused instanceof Refused, refused);
    assert.deepEqual([refused.status, refused.text, refused.headers['x-why']], [403, 'not you', 'because']);
    const peer = await connectRaw(t, { port: gw.port });
    const count = bare.connections.length;
    peer.write(upgradeRequest({ path: '/bare/x' }));
    const connection = await bare.connection(count);
    await connection.head();
    connection.write(answer('no socket here', 'Connection: close\r\n'));
    const got = await peer.response();
    assert.deepEqual([got.status, got.text], [200, 'no socket here']);
    peer.write('GET /plain/x HTTP/1.1\r\nHost: web.test\r\n\r\n');
    assert.equal((await peer.response()).text, 'plain /x');
  });

  test('tunnel: a back end that does not answer the upgrade: 503', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const count = bare.connections.length;
    peer.write(upgradeRequest({ path: '/bare/x' }));
    const connection = await bare.connection(count);
    await connection.head();
    assert.equal((await peer.response()).status, 503);
    await connection.ended();
  });

  test('tunnel: a client that goes before the 101: the back end sees its call cancelled', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const count = bare.connections.length;
    peer.write(upgradeRequest({ path: '/bare/x' }));
    const connection = await bare.connection(count);
    await connection.head();
    peer.destroy();
    await connection.ended();
  });

  test('tunnel: plain requests of the route are plain; without `websocket` an upgrade is one as well', async () => {
    assert.equal((await gw.get('/ws/x?y')).text, 'plain /x?y');
    const got = await request({ port: gw.port, path: '/plain/x', headers: { Host: 'web.test', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': randomBytes(16).toString('base64'), 'Sec-WebSocket-Version': '13' } });
    assert.deepEqual([got.status, got.text, got.headers['x-plain']], [200, 'plain /x', 'yes']);
  });

  test('tunnel: an HTTP/1.0 client gets no tunnel', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(upgradeRequest({ path: '/ws/x', httpVersion: '1.0' }));
    const got = await peer.response();
    assert.notEqual(got.status, 101);
  });

  test('tunnel: WebSocket APIs are served beside, by their host', async (t) => {
    const peer = await openRaw(t, gw, { path: '/prod', host: 'chat.test' });
    assert.equal(peer.handshake.status, 101);
    peer.write(frame({ payload: '{"action":"x"}' }));
    assert.equal((await peer.message()).text, '{"from":"api"}');
    peer.write(closeFrame(1000));
    assert.equal((await peer.frame()).code, 1000);
  });

  test('tunnel: a slow reader holds the back end, and loses nothing', async (t) => {
    const { peer, connection } = await openTunnel(t);
    const much = 48 * 1024 * 1024;
    peer.pause();
    let taken = 0;
    const block = Buffer.alloc(1 << 20, 'z');
    const feed = (async () => {
      for (; taken < much; taken += block.length) {
        if (!connection.socket.write(block)) await new Promise((resolve) => connection.socket.once('drain', resolve));
      }
      connection.shut();
    })();
    // It stands still once the buffers of both kernels are full.
    let before = -1;
    await waitFor(() => {
      const still = taken > 0 && taken === before;
      before = taken;
      return still;
    }, { interval: 300, what: 'the back end to be held' });
    assert.ok(taken < much, `${taken} bytes were taken`);
    peer.socket.removeAllListeners('data');
    let got = 0;
    peer.socket.on('data', (data) => (got += data.length));
    peer.resume();
    await within(feed, 'the back end to be done', 20000);
    await peer.ended(20000);
    assert.equal(got, much);
  });

  test('tunnel: to a back end over TLS, and to one of a VPC link', async (t) => {
    const authority = makeAuthority(t);
    const server = createTlsServer(authority.issue('DNS:localhost'));
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (ws, req) => ws.on('message', (data) => ws.send(`${req.url} ${data}`)));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    onEnd(t, () => {
      for (const ws of sockets.clients) ws.terminate();
      server.close();
      server.closeAllConnections();
    });
    const origin = `https://localhost:${server.address().port}`;
    const g = await startGateway(t, {
      vpcLinks: [{ vpcLinkId: 'inside', name: 'inside', targets: [{ url: back.url }] }],
      apis: [
        httpApi({
          integrations: [forward('tls', `${origin}/tls`, { websocket: true, tlsConfig: { caFile: authority.file } }), forward('link', 'http://inside.example/{proxy}', { websocket: true, connectionType: 'VPC_LINK', connectionId: 'inside' })],
          routes: [route('GET /tls', 'tls'), route('GET /link/{proxy+}', 'link')],
        }),
      ],
    });
    const secure = await dial(t, `ws://${g.host}/tls`);
    secure.send('hello');
    assert.equal(await secure.next(), '/tls hello');
    const bytes = 'x'.repeat(400000);
    secure.send(bytes);
    assert.equal((await secure.next()).length, bytes.length + 5);
    assert.deepEqual(await secure.close(1000, 'done'), { code: 1000, reason: 'done' });
    const linked = await dial(t, `ws://${g.host}/link/echo`);
    linked.send('hello');
    assert.equal(await linked.next(), 'hello');
  });

  test('tunnel: many at once, each its own', async (t) => {
    const clients = [];
    await pool(200, 20, async (i) => {
      clients[i] = await dialTunnel(t, `/ws/${i}`);
    });
    for (let round = 0; round < 3; round++) {
      clients.forEach((client, i) => client.send(`${round} ${i}`));
      for (const [i, client] of clients.entries()) assert.equal(await client.next(), `${round} ${i}`);
    }
    for (const client of clients) client.ws.terminate();
    await waitFor(() => back.sockets.every((ws) => ws.readyState === WebSocket.CLOSED), { what: 'the back end to lose them all' });
  });

  test('tunnel: SIGTERM: tunnels go on during the drain, and are cut at the deadline', async (t) => {
    const g = await startGateway(t, config({ drain: { deadlineSeconds: 1.5 } }));
    const { peer, connection } = await openTunnel(t, g);
    const cut = deferred();
    const began = Date.now();
    peer.end.then(() => cut.resolve(Date.now() - began));
    g.signal('SIGTERM');
    await waitFor(() => g.log().includes('drain') || g.log().includes('SIGTERM') || g.log().includes('stopping'), { what: 'the drain to begin' });
    connection.write('meanwhile');
    await peer.upTo('meanwhile');
    peer.write('and back');
    assert.equal(String(await connection.bytes(8)), 'and back');
    const after = await within(cut.promise, 'the tunnel to end');
    assert.ok(after >= 1000, `cut after ${after} ms`);
    await connection.ended();
    assert.deepEqual(await within(g.exited, 'the gateway to end'), { code: 0, signal: null });
  });

  test('tunnel: SIGTERM: without tunnels left the gateway ends at once', async (t) => {
    const g = await startGateway(t, config({ drain: { deadlineSeconds: 60 } }));
    const { peer, connection } = await openTunnel(t, g);
    g.signal('SIGTERM');
    peer.write('bye');
    await connection.bytes(3);
    connection.shut();
    await peer.ended();
    assert.deepEqual(await within(g.exited, 'the gateway to end'), { code: 0, signal: null });
  });
});
