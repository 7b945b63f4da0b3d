// Errors that the gateway makes on HTTP APIs, byte for byte with their headers. http-api.md 1.12, 1.8.2, 9.
import assert from 'node:assert/strict';
import net from 'node:net';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { ADMIN_KEY, forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { CUT, functionError, raw as rawInvoke, startLambda } from './lib/lambda.mjs';
import { freePort } from './lib/ports.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope, onEnd } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';

const file = fileScope();
const LIMIT = 10485760;
let gw;
let backend;
let fn;

const TEXTS = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  413: 'Request Entity Too Large',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};
const LENGTHS = { 400: 25, 403: 23, 404: 23, 413: 38, 429: 31, 500: 35, 503: 33 };
const SET = ['Apigw-Requestid', 'Connection', 'Content-Length', 'Content-Type', 'Date'];

// The row of 1.12 for `status`. `close`: the connection ends with it.
function checkError(answer, status, { close = false, head = false } = {}) {
  assert.equal(answer.status, status);
  assert.equal(answer.text, head ? '' : `{"message":"${TEXTS[status]}"}`);
  assert.equal(answer.headers['content-length'], String(LENGTHS[status]));
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
  assert.match(answer.headers.date, /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
  assert.equal(answer.headers.connection, close ? 'close' : 'keep-alive');
  assert.deepEqual(answer.rawHeaders.map(([name]) => name).sort(), SET);
}

// One request as it is written, one answer.
async function wire(t, text, { host = 'all.test', end = true, bodyless } = {}) {
  const peer = await connectRaw(t, { port: gw.port });
  peer.write(Buffer.from(text.replace(/\n/g, '\r\n').replace('HOST', `Host: ${host}`) + (end ? '\r\n\r\n' : ''), 'latin1'));
  const answer = await peer.response({ bodyless });
  answer.peer = peer;
  return answer;
}

const get = (t, where, options) => wire(t, `GET ${where} HTTP/1.1\nHOST`, options);

// A server that never accepts what it is told.
async function mute(owner) {
  const sockets = [];
  const server = net.createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(owner, () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}

before(async () => {
  backend = await startBackend(file, (r) => (r.url === '/reset' ? { reset: true } : r.url === '/garbage' ? { raw: 'no HTTP at all\r\n\r\n' } : { body: r.method + r.body.length }));
  fn = await startLambda(file, {
    throws: () => functionError('boom'),
    zero: () => ({ statusCode: 0 }),
    float: () => ({ statusCode: 200.5 }),
    busy: () => rawInvoke({ status: 429, headers: { 'x-amzn-ErrorType': 'TooManyRequestsException' }, body: '{"Type":"User","message":"Rate Exceeded."}' }),
    missing: () => rawInvoke({ status: 404, headers: { 'x-amzn-ErrorType': 'ResourceNotFoundException' }, body: '{"Type":"User","Message":"Function not found"}' }),
    denied: () => rawInvoke({ status: 403, headers: { 'x-amzn-ErrorType': 'AccessDeniedException' }, body: '{"Message":"not authorized"}' }),
    cut: () => CUT,
    slow: () => new Promise(() => {}),
    ok: (e) => ({ statusCode: 200, body: String((e.body ?? '').length) }),
  });
  const names = [...fn.handlers.keys()];
  const quick = { timeoutInMillis: 250 };
  const dead = `http://127.0.0.1:${await freePort()}/`;
  const silent = `http://127.0.0.1:${await mute(file)}/`;
  const iam = { authorizationType: 'AWS_IAM' };
  gw = await startGateway(file, {
    functions: fn.table(...names),
    http: { maxRequestLineBytes: 8192, maxHeaderBytes: 10240, headerTimeoutSeconds: 0.5, bodyTimeoutSeconds: 0.5 },
    apis: [
      httpApi({
        apiId: 'all',
        hosts: ['all.test'],
        integrations: [
          ...names.map((name) => lambda(name, { payloadFormatVersion: '2.0', ...(name === 'slow' ? quick : {}) })),
          forward('back', backend.url),
          forward('reset', `${backend.url}/reset`),
          forward('garbage', `${backend.url}/garbage`),
          forward('dead', dead),
          forward('silent', silent, quick),
          forward('tls', `https://127.0.0.1:${backend.port}/`, quick),
          forward('nowhere', 'http://no-such-host.invalid/'),
          mock('mock', { template: 'mock' }),
        ],
        routes: [
          ...names.map((name) => route(`ANY /${name}`, name)),
          ...['dead', 'silent', 'tls', 'nowhere', 'reset', 'garbage', 'back', 'mock'].map((name) => route(`ANY /${name}`, name)),
          route('ANY /iam', 'back', iam),
          route('GET /untargeted'),
          route('GET /blocked', 'mock'),
        ],
        stages: [{ stageName: '$default', routeSettings: { 'GET /blocked': { throttlingRateLimit: 0, throttlingBurstLimit: 0 } } }],
      }),
      httpApi({ apiId: 'staged', hosts: ['staged.test'], integrations: [mock('mock')], routes: [route('$default', 'mock')], stages: [{ stageName: 'prod' }] }),
      httpApi({ apiId: 'off', disableExecuteApiEndpoint: true, integrations: [mock('mock')], routes: [route('$default', 'mock')] }),
    ],
  });
});

describe('1.12 404', () => {
  for (const [what, where, host] of [
    ['no route', '/unknown', 'all.test'],
    ['no stage', '/unknown', 'staged.test'],
    ['a disabled default endpoint', '/', 'off.execute-api.us-east-1.amazonaws.com'],
    ['no API of this host', '/', 'nobody.test'],
  ]) {
    test(`1.12 404: ${what}`, async (t) => checkError(await get(t, where, { host }), 404));
  }
  test('1.12 404 to HEAD: the same head, no body', async (t) => {
    checkError(await wire(t, 'HEAD /unknown HTTP/1.1\nHOST', { bodyless: true }), 404, { head: true });
  });
  test('1.12 the connection goes on after an error, and ids differ', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    const ids = new Set();
    for (let i = 0; i < 3; i++) {
      peer.write('GET /unknown HTTP/1.1\r\nHost: all.test\r\n\r\n');
      const answer = await peer.response();
      checkError(answer, 404);
      ids.add(answer.headers['apigw-requestid']);
    }
    assert.equal(ids.size, 3);
  });
});

describe('1.12 400', () => {
  test('1.12 400: a path that steps up', async (t) => checkError(await get(t, '/a/../x'), 400));
  test('1.12 400: a body whose chunks are broken', async (t) => {
    for (const where of ['/ok', '/back']) {
      const answer = await wire(t, `POST ${where} HTTP/1.1\nHOST\nTransfer-Encoding: chunked\n\nzz\nno chunk`);
      checkError(answer, 400, { close: true });
    }
  });
  const UNPARSABLE = {
    'no request at all': '\x16\x03\x01 nonsense',
    'a field without a colon': 'GET / HTTP/1.1\nHOST\nnonsense',
    'no host': 'GET / HTTP/1.1',
    'two hosts': 'GET / HTTP/1.1\nHOST\nHost: other',
    'two lengths': 'POST / HTTP/1.1\nHOST\nContent-Length: 1\nContent-Length: 2',
    'length and coding': 'POST / HTTP/1.1\nHOST\nContent-Length: 1\nTransfer-Encoding: chunked',
    'a target with a blank': 'GET /a b HTTP/1.1\nHOST',
  };
  for (const [what, text] of Object.entries(UNPARSABLE)) {
    test(`1.12 400: ${what}`, async (t) => {
      const answer = await wire(t, text);
      assert.equal(answer.status, 400);
      assert.equal(answer.text, '{"message":"Bad Request"}');
      assert.equal(answer.headers['content-length'], '25');
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.headers.connection, 'close');
      await answer.peer.ended();
    });
  }
});

describe('1.12 403', () => {
  const request = (t, headers, body = '') =>
    wire(t, `${body ? 'POST' : 'GET'} /iam HTTP/1.1\n${Object.entries(headers).map(([n, v]) => `${n}: ${v}`).join('\n')}${body ? `\ncontent-length: ${body.length}\n\n${body}` : ''}`, { end: !body });
  const good = (more = {}) => sign({ method: 'GET', path: '/iam', host: 'all.test', credentials: ADMIN_KEY, ...more });
  const BAD = {
    'not signed': () => ({ host: 'all.test' }),
    'a token of another kind': () => ({ host: 'all.test', authorization: 'Bearer abc' }),
    'a wrong key': () => good({ credentials: { ...ADMIN_KEY, secretAccessKey: 'wrong' } }),
    'an unknown key': () => good({ credentials: { accessKeyId: 'AKIDNOBODY', secretAccessKey: 'x' } }),
    'a date of six minutes ago': () => good({ when: new Date(Date.now() - 6 * 60000) }),
    'another region': () => good({ region: 'eu-west-1' }),
    'another service': () => good({ service: 's3' }),
    'another path': () => good({ path: '/other' }),
  };
  for (const [what, headers] of Object.entries(BAD)) {
    test(`1.12 403: AWS_IAM, ${what}`, async (t) => {
      const before = backend.requests.length;
      checkError(await request(t, headers()), 403);
      assert.equal(backend.requests.length, before);
    });
  }
  test('1.12 403: AWS_IAM, another body than was signed', async (t) => {
    const headers = good({ method: 'POST', body: 'this' });
    checkError(await request(t, headers, 'that'), 403);
    assert.equal((await request(t, headers, 'this')).text, 'POST4');
  });
});

describe('1.12 413', () => {
  for (const where of ['/back', '/ok', '/mock', '/iam']) {
    test(`1.12 413: ${where}, a length beyond 10 MB`, async (t) => {
      const answer = await wire(t, `POST ${where} HTTP/1.1\nHOST\nContent-Length: ${LIMIT + 1}`);
      checkError(answer, 413, { close: true });
    });
  }
  test('1.12 413: Expect: 100-continue with a length beyond 10 MB: no 100', async (t) => {
    checkError(await wire(t, `POST /back HTTP/1.1\nHOST\nExpect: 100-continue\nContent-Length: ${LIMIT + 1}`), 413, { close: true });
  });
  for (const where of ['/back', '/ok']) {
    test(`1.12 413: ${where}, chunks that become too many`, async (t) => {
      const peer = await connectRaw(t, { port: gw.port });
      peer.write(`POST ${where} HTTP/1.1\r\nHost: all.test\r\nTransfer-Encoding: chunked\r\n\r\n`);
      const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1048576, 'x'), Buffer.from('\r\n')]);
      for (let i = 0; i < 11; i++) peer.write(chunk);
      checkError(await peer.response(), 413, { close: true });
    });
    test(`1.13 ${where}, 10 MB exactly pass`, async () => {
      const answer = await gw.get(where, { method: 'POST', headers: { host: 'all.test', 'content-type': 'text/plain' }, body: Buffer.alloc(LIMIT, 'x') });
      assert.equal(answer.text, where === '/ok' ? String(LIMIT) : `POST${LIMIT}`);
    });
  }
});

describe('1.12 414 and 431', () => {
  const plain = async (t, text, status) => {
    const answer = await wire(t, text);
    assert.equal(answer.status, status);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['content-length'], String(answer.text.length));
    assert.equal(typeof JSON.parse(answer.text).message, 'string');
    assert.equal(answer.headers.connection, 'close');
    await answer.peer.ended();
  };
  test('1.12 414: a request line beyond the limit', (t) => plain(t, `GET /${'x'.repeat(8192)} HTTP/1.1\nHOST`, 414));
  test('1.12 431: headers beyond 10,240 bytes', (t) => plain(t, `GET / HTTP/1.1\nHOST\n${'x: '}${'y'.repeat(10240)}`, 431));
  test('1.12 431: too many fields', (t) => plain(t, `GET / HTTP/1.1\nHOST\n${Array.from({ length: 101 }, (_, i) => `x${i}: y`).join('\n')}`, 431));
  test('1.12 a head just below the limit passes', async (t) => {
    const head = 'GET /mock HTTP/1.1\r\nHost: all.test\r\nx: \r\n\r\n';
    assert.equal((await get(t, '/mock', {})).text, 'mock');
    assert.equal((await wire(t, `GET /mock HTTP/1.1\nHOST\nx: ${'y'.repeat(10240 - head.length)}`)).text, 'mock');
  });
});

describe('1.12 429', () => {
  test('1.12 429: the throttle of a route, without Retry-After', async (t) => checkError(await get(t, '/blocked'), 429));
});

describe('1.12 500', () => {
  for (const [what, where] of [
    ['a function error', '/throws'],
    ['a handler that answers statusCode 0', '/zero'],
    ['a handler that answers statusCode 200.5', '/float'],
    ['a function that does not exist', '/missing'],
    ['no permission to invoke', '/denied'],
    ['a route without a target', '/untargeted'],
  ]) {
    test(`1.12 500: ${what}`, async (t) => checkError(await get(t, where), 500));
  }
});

describe('1.12 503', () => {
  for (const [what, where] of [
    ['nobody listens', '/dead'],
    ['a name that does not exist', '/nowhere'],
    ['no TLS there', '/tls'],
    ['the connection is cut', '/reset'],
    ['an answer that is none', '/garbage'],
    ['a function that is throttled', '/busy'],
    ['a function whose runtime cuts the connection', '/cut'],
  ]) {
    test(`1.12 503: ${what}`, async (t) => checkError(await get(t, where), 503));
  }
  for (const where of ['/silent', '/slow']) {
    test(`vector 42: ${where}, an integration slower than its time: 503 with CL 33`, async (t) => {
      const start = Date.now();
      checkError(await get(t, where), 503);
      const took = Date.now() - start;
      assert.ok(took >= 240, `${took} ms`);
    });
  }
});

describe('1.12 a body that does not come', () => {
  for (const where of ['/ok', '/back']) {
    test(`408: ${where}`, async (t) => {
      const answer = await wire(t, `POST ${where} HTTP/1.1\nHOST\nContent-Length: 10\n\nabc`, { end: false });
      assert.equal(answer.status, 408);
      assert.equal(answer.text, '{"message":"Request Timeout"}');
      assert.equal(answer.headers.connection, 'close');
    });
  }
});
