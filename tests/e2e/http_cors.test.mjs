// CORS of HTTP APIs: preflights answered by the gateway, headers on every answer of an API. http-api.md 1.4.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { ADMIN_KEY, forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { freePort } from './lib/ports.mjs';
import { fileScope } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';

const file = fileScope();
let gw;
let backend;
let fn;

const HERE = 'https://app.example.com';
const OWN = {
  'Access-Control-Allow-Origin': 'https://backend.example.com',
  'Access-Control-Allow-Credentials': 'true',
  'Access-Control-Expose-Headers': 'x-of-backend',
  'Access-Control-Allow-Methods': 'PATCH',
  'Access-Control-Max-Age': '7',
  'X-Of-Backend': 'stays',
};
const FULL = { allowOrigins: [HERE, 'http://localhost:5173'], allowMethods: ['GET', 'POST', 'OPTIONS'], allowHeaders: ['content-type', 'x-api-key'], exposeHeaders: ['x-one', 'x-two'], maxAge: 300, allowCredentials: true };

// CORS headers and Vary of an answer.
function cors(answer) {
  return Object.fromEntries(Object.entries(answer.headers).filter(([name]) => name.startsWith('access-control-') || name === 'vary'));
}

function ask(name, { method = 'GET', path: where = '/x', origin, asks, wants, headers = {}, body } = {}) {
  const all = { host: `${name}.test`, ...headers };
  if (origin !== undefined) all.origin = origin;
  if (asks !== undefined) all['access-control-request-method'] = asks;
  if (wants !== undefined) all['access-control-request-headers'] = wants;
  return gw.get(where, { method, headers: all, body });
}

const preflight = (name, { origin = HERE, asks = 'GET', ...rest } = {}) => ask(name, { method: 'OPTIONS', origin, asks, ...rest });

before(async () => {
  backend = await startBackend(file, (r) => ({ headers: r.url.startsWith('/vary') ? { Vary: 'Accept-Encoding' } : OWN, body: 'from the back end' }));
  fn = await startLambda(file, { fn: (e) => ({ statusCode: 200, headers: { 'access-control-allow-origin': 'https://function.example.com', 'x-fn': '1' }, body: e.rawPath }) });
  const dead = await freePort();
  const integrations = [forward('back', `${backend.url}/{proxy}`), forward('root', backend.url), lambda('fn', { payloadFormatVersion: '2.0' }), forward('dead', `http://127.0.0.1:${dead}/`), mock('mock', { template: 'mock' })];
  const plain = [route('GET /{proxy+}', 'back'), route('POST /{proxy+}', 'back')];
  const api = (name, corsConfiguration, routes = plain, more = {}) => httpApi({ apiId: name, hosts: [`${name}.test`], integrations, routes, ...(corsConfiguration ? { corsConfiguration } : {}), ...more });
  const guarded = { authorizationType: 'AWS_IAM' };
  gw = await startGateway(file, {
    functions: fn.table('fn'),
    http: { maxBodyBytes: 1000 },
    apis: [
      api('full', FULL, [...plain, route('GET /fn', 'fn'), route('GET /iam', 'root', guarded), route('GET /dead', 'dead'), route('GET /slow', 'mock'), route('GET /mock', 'mock'), route('GET /broken')]),
      api('any', { allowOrigins: ['*'], allowMethods: ['POST', 'OPTIONS'], allowHeaders: ['content-type'], maxAge: 300 }),
      api('stars', { allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], exposeHeaders: ['*'], maxAge: -1 }),
      api('https', { allowOrigins: ['https://*'], allowMethods: ['GET'] }),
      api('http', { allowOrigins: ['http://*'], allowMethods: ['GET'] }),
      api('empty', {}),
      api('none', undefined),
      api('noroute', undefined, [route('GET /x', 'root'), route('OPTIONS /own', 'root')]),
      api('default', FULL, [route('$default', 'root', guarded)]),
      api('cure', FULL, [route('$default', 'root', guarded), route('OPTIONS /{proxy+}', 'mock')]),
      api('slow', FULL, plain, { stages: [{ stageName: '$default', defaultRouteSettings: { throttlingRateLimit: 0, throttlingBurstLimit: 0 } }] }),
    ],
  });
});

describe('1.4 preflights', () => {
  test('vector 41: 204, `*`, methods joined by a comma without a space; no body, nobody asked', async () => {
    const before = backend.requests.length;
    const answer = await preflight('any', { origin: 'https://anyone.example', asks: 'POST', wants: 'content-type' });
    assert.equal(answer.status, 204);
    assert.deepEqual(cors(answer), {
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'POST,OPTIONS',
      'access-control-allow-headers': 'content-type',
      'access-control-max-age': '300',
    });
    assert.equal(answer.text, '');
    assert.equal(answer.headers['content-type'], undefined);
    assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
    assert.equal(backend.requests.length, before);
  });

  test('1.4 an origin listed exactly is echoed, with vary and credentials', async () => {
    const answer = await preflight('full', { origin: 'http://localhost:5173' });
    assert.equal(answer.status, 204);
    assert.deepEqual(cors(answer), {
      'access-control-allow-origin': 'http://localhost:5173',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET,POST,OPTIONS',
      'access-control-allow-headers': 'content-type,x-api-key',
      'access-control-max-age': '300',
      vary: 'origin',
    });
  });

  test('1.4 `*` of methods, headers; maxAge -1', async () => {
    const answer = await preflight('stars', { asks: 'PURGE' });
    assert.deepEqual(cors(answer), { 'access-control-allow-origin': '*', 'access-control-allow-methods': '*', 'access-control-allow-headers': '*', 'access-control-max-age': '-1' });
  });

  test('1.4 maxAge unset: the header is absent', async () => {
    assert.deepEqual(cors(await preflight('https')), { 'access-control-allow-origin': HERE, 'access-control-allow-methods': 'GET', vary: 'origin' });
  });

  test('1.4 https://* lets every https origin in, http://* every http one', async () => {
    for (const [name, origin, allowed] of [
      ['https', 'https://a.example:8443', true],
      ['https', 'http://a.example', false],
      ['http', 'http://localhost:3000', true],
      ['http', 'https://a.example', false],
      ['https', 'https://', false],
      ['https', 'null', false],
    ]) {
      const got = cors(await preflight(name, { origin }))['access-control-allow-origin'];
      assert.equal(got, allowed ? origin : undefined, `${name} ${origin}`);
    }
  });

  test('1.4 an origin that is not allowed: 204 with an empty set', async () => {
    for (const origin of ['https://evil.example', 'https://app.example.com.evil.example', 'http://app.example.com', 'https://app.example.com:8443', 'null', '']) {
      const answer = await preflight('full', { origin });
      assert.equal(answer.status, 204, origin);
      assert.deepEqual(cors(answer), {}, origin);
    }
  });

  test('1.4 a method or header that is not allowed: the lists as configured', async () => {
    const answer = await preflight('full', { asks: 'DELETE', wants: 'x-strange' });
    assert.equal(answer.headers['access-control-allow-methods'], 'GET,POST,OPTIONS');
    assert.equal(answer.headers['access-control-allow-headers'], 'content-type,x-api-key');
  });

  test('1.4 a preflight is answered for any path, without a route for it', async () => {
    assert.equal((await preflight('full', { path: '/', asks: 'PUT' })).status, 204);
    assert.equal((await preflight('noroute')).status, 404);
  });

  test('1.4 a corsConfiguration that says nothing lets nobody in', async () => {
    const answer = await preflight('empty');
    assert.equal(answer.status, 204);
    assert.deepEqual(cors(answer), {});
  });

  test('1.4 a preflight skips authorisation', async () => {
    assert.equal((await preflight('default')).status, 204);
  });

  test('1.4 OPTIONS without Access-Control-Request-Method, or without Origin, is no preflight: it is routed', async () => {
    const before = backend.requests.length;
    assert.equal((await ask('full', { method: 'OPTIONS', origin: HERE })).status, 404);
    assert.equal((await ask('full', { method: 'OPTIONS', asks: 'GET' })).status, 404);
    assert.equal((await ask('default', { method: 'OPTIONS', origin: HERE })).status, 403);
    const cured = await ask('cure', { method: 'OPTIONS', origin: HERE });
    assert.equal(cured.status, 200);
    assert.equal(cured.text, 'mock');
    assert.equal(cured.headers['access-control-allow-origin'], HERE);
    assert.equal((await ask('cure', { method: 'GET', origin: HERE })).status, 403);
    assert.equal(backend.requests.length, before);
  });

  test('1.4 a preflight of a path with `..` is answered all the same: nothing is routed', async () => {
    assert.equal((await preflight('full', { path: '/../x' })).status, 204);
  });
});

describe('1.4 answers', () => {
  const ACTUAL = { 'access-control-allow-origin': HERE, 'access-control-allow-credentials': 'true', 'access-control-expose-headers': 'x-one,x-two', vary: 'origin' };

  test('1.4 the back end CORS headers are discarded, ours are there, others stay', async () => {
    const answer = await ask('full', { origin: HERE });
    assert.equal(answer.status, 200);
    assert.deepEqual(cors(answer), ACTUAL);
    assert.equal(answer.headers['x-of-backend'], 'stays');
  });

  test('1.4 a function: the same', async () => {
    const answer = await ask('full', { path: '/fn', origin: HERE });
    assert.equal(answer.text, '/fn');
    assert.deepEqual(cors(answer), ACTUAL);
    assert.equal(answer.headers['x-fn'], '1');
  });

  test('1.4 `*`: literally, without vary', async () => {
    assert.deepEqual(cors(await ask('any', { origin: HERE })), { 'access-control-allow-origin': '*' });
    assert.deepEqual(cors(await ask('stars', { origin: HERE })), { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' });
  });

  test('1.4 vary beside that of the back end', async () => {
    const answer = await ask('full', { path: '/vary', origin: HERE });
    assert.equal(answer.headers.vary, 'Accept-Encoding, origin');
  });

  test('1.4 without Origin: no CORS headers, not those of the back end either', async () => {
    assert.deepEqual(cors(await ask('full')), {});
    assert.deepEqual(cors(await ask('any')), {});
  });

  test('1.4 an origin that is not allowed: the request is executed, without CORS headers', async () => {
    const before = backend.requests.length;
    const answer = await ask('full', { method: 'POST', origin: 'https://evil.example', body: 'x' });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, 'from the back end');
    assert.deepEqual(cors(answer), {});
    assert.equal(backend.requests.length, before + 1);
  });

  test('1.4 no corsConfiguration: headers of the back end pass, with and without Origin', async () => {
    for (const origin of [undefined, HERE]) {
      const answer = await ask('none', { origin });
      const expected = Object.fromEntries(Object.entries(OWN).filter(([n]) => n.startsWith('Access')).map(([n, v]) => [n.toLowerCase(), v]));
      assert.deepEqual(cors(answer), expected);
    }
  });

  test('1.4 no corsConfiguration: OPTIONS needs a route, and then reaches the back end', async () => {
    assert.equal((await ask('noroute', { method: 'OPTIONS', origin: HERE, asks: 'GET' })).status, 404);
    const answer = await preflight('noroute', { path: '/own' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['access-control-allow-methods'], 'PATCH');
    assert.equal(backend.requests.at(-1).method, 'OPTIONS');
  });

  const ERRORS = [
    ['403 of AWS_IAM', 'full', { path: '/iam' }, 403],
    ['404', 'full', { path: '/x', method: 'PUT' }, 404],
    ['400', 'full', { path: '/a/../x' }, 400],
    ['413', 'full', { method: 'POST', body: 'x'.repeat(1001) }, 413],
    ['500', 'full', { path: '/broken' }, 500],
    ['503', 'full', { path: '/dead' }, 503],
    ['429', 'slow', {}, 429],
  ];
  for (const [title, name, options, status] of ERRORS) {
    test(`1.4 errors of the gateway carry CORS headers: ${title}`, async () => {
      const answer = await ask(name, { ...options, origin: HERE });
      assert.equal(answer.status, status);
      assert.deepEqual(cors(answer), ACTUAL);
      assert.deepEqual(cors(await ask(name, options)), {});
    });
  }

  test('1.4 a signed request of a browser: executed, with CORS headers', async () => {
    const headers = sign({ method: 'GET', path: '/iam', host: 'full.test', credentials: ADMIN_KEY });
    const answer = await ask('full', { path: '/iam', origin: HERE, headers });
    assert.equal(answer.status, 200);
    assert.deepEqual(cors(answer), ACTUAL);
  });
});

describe('1.4 preflights are throttled like any request', () => {
  test('1.4 preflights take from the account bucket', async (t) => {
    const small = await startGateway(t, {
      throttling: { rateLimit: 0.001, burstLimit: 2 },
      apis: [httpApi({ integrations: [mock('mock')], routes: [route('GET /x', 'mock')], corsConfiguration: { allowOrigins: ['*'] } })],
    });
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await small.get('/x', { method: 'OPTIONS', headers: { origin: HERE, 'access-control-request-method': 'GET' } })).status);
    assert.deepEqual(statuses, [204, 204, 429, 429]);
  });
});

describe('1.4 the configuration', () => {
  const check = async (t, corsConfiguration) => {
    const name = path.join(tempDir(t), 'x.json');
    fs.writeFileSync(name, JSON.stringify({ listeners: [{ address: '127.0.0.1:1' }], apis: [httpApi({ corsConfiguration })] }));
    return run(['check', name]);
  };
  test("1.4 allowCredentials with origin `*` is refused in the service's words", async (t) => {
    const result = await check(t, { allowOrigins: ['*'], allowCredentials: true });
    assert.equal(result.code, 1);
    assert.match(result.output, /allow-credentials is not supported if 'allow-origin' is \*/);
  });
  for (const [what, bad] of [
    ['an origin with a path', { allowOrigins: ['https://a.example/'] }],
    ['an origin without a scheme', { allowOrigins: ['a.example'] }],
    ['another wildcard', { allowOrigins: ['https://*.example.com'] }],
    ['maxAge beyond a day', { maxAge: 86401 }],
    ['a header that is none', { allowHeaders: ['a b'] }],
  ]) {
    test(`1.4 refused: ${what}`, async (t) => {
      const result = await check(t, bad);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, /corsConfiguration/);
    });
  }
});
