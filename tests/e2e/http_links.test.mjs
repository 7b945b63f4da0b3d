// Private integrations of HTTP APIs (http-api.md 1.9, vpcLinks): which target a call goes to, and what it is told.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { makeAuthority } from './lib/certificates.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { linkConfig, targetFigures } from './lib/links.mjs';
import { freePort } from './lib/ports.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, waitFor } from './lib/wait.mjs';

const file = fileScope();
const ARN = 'arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/my/1/2';

// Back ends that answer with their names, and the targets of a link that they are.
async function startTargets(owner, names, options) {
  const backends = await Promise.all([...names].map((name) => startBackend(owner, { body: name }, options)));
  return Object.assign(backends, { targets: backends.map(({ url }) => ({ url })) });
}

const NO_EJECTION = { ejection: { failures: 0 } };

describe('the request that a target sees', () => {
  const send = async (t, config, where, headers = {}) => {
    const backend = await startBackend(t, { body: 'x' });
    const gateway = await startGateway(t, config(backend));
    const got = await gateway.get(where, { headers });
    assert.equal(got.status, 200);
    assert.equal(backend.requests.length, 1);
    return backend.requests[0];
  };
  const arn = (extra = {}) => (backend) => linkConfig({ targets: [{ url: backend.url }] }, { integration: { integrationUri: ARN, ...extra }, stages: [{ stageName: 'prod' }, { stageName: '$default' }] });

  test('1.9 a listener ARN: the path with the stage, the query, the client\'s Host', async (t) => {
    const seen = await send(t, arn(), '/prod/a%2fb/c?x=1&y', { Host: 'shop.example.com:81' });
    assert.equal(seen.url, '/prod/a%2fb/c?x=1&y');
    assert.equal(seen.headers.host, 'shop.example.com:81');
  });

  test('1.9 a listener ARN: overwrite:path with $request.path leaves the stage out', async (t) => {
    const seen = await send(t, arn({ requestParameters: { 'overwrite:path': '$request.path' } }), '/prod/a/b?x=1');
    assert.equal(seen.url, '/a/b?x=1');
  });

  test('1.9 a listener ARN on the $default stage: the path has none', async (t) => {
    assert.equal((await send(t, arn(), '/a/b')).url, '/a/b');
  });

  test('1.9 a URL: its path and its host, whatever the target is', async (t) => {
    const seen = await send(t, (backend) => linkConfig({ targets: [{ url: backend.url }] }, { integration: { integrationUri: 'http://app.internal:81/base/{proxy}' } }), '/a/b');
    assert.equal(seen.url, '/base/a/b');
    assert.equal(seen.headers.host, 'app.internal:81');
  });

  test('1.9 Forwarded has no `by` through a link', async (t) => {
    assert.match((await send(t, arn(), '/prod/a')).headers.forwarded, /^for=127\.0\.0\.1;host="?127\.0\.0\.1:\d+"?;proto=http$/);
  });

  test('a unix socket', async (t) => {
    const socket = path.join(tempDir(t), 's');
    const backend = await startBackend(t, { body: 'unix' }, { path: socket });
    const gateway = await startGateway(t, linkConfig({ targets: [{ url: `http://unix:${socket}:` }] }));
    assert.equal((await gateway.get('/a')).text, 'unix');
    assert.equal(backend.requests[0].headers.host, 'app.internal');
  });
});

describe('TLS to targets', () => {
  let authority;
  let other;
  before(() => {
    authority = makeAuthority(file);
    other = makeAuthority(file);
  });

  async function ask(t, names, tlsConfig) {
    const backend = await startBackend(t, { body: 'tls' }, { tls: authority.issue(...names) });
    const gateway = await startGateway(t, linkConfig({ targets: [{ url: `https://127.0.0.1:${backend.port}` }], tlsConfig, ...NO_EJECTION }));
    return { got: await gateway.get('/a'), requests: backend.requests };
  }

  test('its own name and authority: serverNameToVerify is sent and verified', async (t) => {
    const { got, requests } = await ask(t, ['DNS:app.internal'], { serverNameToVerify: 'app.internal', caFile: authority.file });
    assert.equal(got.text, 'tls');
    assert.equal(requests[0].serverName, 'app.internal');
  });

  test('another name: 503, and the target sees no request', async (t) => {
    const { got, requests } = await ask(t, ['DNS:other.internal'], { serverNameToVerify: 'app.internal', caFile: authority.file });
    assert.equal(got.status, 503);
    assert.deepEqual(JSON.parse(got.text), { message: 'Service Unavailable' });
    assert.deepEqual(requests, []);
  });

  test('another authority: 503, and the target sees no request', async (t) => {
    const { got, requests } = await ask(t, ['DNS:app.internal'], { serverNameToVerify: 'app.internal', caFile: other.file });
    assert.equal(got.status, 503);
    assert.deepEqual(requests, []);
  });

  test('without serverNameToVerify: the address of the target is verified', async (t) => {
    assert.equal((await ask(t, ['IP:127.0.0.1'], { caFile: authority.file })).got.text, 'tls');
  });
});

describe('the choice', () => {
  test('idle targets in turn', async (t) => {
    const backends = await startTargets(t, 'abc');
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets }));
    const seen = [];
    for (let i = 0; i < 9; i++) seen.push((await gateway.get('/x')).text);
    assert.equal(seen.join(''), 'abcabcabc');
  });

  test('least outstanding: a target that is slow to answer gets nothing else meanwhile', async (t) => {
    const backends = await startTargets(t, 'abc');
    const held = deferred();
    backends[0].answer(() => held.promise.then(() => ({ body: 'a' })));
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets }));
    const slow = gateway.get('/slow');
    await backends[0].request(() => true);
    assert.equal((await targetFigures(gateway))[backends[0].url].outstanding, 1);
    for (let i = 0; i < 20; i++) assert.notEqual((await gateway.get('/x')).text, 'a');
    held.resolve();
    assert.equal((await slow).text, 'a');
    assert.deepEqual(backends.map((b) => b.requests.length), [1, 10, 10]);
    const back = [];
    for (let i = 0; i < 3; i++) back.push((await gateway.get('/x')).text);
    assert.deepEqual(back.sort(), ['a', 'b', 'c']);
    assert.equal((await targetFigures(gateway))[backends[0].url].outstanding, 0);
  });
});

describe('another try', () => {
  // The first of two targets cuts every connection when it has the request; the second answers.
  async function broken(t, link = {}, script = { reset: true }) {
    const backends = await startTargets(t, 'ab');
    backends[0].answer(script);
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets, ...NO_EJECTION, ...link }));
    return { backends, gateway, a: backends[0], b: backends[1] };
  }

  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']) {
    test(`${method} that was cut off goes to the other target`, async (t) => {
      const { gateway, a, b } = await broken(t);
      const got = await gateway.get('/x', { method });
      assert.equal(got.status, 200);
      assert.deepEqual([a.requests.length, b.requests.length], [1, 1]);
      const figures = (await targetFigures(gateway))[a.url];
      assert.deepEqual([figures.calls, figures.failures, figures.moved], [1, 1, 1]);
    });
  }

  for (const method of ['POST', 'PATCH']) {
    test(`${method} that was cut off does not: 503, sent once`, async (t) => {
      const { gateway, a, b } = await broken(t);
      const got = await gateway.get('/x', { method, body: 'once', headers: { 'Content-Length': '4' } });
      assert.equal(got.status, 503);
      assert.deepEqual(a.requests.map((r) => r.text), ['once']);
      assert.deepEqual(b.requests, []);
      const figures = (await targetFigures(gateway))[a.url];
      assert.deepEqual([figures.calls, figures.failures, figures.moved], [1, 1, 0]);
    });
  }

  test('POST that found nobody listening goes to the other target', async (t) => {
    const b = await startBackend(t, { body: 'b' });
    const dead = `http://127.0.0.1:${await freePort()}`;
    const gateway = await startGateway(t, linkConfig({ targets: [{ url: dead }, { url: b.url }], ...NO_EJECTION }));
    const got = await gateway.get('/x', { method: 'POST', body: 'once', headers: { 'Content-Length': '4' } });
    assert.equal(got.text, 'b');
    assert.deepEqual(b.requests.map((r) => r.text), ['once']);
    const figures = (await targetFigures(gateway))[dead];
    assert.deepEqual([figures.calls, figures.failures, figures.moved], [1, 1, 1]);
  });

  test('an answer is an answer: a 500 is passed on and not asked again', async (t) => {
    const { gateway, a, b } = await broken(t, {}, { status: 500, body: 'a' });
    assert.equal((await gateway.get('/x')).status, 500);
    assert.deepEqual([a.requests.length, b.requests.length], [1, 0]);
  });

  test('attemptTimeoutMillis: GET leaves a target that does not answer, POST stays', async (t) => {
    const { gateway, a, b } = await broken(t, { attemptTimeoutMillis: 200 }, () => new Promise((resolve) => setTimeout(() => resolve({ body: 'a' }), 1000).unref()));
    assert.equal((await gateway.get('/x')).text, 'b');
    assert.equal((await gateway.get('/y')).text, 'b'); // b's turn again: a was chosen last
    a.requests.length = b.requests.length = 0;
    const got = [await gateway.get('/x', { method: 'POST' }), await gateway.get('/x', { method: 'POST' })];
    assert.deepEqual(got.map((r) => r.text).sort(), ['a', 'b']);
    assert.deepEqual([a.requests.length, b.requests.length], [1, 1]);
  });

  test('maxAttempts: no more targets than that', async (t) => {
    const backends = await startTargets(t, 'abc');
    for (const backend of backends) backend.answer({ reset: true });
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets, maxAttempts: 2, ...NO_EJECTION }));
    assert.equal((await gateway.get('/x')).status, 503);
    assert.deepEqual(backends.map((b) => b.requests.length), [1, 1, 0]);
  });
});

describe('health', () => {
  const healthy = (gateway, url, value) => waitFor(async () => (await targetFigures(gateway))[url].healthy === value, { what: `${url} to be ${value ? 'healthy' : 'out'}` });

  test('active checks: a target whose checks fail gets no calls until they pass again', async (t) => {
    const backends = await startTargets(t, 'ab');
    const [a, b] = backends;
    let status = 200;
    a.answer((r) => (r.url === '/health?x' ? { status } : { body: 'a' }));
    const check = { path: '/health?x', host: 'check.internal', intervalSeconds: 0.05, unhealthyThreshold: 2, healthyThreshold: 2 };
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets, healthCheck: check }));
    const checked = await a.request((r) => r.url === '/health?x');
    assert.equal(checked.headers.host, 'check.internal');
    assert.equal(checked.method, 'GET');
    status = 503;
    await healthy(gateway, a.url, 0);
    for (let i = 0; i < 6; i++) assert.equal((await gateway.get('/x')).text, 'b');
    status = 200;
    await healthy(gateway, a.url, 1);
    const seen = new Set();
    for (let i = 0; i < 2; i++) seen.add((await gateway.get('/x')).text);
    assert.deepEqual([...seen].sort(), ['a', 'b']);
    const figures = await targetFigures(gateway);
    assert.ok(figures[a.url].failed >= 2 && figures[a.url].ok >= 2, JSON.stringify(figures));
    assert.equal(figures[b.url].failed, 0);
    const checks = (backend) => backend.filter((r) => r.url === '/health?x').length;
    await waitFor(async () => {
      const now = (await targetFigures(gateway))[a.url];
      return Math.abs(now.ok + now.failed - checks(a)) <= 1;
    }, { what: 'the checks counted to be those that the target saw' });
  });

  test('passive checks: failures in a row take a target out, a trial brings it back', async (t) => {
    const backends = await startTargets(t, 'ab');
    const [a, b] = backends;
    a.answer({ reset: true });
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets, ejection: { failures: 2, seconds: 0.5, maxSeconds: 0.5 } }));
    for (let i = 0; i < 4; i++) assert.equal((await gateway.get('/x')).text, 'b');
    assert.equal(a.requests.length, 2); // in turn until it was out
    assert.equal((await targetFigures(gateway))[a.url].ejections, 1);
    assert.equal((await targetFigures(gateway))[a.url].healthy, 0);
    a.answer({ body: 'a' });
    await waitFor(async () => (await gateway.get('/x')).text === 'a', { what: 'a trial' });
    await healthy(gateway, a.url, 1);
    assert.equal((await targetFigures(gateway))[a.url].failures, 2);
    assert.equal((await targetFigures(gateway))[b.url].failures, 0);
  });

  test('when all are out, all are tried', async (t) => {
    const backends = await startTargets(t, 'ab');
    for (const backend of backends) backend.answer({ reset: true });
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets, ejection: { failures: 1, seconds: 3600, maxSeconds: 3600 } }));
    assert.equal((await gateway.get('/x')).status, 503);
    for (const { url } of backends) assert.equal((await targetFigures(gateway))[url].healthy, 0);
    for (const backend of backends) backend.answer({ body: 'back' });
    assert.equal((await gateway.get('/x')).text, 'back');
  });

  test('workers judge for themselves, and their figures are added up', async (t) => {
    const backends = await startTargets(t, 'ab');
    const gateway = await startGateway(t, linkConfig({ targets: backends.targets }, { workers: 2 }));
    for (let i = 0; i < 20; i++) await gateway.get('/x');
    const figures = await targetFigures(gateway);
    for (const { url } of backends) assert.equal(figures[url].healthy, 2);
    assert.equal(figures[backends[0].url].calls + figures[backends[1].url].calls, 20);
  });

  test('a reload keeps the figures of targets that stay, and takes in and out the others', async (t) => {
    const [a, b, c] = await startTargets(t, 'abc');
    const config = (...backends) => linkConfig({ targets: backends.map(({ url }) => ({ url })) });
    const gateway = await startGateway(t, config(a, b));
    for (let i = 0; i < 4; i++) await gateway.get('/x');
    await gateway.reload(config(b, c), async () => (await targetFigures(gateway))[c.url] !== undefined);
    for (let i = 0; i < 4; i++) assert.notEqual((await gateway.get('/x')).text, 'a');
    const figures = await targetFigures(gateway);
    assert.deepEqual(Object.keys(figures).sort(), [b.url, c.url].sort());
    assert.deepEqual([figures[b.url].calls, figures[c.url].calls], [4, 2]);
  });
});

describe('configuration errors', () => {
  const url = 'http://127.0.0.1:1';
  const cases = {
    'no target': [linkConfig({ targets: [] }), /vpcLinks\[0\]\.targets.*at least one/],
    'targets left out': [linkConfig({}), /vpcLinks\[0\].*targets/],
    'a target twice': [linkConfig({ targets: [{ url }, { url }] }), /vpcLinks\[0\]\.targets\[1\]\.url.*targets\[0\]/],
    'a target with a path': [linkConfig({ targets: [{ url: `${url}/x` }] }), /targets\[0\]\.url.*no path/],
    'a target that is no URL': [linkConfig({ targets: [{ url: '127.0.0.1:1' }] }), /targets\[0\]\.url/],
    'a link that does not exist': [linkConfig({ targets: [{ url }] }, { integration: { connectionId: 'other' } }), /integrations\[0\]\.connectionId.*"other" names no link/],
    'an ARN without a link': [linkConfig({ targets: [{ url }] }, { integration: { integrationUri: ARN, connectionType: 'INTERNET', connectionId: undefined } }), /integrations\[0\]\.integrationUri.*VPC_LINK/],
    'an interval of nothing': [linkConfig({ targets: [{ url }], healthCheck: { intervalSeconds: 0 } }), /healthCheck.*intervalSeconds/],
    'a check without a slash': [linkConfig({ targets: [{ url }], healthCheck: { path: 'health' } }), /healthCheck.*path/],
    'statuses the wrong way round': [linkConfig({ targets: [{ url }], healthCheck: { statusMin: 300, statusMax: 200 } }), /healthCheck\.statusMin.*statusMax/],
    'two links of one name': [{ ...linkConfig({ targets: [{ url }] }), vpcLinks: [{ vpcLinkId: 'app', targets: [{ url }] }, { vpcLinkId: 'app', targets: [{ url }] }] }, /vpcLinks\[1\]\.vpcLinkId/],
    'an unknown key': [linkConfig({ targets: [{ url, weight: 2 }] }), /targets\[0\]\.weight|weight/],
    'a caFile that is not there': [linkConfig({ targets: [{ url: 'https://127.0.0.1:1' }], tlsConfig: { caFile: '/nonexistent/ca.pem' } }), /tlsConfig.*caFile|caFile/],
  };
  for (const [name, [config, expected]] of Object.entries(cases)) {
    test(name, async (t) => {
      const where = path.join(tempDir(t), 'tidegate.json');
      fs.writeFileSync(where, JSON.stringify({ listeners: [{ address: '127.0.0.1:1' }], ...config }));
      const result = await run(['check', where]);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, expected);
      assert.match(result.output, /tidegate\.json:\d+/, 'no line');
    });
  }
});
