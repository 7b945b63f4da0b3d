// Behind a load balancer: the client's address out of the PROXY protocol, versions 1 and 2, by hand and by a real HAProxy; who may
// send one; what is wrong, slow, or a health check; keep-alive below the balancer's idle limit. docs/operations.md, "Behind a load
// balancer".
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { before, describe, test } from 'node:test';
import { makeAuthority } from './lib/certificates.mjs';
import { join } from './lib/client.mjs';
import { ADMIN_KEY, ALLOW_ALL, appApi, httpApi, lambda, route } from './lib/config.mjs';
import { startGateway, tempDir } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { startBalancer } from './lib/proxies.mjs';
import { v1, V1_UNKNOWN, v2, V2_LOCAL } from './lib/proxyproto.mjs';
import { connectRaw, frame, RawPeer, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';
import { waitFor, within } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo });
});

const LOOPBACK = ['127.0.0.1'];
const format = '$context.identity.sourceIp $context.eventType $context.requestId';

// A public listener, and one behind a proxy.
function config(gw, { proxyProtocol = 'any', trustedProxies = LOOPBACK, listeners = [], ...more } = {}) {
  return {
    listeners: [{ address: `127.0.0.1:${gw.port}`, proxyProtocol, trustedProxies }, ...listeners],
    functions: fn.table('app'),
    apis: [
      appApi({ stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: 'stdout', format } }] }),
      httpApi({ hosts: ['web.test'], integrations: [lambda('app', { payloadFormatVersion: '1.0' })], routes: [route('$default', 'app')] }),
    ],
    ...more,
  };
}

const start = (t, options = {}) => startGateway(t, (gw) => config(gw, options));
const sample = async (gw, name) => (await gw.metrics()).find((s) => s.name === `tidegate_${name}`).value;
const refusals = (gw) => gw.log().split('\n').filter((line) => line.includes('connection refused by its PROXY header')).map((line) => JSON.parse(line));
let serial = 0;

// A WebSocket opened behind a header: {peer, event, id}.
async function open(t, gw, header, { target = { port: gw.port }, early = Buffer.alloc(0) } = {}) {
  const tag = `p${++serial}`;
  const peer = await connectRaw(t, target);
  peer.write(Buffer.concat([header, Buffer.from(upgradeRequest({ path: `/prod?tag=${tag}` })), early]));
  const answer = await peer.response();
  assert.equal(answer.status, 101);
  const { event } = await fn.call((call) => call.event?.queryStringParameters?.tag === tag && call.event.requestContext.eventType === 'CONNECT');
  return { peer, event, id: event.requestContext.connectionId };
}

// An HTTP request behind a header.
async function ask(t, gw, header, text, target = { port: gw.port }) {
  const peer = await connectRaw(t, target);
  peer.write(Buffer.concat([header, Buffer.from(text)]));
  return peer.response();
}

const get = (where, host = 'web.test', more = '') => `GET ${where} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;

// Closed, or reset, without a byte of an answer.
async function assertRefused(t, gw, bytes, options = {}) {
  const peer = await connectRaw(t, { port: gw.port, ...options });
  peer.write(bytes);
  await peer.ended();
  assert.equal(peer.received, 0);
}

describe('PROXY protocol: forms', () => {
  test('the address of each form, in the event, @connections and the access log', async (t) => {
    const gw = await start(t);
    const rows = [
      ['v1, IPv4', v1('192.0.2.7', '10.0.0.1', 56324, 443), '192.0.2.7', '443'],
      ['v1, IPv6', v1('2001:db8::7', 'fd00::1', 1, 8443), '2001:db8::7', '8443'],
      ['v1, UNKNOWN', V1_UNKNOWN, '127.0.0.1', String(gw.port)],
      ['v2, IPv4', v2('192.0.2.8', '10.0.0.1', { port: 443 }), '192.0.2.8', '443'],
      ['v2, IPv6', v2('2001:db8::8', 'fd00::1', { port: 80 }), '2001:db8::8', '80'],
      ['v2, IPv4 in IPv6', v2('0:0:0:0:0:ffff:c000:209', '0:0:0:0:0:ffff:a00:1'), '192.0.2.9', '443'],
      ['v2, LOCAL', V2_LOCAL, '127.0.0.1', String(gw.port)],
      ['v2, UNSPEC', v2(), '127.0.0.1', String(gw.port)],
      ['v2, a unix socket', v2('/run/a', '/run/b'), 'unix', undefined],
      ['v2, the TLV of a VPC endpoint, with a CRC', v2('192.0.2.10', '10.0.0.1', { tlvs: [[0xea, '\x01vpce-08d2bf15fac5001c9'], [0x04, '']], crc: true }), '192.0.2.10', '443'],
    ];
    for (const [name, header, address, port] of rows) {
      const { peer, event, id } = await open(t, gw, header);
      assert.equal(event.requestContext.identity.sourceIp, address, name);
      assert.equal(event.headers['X-Forwarded-For'], address, name);
      if (port) assert.equal(event.headers['X-Forwarded-Port'], port, name);
      peer.write(frame({ payload: '{"action":"echo"}' }));
      assert.equal((await peer.message()).text, '{"action":"echo"}');
      const message = await fn.call({ eventType: 'MESSAGE', connectionId: id });
      assert.equal(message.event.requestContext.identity.sourceIp, address, name);
      const info = await manage(t, gw, id, V2_LOCAL);
      assert.equal(JSON.parse(info.text).identity.sourceIp, address, name);
      peer.destroy();
      const last = await fn.call({ eventType: 'DISCONNECT', connectionId: id });
      assert.equal(last.event.requestContext.identity.sourceIp, address, name);
      const wanted = `${address} CONNECT`;
      await waitFor(() => gw.log().includes(wanted), { what: `"${wanted}" in the access log` });
    }
    assert.equal(await sample(gw, 'proxy_malformed_total'), 0);
  });

  test('frames behind the request, and a header that comes in pieces', async (t) => {
    const gw = await start(t);
    const { peer, event } = await open(t, gw, v2('192.0.2.7', '10.0.0.1'), { early: frame({ payload: '{"action":"echo","early":1}' }) });
    assert.equal((await peer.message()).text, '{"action":"echo","early":1}');
    assert.equal(event.requestContext.identity.sourceIp, '192.0.2.7');
    for (const header of [v1('192.0.2.7', '10.0.0.1'), v2('192.0.2.7', '10.0.0.1', { crc: true })]) {
      const slow = await connectRaw(t, { port: gw.port });
      const all = Buffer.concat([header, Buffer.from(get('/'))]);
      for (let at = 0; at < all.length; at += 3) {
        await new Promise((resolve) => slow.socket.write(all.subarray(at, at + 3), resolve));
        await new Promise(setImmediate);
      }
      assert.equal((await slow.response()).status, 200);
    }
  });

  test('an HTTP API: sourceIp and forwarded fields; what a client adds itself is not believed', async (t) => {
    const gw = await start(t);
    fn.on('app', (event) => ({ statusCode: 200, body: JSON.stringify({ ip: event.requestContext.identity.sourceIp, headers: event.headers }) }));
    t.after(() => fn.on('app', echo));
    const answer = await ask(t, gw, v2('203.0.113.9', '10.0.0.1', { port: 8443 }), get('/a', 'web.test', 'X-Forwarded-For: 198.51.100.1\r\n'));
    const seen = JSON.parse(answer.text);
    assert.equal(seen.ip, '203.0.113.9');
    assert.equal(seen.headers['X-Forwarded-For'], '198.51.100.1, 203.0.113.9');
    assert.equal(seen.headers['X-Forwarded-Port'], '8443');
  });

  test('policies see the client: aws:SourceIp', async (t) => {
    const key = { accessKeyId: 'AKIDNET', secretAccessKey: 'secret' };
    const policy = { ...ALLOW_ALL, Statement: [{ ...ALLOW_ALL.Statement[0], Condition: { IpAddress: { 'aws:SourceIp': '203.0.113.0/24' } } }] };
    const gw = await start(t, { credentials: [{ ...key, policy }] });
    const { id } = await open(t, gw, V2_LOCAL);
    assert.equal((await manage(t, gw, id, v2('203.0.113.5', '10.0.0.1'), key)).status, 200);
    assert.equal((await manage(t, gw, id, v2('203.0.114.5', '10.0.0.1'), key)).status, 403);
    assert.equal((await manage(t, gw, id, V2_LOCAL, key)).status, 403);
  });

  test('a listener of each kind: with a header on one, without on the other, over a unix socket on a third', async (t) => {
    const dir = tempDir(t);
    const where = path.join(dir, 's');
    const gw = await startGateway(t, (g) => ({ ...config(g, { listeners: [{ address: `127.0.0.1:${g.adminPort + 1}` }, { address: `unix:${where}`, proxyProtocol: 'v2' }] }) }));
    const direct = await ask(t, gw, Buffer.alloc(0), get('/'), { port: gw.adminPort + 1 });
    assert.equal(direct.status, 200);
    // There a header is no request.
    assert.equal((await ask(t, gw, v1('192.0.2.7', '10.0.0.1'), get('/'), { port: gw.adminPort + 1 })).status, 400);
    const { event } = await open(t, gw, v2('192.0.2.7', '10.0.0.1'), { target: { path: where } });
    assert.equal(event.requestContext.identity.sourceIp, '192.0.2.7');
    const { event: own } = await open(t, gw, V2_LOCAL, { target: { path: where } });
    assert.equal(own.requestContext.identity.sourceIp, 'unix');
  });
});

async function manage(t, gw, id, header, credentials = ADMIN_KEY) {
  const where = `/prod/@connections/${encodeURIComponent(id)}`;
  const signed = sign({ method: 'GET', path: where, host: gw.host, credentials });
  const fields = Object.entries(signed).filter(([name]) => name.toLowerCase() !== 'host').map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return ask(t, gw, header, get(where, gw.host, fields));
}

describe('PROXY protocol: refusals', () => {
  test('no header, a wrong one, one of the other version: closed, counted, told', async (t) => {
    const gw = await start(t, { proxyProtocol: 'v2' });
    const rows = [
      Buffer.from(get('/')),
      Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3]), // TLS
      v1('192.0.2.7', '10.0.0.1'),
      v2('192.0.2.7', '10.0.0.1', { crc: 'wrong' }),
      v2('192.0.2.7', '10.0.0.1', { length: 11 }),
      v2('192.0.2.7', '10.0.0.1', { length: 65535 }),
      v2('192.0.2.7', '10.0.0.1', { family: 0x41 }),
      v2('192.0.2.7', '10.0.0.1', { command: 2 }),
    ];
    for (const bytes of rows) await assertRefused(t, gw, Buffer.concat([bytes, Buffer.from(get('/'))]));
    assert.equal(await sample(gw, 'proxy_malformed_total'), rows.length);
    const lines = refusals(gw);
    assert.ok(lines.length >= 1 && lines.length <= rows.length);
    assert.equal(lines[0].reason, 'no PROXY header');
    assert.equal(lines[0].peer, '127.0.0.1');
    assert.equal(lines[0].port, gw.port);
    assert.equal(lines[0].level, 'warn');
    assert.equal(await sample(gw, 'http_requests_total'), 0);
  });

  test('version 2 is refused where version 1 is demanded', async (t) => {
    const gw = await start(t, { proxyProtocol: 'v1' });
    await assertRefused(t, gw, v2('192.0.2.7', '10.0.0.1'));
    assert.equal((await ask(t, gw, v1('192.0.2.7', '10.0.0.1'), get('/'))).status, 200);
    assert.match(refusals(gw)[0].reason, /a header of version 2, where version 1 is demanded/);
  });

  test('who is not trusted is closed at once, and a reload may trust him', async (t) => {
    const gw = await start(t, { trustedProxies: ['10.0.0.0/8', '127.0.0.1'] });
    const other = { localAddress: '127.0.0.77' };
    await assertRefused(t, gw, Buffer.concat([v2('192.0.2.7', '10.0.0.1'), Buffer.from(get('/'))]), other);
    assert.equal(await sample(gw, 'proxy_untrusted_total'), 1);
    assert.deepEqual(refusals(gw).map(({ peer, reason }) => [peer, reason]), [['127.0.0.77', 'the peer is not in trustedProxies']]);
    const stays = await open(t, gw, v2('192.0.2.7', '10.0.0.1'));
    await gw.reload(config(gw, { trustedProxies: ['127.0.0.64/26'] }), async () => (await sample(gw, 'reloads_total')) === 1);
    await waitFor(async () => {
      const peer = await connectRaw(t, { port: gw.port, ...other });
      peer.write(Buffer.concat([v2('192.0.2.8', '10.0.0.1'), Buffer.from(get('/'))]));
      return peer.response().then((answer) => answer.status === 200, () => false);
    }, { what: 'the reload in every worker' });
    await waitFor(async () => {
      const peer = await connectRaw(t, { port: gw.port });
      peer.write(Buffer.concat([V2_LOCAL, Buffer.from(get('/'))]));
      return peer.response().then(() => false, () => true);
    }, { what: 'the old proxy to be refused' });
    stays.peer.write(frame({ payload: '{"action":"echo"}' }));
    assert.equal((await stays.peer.message()).text, '{"action":"echo"}');
  });

  test('a header that does not come in time is cut off', async (t) => {
    const gw = await start(t, { http: { headerTimeoutSeconds: 0.3 } });
    const silent = await connectRaw(t, { port: gw.port });
    const half = await connectRaw(t, { port: gw.port });
    half.write('PROXY TCP4 192.');
    const began = performance.now();
    await Promise.all([silent.ended(), half.ended()]);
    assert.ok(performance.now() - began > 200);
    assert.equal(silent.received + half.received, 0);
    assert.equal(await sample(gw, 'proxy_timed_out_total'), 2);
    assert.match(refusals(gw)[0].reason, /in time/);
  });
});

describe('health checks', () => {
  test('a TCP connection that says nothing is no error', async (t) => {
    const gw = await start(t);
    for (let i = 0; i < 20; i++) {
      const socket = net.connect(gw.port, '127.0.0.1');
      await new Promise((resolve) => socket.once('connect', resolve));
      if (i % 2) socket.resetAndDestroy();
      else socket.end();
    }
    await waitFor(async () => (await sample(gw, 'http_accepted_total')) === 20 && (await sample(gw, 'http_connections')) === 0);
    for (const name of ['proxy_malformed_total', 'proxy_timed_out_total', 'proxy_untrusted_total', 'http_malformed_total', 'http_timed_out_total']) assert.equal(await sample(gw, name), 0, name);
    assert.deepEqual(gw.log().split('\n').filter((line) => /"level":"(warn|error)"/.test(line)), []);
  });

  test('/ping behind a header of the balancer\'s own; /readyz where another host reaches the admin listener', async (t) => {
    const gw = await startGateway(t, (g) => ({ ...config(g), admin: { address: `0.0.0.0:${g.adminPort}` } }));
    const ping = await ask(t, gw, V2_LOCAL, get('/ping', '10.0.0.1:8080'));
    assert.equal(ping.status, 200);
    // By another address of this machine than the one that is watched elsewhere.
    const ready = await ask(t, gw, Buffer.alloc(0), get('/readyz', '127.0.0.9'), { host: '127.0.0.9', port: gw.adminPort });
    assert.equal(ready.status, 200);
  });
});

describe('idle connections', () => {
  test('TCP keep-alive is due before a balancer forgets a connection', async (t) => {
    const gw = await start(t);
    const { peer } = await open(t, gw, V2_LOCAL);
    const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');
    // /proc/net/tcp: local, remote, state, queues, timer (2: keep-alive) with when it is due, in hundredths of a second.
    const row = () => fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/)).find(([, local, remote]) => local?.endsWith(`:${hex(gw.port)}`) && remote?.endsWith(`:${hex(peer.socket.localPort)}`));
    const timer = await waitFor(() => {
      const [kind, when] = row()[5].split(':');
      return Number(kind) === 2 ? parseInt(when, 16) / 100 : undefined;
    }, { what: 'the timer of the connection' });
    assert.ok(timer > 200 && timer <= 320, `due in ${timer} s`);
  });
});

describe('HAProxy', () => {
  for (const send of ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,unique-id']) {
    test(`clients' addresses with ${send}`, async (t) => {
      const gw = await start(t, { proxyProtocol: send === 'send-proxy' ? 'v1' : 'v2' });
      // Its own checks, by the way of the clients: a header of its own.
      const options = send.includes('unique-id') ? ['unique-id-format %{+X}o\\ %ci:%cp'] : [];
      const { us } = await startBalancer(t, { us: { send: `${send} check check-send-proxy inter 100ms`, servers: [{ port: gw.port }], options } });
      const front = { ...gw, url: (where) => `ws://127.0.0.1:${us}${where}` };
      for (const address of ['127.0.0.1', '127.0.0.42', '127.99.0.7']) {
        const client = await join(t, front, fn, { localAddress: address });
        assert.equal(client.connectEvent.requestContext.identity.sourceIp, address);
        assert.equal(client.connectEvent.headers['X-Forwarded-Port'], String(us));
        assert.deepEqual(JSON.parse(await client.ask({ action: 'echo', address })), { action: 'echo', address });
      }
      assert.equal(await sample(gw, 'proxy_malformed_total'), 0);
      assert.equal(await sample(gw, 'proxy_untrusted_total'), 0);
    });
  }

  test('over a unix socket', async (t) => {
    const where = path.join(tempDir(t), 's');
    const gw = await startGateway(t, (g) => ({ ...config(g), listeners: [{ address: `unix:${where}`, proxyProtocol: 'v2', unixMode: '0600' }] }));
    const { us } = await startBalancer(t, { us: { send: 'send-proxy-v2', servers: [{ path: where }] } });
    const client = await join(t, { url: (suffix) => `ws://127.0.0.1:${us}${suffix}` }, fn, { localAddress: '127.0.0.42' });
    assert.equal(client.connectEvent.requestContext.identity.sourceIp, '127.0.0.42');
  });
});

describe('TLS behind the header', () => {
  let authority;
  let pair;

  before(() => {
    authority = makeAuthority(file);
    pair = authority.issue('DNS:localhost', 'IP:127.0.0.1');
  });

  const secured = (gw, more = {}) => {
    const plain = config(gw, more);
    const certificates = [{ certificate: pair.certFile, privateKey: pair.keyFile }];
    return { ...plain, listeners: plain.listeners.map((one) => ({ ...one, tls: { certificates } })) };
  };

  test('the address of the header, the scheme of TLS; also when the handshake is in the same segment', async (t) => {
    const gw = await startGateway(t, (g) => secured(g));
    for (const header of [v1('192.0.2.7', '10.0.0.1', 1, 8443), v2('192.0.2.7', '10.0.0.1', { port: 8443, crc: true })]) {
      const bare = await connectRaw(t, { port: gw.port });
      bare.socket.removeAllListeners('data');
      bare.socket.cork();
      bare.socket.write(header);
      const socket = tls.connect({ socket: bare.socket, ca: fs.readFileSync(authority.file), servername: 'localhost' });
      process.nextTick(() => bare.socket.uncork());
      await within(new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject)), 'TLS');
      const peer = new RawPeer(socket);
      const tag = `s${++serial}`;
      peer.write(upgradeRequest({ path: `/prod?tag=${tag}` }));
      assert.equal((await peer.response()).status, 101);
      const { event } = await fn.call((call) => call.event?.queryStringParameters?.tag === tag);
      assert.equal(event.requestContext.identity.sourceIp, '192.0.2.7');
      assert.equal(event.headers['X-Forwarded-Port'], '8443');
      assert.equal(event.headers['X-Forwarded-Proto'], 'https');
      peer.write(frame({ payload: '{"action":"echo"}' }));
      assert.equal((await peer.message()).text, '{"action":"echo"}');
      socket.destroy();
    }
  });

  test('TLS without the header is refused', async (t) => {
    const gw = await startGateway(t, (g) => secured(g));
    const socket = tls.connect({ port: gw.port, host: '127.0.0.1', ca: fs.readFileSync(authority.file) });
    t.after(() => socket.destroy());
    await within(new Promise((resolve) => socket.once('error', resolve)), 'the refusal');
    assert.equal(await sample(gw, 'proxy_malformed_total'), 1);
  });

  test('through HAProxy, which passes TLS on', async (t) => {
    const gw = await startGateway(t, (g) => secured(g));
    const { us } = await startBalancer(t, { us: { send: 'send-proxy-v2', servers: [{ port: gw.port }] } });
    const front = { url: (where) => `wss://localhost:${us}${where}` };
    for (const address of ['127.0.0.1', '127.0.0.42']) {
      const client = await join(t, front, fn, { localAddress: address, family: 4, ca: fs.readFileSync(authority.file) });
      assert.equal(client.connectEvent.requestContext.identity.sourceIp, address);
      assert.equal(client.connectEvent.headers['X-Forwarded-Proto'], 'https');
      assert.deepEqual(JSON.parse(await client.ask({ action: 'echo', address })), { action: 'echo', address });
    }
  });
});
