// TLS on listeners: certificates by name, versions, sessions, reloads, client certificates, and what speaks TLS to it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { openBrowser } from './lib/browser.mjs';
import { makeAuthority } from './lib/certificates.mjs';
import { dial, join } from './lib/client.mjs';
import { ADMIN_KEY, appApi, forward, httpApi, lambda, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { frame, upgradeRequest } from './lib/raw.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';
import { PYTHON, exec, script } from './lib/tools.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const file = fileScope();
let authority;
let stranger;
let first; // for a.test
let wild; // for *.wild.test and b.test
let be;
let fn;

before(async () => {
  authority = makeAuthority(file);
  stranger = makeAuthority(file);
  first = authority.issue('DNS:a.test', 'DNS:localhost', 'IP:127.0.0.1');
  wild = authority.issue('DNS:*.wild.test', 'DNS:b.test');
  be = await startBackend(file, (request) => ({ body: JSON.stringify(request.headers) }));
  fn = await startLambda(file, { app: (event) => ({ statusCode: 200, body: event.body ?? '' }), web: (event) => ({ statusCode: 200, body: JSON.stringify(event) }) });
});

const entry = (pair, more = {}) => ({ certificate: pair.certFile, privateKey: pair.keyFile, ...more });

// A WebSocket API `chat`, an HTTP API `web`, over TLS with these settings.
function configOf(gateway, settings = {}, more = {}) {
  const { certificates = [entry(first), entry(wild)], ...others } = settings;
  return {
    listeners: [{ address: `127.0.0.1:${gateway.port}`, tls: { certificates, ...others } }],
    functions: fn.table('app', 'web'),
    apis: [
      appApi({ hosts: ['chat.test', 'a.test', 'localhost', '127.0.0.1'], ...more.chat }),
      httpApi({ hosts: ['web.test'], integrations: [forward('be', `${be.url}/`), lambda('web', { payloadFormatVersion: '2.0' })], routes: [route('GET /be', 'be'), route('GET /fn', 'web')] }),
    ],
    ...more.config,
  };
}

async function start(owner, settings, more, options) {
  const gw = await startGateway(owner, (gateway) => configOf(gateway, settings, more), options);
  gw.wss = (where = '/prod') => `wss://127.0.0.1:${gw.port}${where}`;
  return gw;
}

// What a TLS client finds: the version, the certificate's names, ALPN. Throws what OpenSSL says.
function shake(gw, options = {}) {
  const done = deferred();
  const socket = tls.connect({ port: gw.port, host: '127.0.0.1', ca: fs.readFileSync(authority.file), checkServerIdentity: () => undefined, ...options });
  socket.on('secureConnect', () => {
    done.resolve({ names: socket.getPeerCertificate().subjectaltname, version: socket.getProtocol(), alpn: socket.alpnProtocol, cipher: socket.getCipher().name });
    socket.end();
  });
  socket.on('error', done.reject);
  socket.on('close', () => done.reject(new Error('closed in the handshake')));
  return within(done.promise, 'a handshake');
}

function request(gw, { path: where = '/', method = 'GET', headers = {}, body, ...options } = {}) {
  const done = deferred();
  const req = https.request({ port: gw.port, host: '127.0.0.1', path: where, method, headers, agent: false, servername: 'a.test', ca: fs.readFileSync(authority.file), ...options });
  req.on('response', (res) => {
    let text = '';
    res.on('data', (data) => (text += data));
    res.on('end', () => done.resolve({ status: res.statusCode, headers: res.headers, text }));
    res.on('error', done.reject);
  });
  req.on('error', done.reject);
  req.end(body);
  return within(done.promise, `${method} ${where}`);
}

const trust = (more = {}) => ({ ca: fs.readFileSync(authority.file), ...more });

async function metric(gw, name) {
  return (await gw.metrics()).find((sample) => sample.name === name)?.value;
}

describe('certificates, versions, protocols', () => {
  let gw;
  before(async () => {
    gw = await start(file);
  });

  test('the host that the client names chooses the certificate', async () => {
    const of = async (servername) => (await shake(gw, { servername })).names;
    assert.match(await of('a.test'), /a\.test/);
    assert.match(await of('x.wild.test'), /wild\.test/);
    assert.match(await of('b.test'), /wild\.test/);
    assert.match(await of('unknown.test'), /a\.test/, 'the first');
    assert.match(await of(''), /a\.test/, 'and without a name');
  });

  test('TLS 1.2 and 1.3, with forward secrecy; not 1.1', async () => {
    const of = (version) => shake(gw, { minVersion: version, maxVersion: version, servername: 'a.test' });
    const two = await of('TLSv1.2');
    assert.equal(two.version, 'TLSv1.2');
    assert.match(two.cipher, /^ECDHE-.*(GCM|POLY1305)/);
    assert.equal((await of('TLSv1.3')).version, 'TLSv1.3');
    await assert.rejects(shake(gw, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }), /alert protocol version|version/i);
    await assert.rejects(shake(gw, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }), /handshake failure|no shared cipher/i);
    await waitFor(() => gw.log().includes('TLS handshake failed'), { what: 'a line in the log' });
    assert.match(gw.log(), /"reason":"(unsupported protocol|no shared cipher)"/);
  });

  test('http/1.1 is what ALPN comes to', async () => {
    assert.equal((await shake(gw, { ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1');
    await assert.rejects(shake(gw, { ALPNProtocols: ['h2'] }), /no application protocol/i);
  });

  test('plain HTTP gets a 400 that says what is wrong, and metrics tell', async () => {
    const before = await metric(gw, 'tidegate_tls_handshake_failures_total');
    const answer = await gw.get('/be', { headers: { Host: 'web.test' } });
    assert.equal(answer.status, 400);
    assert.deepEqual(JSON.parse(answer.text), { message: 'This port speaks TLS: use https or wss' });
    assert.equal(answer.headers.connection, 'close');
    assert.equal(await metric(gw, 'tidegate_tls_handshake_failures_total'), before + 1);
    assert.ok((await metric(gw, 'tidegate_tls_handshakes_total')) > 0);
    const expiry = (await gw.metrics()).filter((sample) => sample.name === 'tidegate_tls_certificate_expiry_timestamp_seconds');
    assert.deepEqual(expiry.map((sample) => sample.labels.certificate), [first.certFile, wild.certFile]);
    for (const { value } of expiry) assert.ok(Math.abs(value - Date.now() / 1000 - 2 * 86400) < 3600);
  });

  test('a handshake that is not completed ends by headerTimeoutSeconds', async (t) => {
    const quick = await start(t, {}, { config: { http: { headerTimeoutSeconds: 0.3 } } });
    const socket = net.connect(quick.port, '127.0.0.1');
    onEnd(t, () => socket.destroy());
    const closed = deferred();
    socket.on('close', closed.resolve);
    socket.on('error', () => {});
    socket.resume();
    socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1])); // the beginning of a ClientHello
    await within(closed.promise, 'the gateway to close');
    assert.match(quick.log(), /TLS handshake failed.*not completed in time/);
    assert.equal(await metric(quick, 'tidegate_tls_handshake_failures_total'), 1);
    assert.equal(await metric(quick, 'tidegate_http_connections'), 0);
  });
});

describe('sessions', () => {
  // openssl s_client, until it has said what is waited for and the gateway has answered.
  async function client(gw, args) {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${gw.port}`, '-servername', 'a.test', '-CAfile', authority.file, '-ign_eof', ...args], { stdio: 'pipe' });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    const ended = deferred();
    child.on('close', ended.resolve);
    child.stdin.end('GET /nothing HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n');
    await within(ended.promise, `openssl s_client to end: ${output}`);
    assert.match(output, /HTTP\/1\.1 404/);
    return output;
  }

  for (const sessionTickets of [true, false]) {
    test(`are resumed on any worker, ${sessionTickets ? 'by ticket' : 'from memory'}`, async (t) => {
      const gw = await start(t, { sessionTickets }, { config: { workers: 4 } });
      const dir = tempDir(t);
      for (const version of ['-tls1_2', '-tls1_3']) {
        const saved = path.join(dir, version);
        assert.match(await client(gw, [version, '-sess_out', saved]), /New, TLS/);
        for (let i = 0; i < 4; i++) assert.match(await client(gw, [version, '-sess_in', saved]), /Reused, TLS/);
      }
      // The same by WebSockets that stay open, so that their workers show.
      let session;
      const opener = await dial(t, gw.wss(), trust({ maxVersion: 'TLSv1.2', servername: 'a.test' }));
      session = opener.ws._socket.getSession();
      const busy = async () => (await gw.metrics()).filter((sample) => sample.name === 'tidegate_worker_connections' && sample.value > 0).length;
      for (let i = 0; i < 40 && (await busy()) < 3; i++) {
        const next = await dial(t, gw.wss(), trust({ maxVersion: 'TLSv1.2', servername: 'a.test', session }));
        assert.equal(next.ws._socket.isSessionReused(), true);
      }
      assert.ok((await busy()) >= 3);
      assert.ok((await metric(gw, 'tidegate_tls_resumed_total')) >= 10);
    });
  }
});

describe('reload', () => {
  const names = async (gw, options) => (await shake(gw, { servername: 'a.test', ...options })).names;

  test('swaps the certificate for new connections; open ones go on, a bad one changes nothing', async (t) => {
    const gw = await start(t);
    const next = authority.issue('DNS:a.test', 'DNS:next.test');
    const client = await dial(t, gw.wss(), trust({ servername: 'a.test', maxVersion: 'TLSv1.2' }));
    const session = client.ws._socket.getSession();
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    onEnd(t, () => agent.destroy());
    const kept = () => request(gw, { path: '/be', headers: { Host: 'web.test' }, agent });
    assert.equal((await kept()).status, 200);
    await gw.reload(configOf(gw, { certificates: [entry(next)] }), async () => (await names(gw)).includes('next.test'));
    assert.equal(await client.ask({ action: 'echo', n: 1 }), '{"action":"echo","n":1}');
    assert.equal((await kept()).status, 200);
    const resumed = await dial(t, gw.wss(), trust({ servername: 'a.test', session, maxVersion: 'TLSv1.2' }));
    assert.equal(resumed.ws._socket.isSessionReused(), true, 'sessions outlive a reload');

    // The same path with another content: the usual renewal.
    fs.copyFileSync(first.certFile, next.certFile);
    fs.copyFileSync(first.keyFile, next.keyFile);
    process.kill(gw.pid, 'SIGHUP');
    await waitFor(async () => !(await names(gw)).includes('next.test'), { what: 'the renewed certificate' });

    const failures = () => metric(gw, 'tidegate_reload_failures_total');
    fs.writeFileSync(next.certFile, 'rubbish');
    await gw.reload(configOf(gw, { certificates: [entry(next)] }), async () => (await failures()) === 1);
    fs.copyFileSync(wild.certFile, next.certFile); // not of this key
    await gw.reload(configOf(gw, { certificates: [entry(next)] }), async () => (await failures()) === 2);
    assert.match(gw.log(), /tls\.certificates\[0\]\.privateKey: .* is not the key of the certificate/);
    assert.match(await names(gw), /a\.test/);
    assert.equal(await client.ask({ action: 'echo', n: 2 }), '{"action":"echo","n":2}');
    assert.equal((await kept()).status, 200);
    const { code } = await client.close(1000);
    assert.equal(code, 1000);
  });

  test('turns TLS on and off, and other certificates of clients', async (t) => {
    const gw = await start(t);
    const plain = { ...configOf(gw), listeners: [{ address: `127.0.0.1:${gw.port}` }] };
    await gw.reload(plain, async () => (await gw.get('/be', { headers: { Host: 'web.test' } })).status === 200);
    await gw.reload(configOf(gw, { clientCa: authority.file }), async () => (await gw.get('/be', { headers: { Host: 'web.test' } })).status === 400);
    await assert.rejects(request(gw, { path: '/be', headers: { Host: 'web.test' } }));
    assert.equal((await request(gw, { path: '/be', headers: { Host: 'web.test' }, cert: wild.cert, key: wild.key })).status, 200);
  });
});

describe('clientCa', () => {
  test('clients without a certificate of the authority get nowhere', async (t) => {
    const gw = await start(t, { clientCa: authority.file });
    const ours = authority.issue('DNS:client.test');
    const theirs = stranger.issue('DNS:client.test');
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const get = (more) => request(gw, { path: '/be', headers: { Host: 'web.test' }, minVersion: version, maxVersion: version, ...more });
      assert.equal((await get({ cert: ours.cert, key: ours.key })).status, 200);
      await assert.rejects(get(), /alert|reset|hang up|EPIPE/);
      await assert.rejects(get({ cert: theirs.cert, key: theirs.key }), /alert|reset|hang up|EPIPE/);
    }
    const client = await dial(t, gw.wss(), trust({ servername: 'a.test', cert: ours.cert, key: ours.key }));
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    await assert.rejects(dial(t, gw.wss(), trust({ servername: 'a.test' })));
    assert.match(gw.log(), /peer did not return a certificate/);
  });
});

test('functions and access logs learn of the certificate of a client', async (t) => {
  const log = path.join(tempDir(t), 'access.log');
  const web = httpApi({
    integrations: [lambda('v2', { payloadFormatVersion: '2.0' }), lambda('v1', { payloadFormatVersion: '1.0' })],
    routes: [route('GET /v2', 'v2'), route('GET /v1', 'v1')],
    stages: [{ stageName: '$default', accessLogSettings: { destinationArn: `file:${log}`, format: '$context.identity.clientCert.subjectDN $context.identity.clientCert.serialNumber $context.requestId' } }],
  });
  fn.on('v1', (event) => ({ statusCode: 200, headers: {}, body: JSON.stringify(event.requestContext.identity) }));
  fn.on('v2', (event) => ({ statusCode: 200, body: JSON.stringify(event.requestContext) }));
  const gw = await start(t, { clientCa: authority.file }, { config: { functions: fn.table('v1', 'v2'), apis: [web] } });
  const ours = authority.issue('DNS:client.test');
  const x509 = new X509Certificate(ours.cert);
  const get = async (where) => JSON.parse((await request(gw, { path: where, cert: ours.cert, key: ours.key })).text);
  const serialNumber = x509.serialNumber.toLowerCase().match(/../g).join(':');
  const expected = { clientCertPem: x509.toString(), subjectDN: 'CN=server', issuerDN: 'CN=throw-away authority', serialNumber, validity: { notBefore: x509.validFrom, notAfter: x509.validTo } };
  assert.deepEqual((await get('/v2')).authentication, { clientCert: expected });
  assert.deepEqual((await get('/v1')).clientCert, expected);
  await waitFor(() => fs.existsSync(log) && fs.readFileSync(log, 'utf8').split('\n').filter((line) => line.startsWith(`CN=server ${serialNumber} `)).length === 2, { what: 'two rows in the access log' });
});

test('the row of a client that left says whose certificate it was', async (t) => {
  const log = path.join(tempDir(t), 'access.log');
  const web = httpApi({
    integrations: [lambda('slow', { payloadFormatVersion: '2.0' })],
    routes: [route('GET /slow', 'slow')],
    stages: [{ stageName: '$default', accessLogSettings: { destinationArn: `file:${log}`, format: '$context.requestId $context.path $context.identity.clientCert.subjectDN $context.identity.clientCert.issuerDN' } }],
  });
  const called = deferred();
  const answer = deferred();
  fn.on('slow', async () => {
    called.resolve();
    await answer.promise;
    return { statusCode: 200, body: 'late' };
  });
  const gw = await start(t, { clientCa: authority.file }, { config: { functions: fn.table('slow'), apis: [web] } });
  const ours = authority.issue('DNS:client.test');
  const raw = net.connect({ port: gw.port, host: '127.0.0.1' });
  const socket = tls.connect({ socket: raw, servername: 'a.test', ca: fs.readFileSync(authority.file), cert: ours.cert, key: ours.key });
  onEnd(t, () => raw.destroy());
  for (const one of [raw, socket]) one.on('error', () => {});
  socket.write('GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await within(called.promise, 'the call');
  raw.resetAndDestroy();
  setTimeout(() => answer.resolve(), 50);
  const line = await waitFor(() => fs.existsSync(log) && fs.readFileSync(log, 'utf8').split('\n')[0], { what: 'the row' });
  assert.match(line, / \/slow CN=server CN=throw-away authority$/);
});

describe('check', () => {
  test('tells of files with line and path', async (t) => {
    const dir = tempDir(t);
    const expired = authority.expired(wild);
    const check = async (certificate, privateKey, more = '') => {
      const yaml = `listeners:\n  - address: 127.0.0.1:0\n    tls:\n      certificates:\n        - certificate: ${certificate}\n          privateKey: ${privateKey}\n${more}apis:\n  - {apiId: a, name: a, protocolType: WEBSOCKET, routeSelectionExpression: $request.body.action, stages: [{stageName: prod}]}\n`;
      fs.writeFileSync(path.join(dir, 'c.yaml'), yaml);
      return run(['check', 'c.yaml'], { cwd: dir });
    };
    const rows = [
      [await check(first.certFile, first.keyFile), 0, /^c\.yaml: ok/m],
      [await check(first.certFile, first.keyFile, '      minVersion: 1.3\n'), 0, /^c\.yaml: ok/m],
      [await check('missing.pem', first.keyFile), 1, /c\.yaml:5:.*listeners\[0\]\.tls\.certificates\[0\]\.certificate: "missing\.pem" cannot be read: not found/m],
      [await check(first.certFile, 'missing.key'), 1, /c\.yaml:6:.*\.privateKey: "missing\.key" cannot be read: not found/m],
      [await check(first.certFile, wild.keyFile), 1, /c\.yaml:6:.*\.privateKey: .* is not the key of the certificate/m],
      [await check(expired.certFile, expired.keyFile), 0, /c\.yaml:5:.*\.certificate: .*expired on /m],
      [await check(first.certFile, first.keyFile, '      clientCa: c.yaml\n'), 1, /c\.yaml:7:.*\.tls\.clientCa: .*no certificates in PEM/m],
      [await check(first.certFile, first.keyFile, '      ciphers: ROT13\n'), 1, /c\.yaml:7:.*\.tls\.ciphers: "ROT13"/m],
      [await check(first.certFile, first.keyFile, '      minVersion: 1.1\n'), 1, /c\.yaml:7:.*\.tls\.minVersion: /m],
    ];
    for (const [result, code, says] of rows) {
      assert.match(result.output, says);
      assert.equal(result.code, code, result.output);
    }
  });
});

describe('HTTP over TLS', () => {
  test('back ends and functions see https', async (t) => {
    const gw = await start(t);
    const headers = { Host: 'web.test' };
    const forwarded = JSON.parse((await request(gw, { path: '/be', headers })).text);
    assert.match(forwarded.forwarded, /proto=https/);
    const event = JSON.parse((await request(gw, { path: '/fn', headers })).text);
    assert.equal(event.headers['x-forwarded-proto'], 'https');
    assert.equal(event.headers['x-forwarded-port'], String(gw.port));
  });

  test('behind a load balancer that sends a PROXY header', async (t) => {
    const gw = await startGateway(t, (gateway) => {
      const config = configOf(gateway);
      Object.assign(config.listeners[0], { proxyProtocol: 'v1', trustedProxies: ['127.0.0.1'] });
      return config;
    });
    const socket = net.connect(gw.port, '127.0.0.1');
    onEnd(t, () => socket.destroy());
    socket.write('PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n');
    const event = JSON.parse((await request(gw, { path: '/fn', headers: { Host: 'web.test' }, socket, createConnection: () => tls.connect({ socket, servername: 'a.test', ca: fs.readFileSync(authority.file) }) })).text);
    assert.equal(event.requestContext.http.sourceIp, '192.0.2.7');
    assert.equal(event.headers['x-forwarded-proto'], 'https');
    await assert.rejects(shake(gw, { servername: 'a.test' }), undefined, 'TLS without the header');
  });

  test('long answers, long uploads', async (t) => {
    const long = Buffer.alloc(3_000_000, 'l');
    const store = await startBackend(t, (r) => ({ body: r.method === 'POST' ? String(r.body.length) : long }));
    const gw = await start(t, {}, { config: {} });
    await gw.reload({ ...configOf(gw), apis: [httpApi({ apiId: 'long', integrations: [forward('be', `${store.url}/`)], routes: [route('ANY /long', 'be')] })] }, async () => (await request(gw, { path: '/long' })).status === 200);
    assert.equal((await request(gw, { path: '/long' })).text.length, long.length);
    assert.equal((await request(gw, { path: '/long', method: 'POST', body: long })).text, String(long.length));
  });

  test('@connections', async (t) => {
    const gw = await start(t);
    const client = await join(t, { url: (where) => gw.wss(where) }, fn, trust({ servername: 'a.test' }));
    assert.equal(client.connectEvent.headers['X-Forwarded-Proto'], 'https');
    const where = `/prod/@connections/${encodeURIComponent(client.id)}`;
    const call = (method, body = '') => {
      const signed = sign({ method, path: where, host: 'chat.test', body, credentials: ADMIN_KEY });
      return request(gw, { method, path: where, headers: { ...signed, 'content-length': Buffer.byteLength(body) }, body });
    };
    assert.equal((await call('POST', 'over TLS')).status, 200);
    assert.equal(await client.next(), 'over TLS');
    assert.equal((await call('GET')).status, 200);
    assert.equal((await call('DELETE')).status, 204);
    assert.equal((await client.ended()).code, 1000);
    assert.equal((await call('POST', 'x')).status, 410);
  });
});

describe('WebSockets over TLS', () => {
  test('with Python', async (t) => {
    const gw = await start(t);
    const { stdout, stderr } = await exec(PYTHON, [script('websocket_client.py'), `wss://localhost:${gw.port}/prod`, '{"action":"echo"}'], { env: { SSL_CERT_FILE: authority.file } });
    assert.equal(stderr, '');
    assert.deepEqual(stdout.trim().split('\n').map((line) => JSON.parse(line)), ['{"action":"echo"}', '{"action":"echo","parts":2}']);
  });

  test('with Chromium', { timeout: 120000 }, async (t) => {
    const gw = await start(t);
    const browser = await openBrowser(t);
    const context = await browser.newContext({ ignoreHTTPSErrors: true }); // it knows no authority of ours
    const page = await context.newPage();
    const echoed = await page.evaluate(
      (url) =>
        new Promise((resolve, reject) => {
          const ws = new WebSocket(url);
          ws.onopen = () => ws.send('{"action":"echo","from":"a browser"}');
          ws.onmessage = (event) => resolve(event.data);
          ws.onerror = () => reject(new Error('refused'));
        }),
      gw.wss(),
    );
    assert.equal(echoed, '{"action":"echo","from":"a browser"}');
  });

  test('compressed messages of clients', async (t) => {
    const gw = await start(t, {}, { chat: { settings: { permessageDeflate: true } } });
    const client = await dial(t, gw.wss(), trust({ servername: 'a.test', perMessageDeflate: { threshold: 0 } }));
    assert.match(client.ws.extensions, /permessage-deflate/);
    const text = JSON.stringify({ action: 'echo', text: 'again and '.repeat(2000) });
    assert.equal(await client.ask(text), text);
  });

  test('long messages both ways, to a slow reader too', async (t) => {
    const big = { maxFrameBytes: 131072, maxQueuedBytes: 16777216 };
    const gw = await start(t, {}, { chat: { settings: big } });
    const client = await dial(t, gw.wss(), trust({ servername: 'a.test' }));
    const texts = Array.from({ length: 64 }, (_, i) => JSON.stringify({ action: 'echo', i, text: String.fromCharCode(65 + (i % 26)).repeat(120_000) }));
    client.ws._socket.pause();
    for (const text of texts) client.send(text);
    await fn.call((c) => c.event?.body === texts[0]);
    client.ws._socket.resume();
    const got = [];
    const sorted = [...texts].sort();
    for (let i = 0; i < texts.length; i++) got.push(await client.next(30000));
    // Several messages are in work at a time, and which is done first is open.
    assert.ok(got.sort().every((text, i) => text === sorted[i]), 'every byte as it was sent');
  });

  test('a cut without close_notify is 1006, a close handshake ends with close_notify', async (t) => {
    const gw = await start(t);
    const closed = async (id) => (await fn.call((c) => c.event?.requestContext?.eventType === 'DISCONNECT' && c.event.requestContext.connectionId === id)).event.requestContext;
    const cut = await join(t, { url: (where) => gw.wss(where) }, fn, trust({ servername: 'a.test' }));
    const tcp = cut.ws._socket;
    tcp._handle?._parent?.reset?.(() => {}) ?? tcp.destroy();
    cut.cut();
    assert.equal((await closed(cut.id)).disconnectStatusCode, 1006);

    const socket = tls.connect({ port: gw.port, host: '127.0.0.1', servername: 'a.test', ca: fs.readFileSync(authority.file) });
    onEnd(t, () => socket.destroy());
    let bytes = Buffer.alloc(0);
    let failure;
    const ended = deferred();
    socket.on('data', (data) => (bytes = Buffer.concat([bytes, data])));
    socket.on('error', (error) => (failure = error));
    socket.on('end', ended.resolve);
    socket.write(upgradeRequest({ host: 'a.test' }));
    await waitFor(() => bytes.includes('\r\n\r\n'), { what: 'the 101' });
    bytes = Buffer.alloc(0);
    socket.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) }));
    await within(ended.promise, 'the end of the stream');
    assert.equal(failure, undefined, 'an end with close_notify');
    assert.deepEqual([...bytes], [0x88, 2, 0x03, 0xe8]);
  });

  test('the end of the gateway', async (t) => {
    const gw = await start(t);
    const client = await dial(t, gw.wss(), trust({ servername: 'a.test' }));
    await gw.stop();
    assert.ok([1001, 1012].includes((await client.ended()).code));
  });
});
