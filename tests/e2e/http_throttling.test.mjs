// Throttles of HTTP APIs: the route's bucket beneath the account's. http-api.md 1.13, 4.3.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { forward, httpApi, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { waitFor } from './lib/wait.mjs';

const SLOW = { throttlingRateLimit: 0.001 };
const ok = mock('ok', { template: 'ok' });

async function statuses(gw, count, where, options) {
  const all = [];
  for (let i = 0; i < count; i++) all.push((await gw.get(where, options)).status);
  return all;
}

test('1.13 a route has a bucket of its own, as large as its burst', async (t) => {
  const gw = await startGateway(t, {
    apis: [
      httpApi({
        integrations: [ok],
        routes: [route('GET /a', 'ok'), route('GET /b/{id}', 'ok'), route('POST /a', 'ok'), route('$default', 'ok')],
        stages: [
          { stageName: '$default', routeSettings: { 'GET /a': { ...SLOW, throttlingBurstLimit: 2 }, 'GET /b/{id}': { ...SLOW, throttlingBurstLimit: 3 }, $default: { throttlingRateLimit: 0, throttlingBurstLimit: 0 } } },
          { stageName: 'other' },
        ],
      }),
    ],
  });
  assert.deepEqual(await statuses(gw, 4, '/a'), [200, 200, 429, 429]);
  assert.deepEqual([...(await statuses(gw, 2, '/b/1')), ...(await statuses(gw, 2, '/b/2'))], [200, 200, 200, 429]);
  assert.deepEqual(await statuses(gw, 4, '/a', { method: 'POST' }), [200, 200, 200, 200]);
  assert.deepEqual(await statuses(gw, 2, '/else'), [429, 429]);
  assert.deepEqual(await statuses(gw, 4, '/other/a'), [200, 200, 200, 200]);
});

test('1.13 defaultRouteSettings for routes without their own; each route has its bucket', async (t) => {
  const gw = await startGateway(t, {
    apis: [
      httpApi({
        integrations: [ok],
        routes: [route('GET /a', 'ok'), route('GET /b', 'ok'), route('GET /c', 'ok')],
        stages: [{ stageName: '$default', defaultRouteSettings: { ...SLOW, throttlingBurstLimit: 1 }, routeSettings: { 'GET /c': { ...SLOW, throttlingBurstLimit: 3 } } }],
      }),
    ],
  });
  assert.deepEqual(await statuses(gw, 2, '/a'), [200, 429]);
  assert.deepEqual(await statuses(gw, 2, '/b'), [200, 429]);
  assert.deepEqual(await statuses(gw, 4, '/c'), [200, 200, 200, 429]);
});

test('1.13 the account bucket is above all routes and APIs; a miss takes from it, too', async (t) => {
  const gw = await startGateway(t, {
    throttling: { rateLimit: 0.001, burstLimit: 4 },
    apis: [
      httpApi({ apiId: 'one', hosts: ['one.test'], integrations: [ok], routes: [route('GET /a', 'ok')] }),
      httpApi({ apiId: 'two', hosts: ['two.test'], integrations: [ok], routes: [route('GET /a', 'ok')] }),
    ],
  });
  const at = (host) => ({ headers: { host } });
  assert.deepEqual(await statuses(gw, 2, '/a', at('one.test')), [200, 200]);
  assert.deepEqual(await statuses(gw, 1, '/nothing', at('one.test')), [404]);
  assert.deepEqual(await statuses(gw, 3, '/a', at('two.test')), [200, 429, 429]);
});

test('1.13 a throttled request reaches no back end, and its connection goes on; metrics count it', async (t) => {
  const backend = await startBackend(t, { body: 'x' });
  const gw = await startGateway(t, {
    apis: [httpApi({ integrations: [forward('p', backend.url)], routes: [route('POST /a', 'p')], stages: [{ stageName: '$default', routeSettings: { 'POST /a': { ...SLOW, throttlingBurstLimit: 1 } } }] })],
  });
  const options = { method: 'POST', body: 'a body' };
  assert.deepEqual(await statuses(gw, 3, '/a', options), [200, 429, 429]);
  assert.equal(backend.requests.length, 1);
  const value = async (name) => (await gw.metrics()).filter((m) => m.name === name && m.labels.route === 'POST /a').reduce((sum, m) => sum + m.value, 0);
  await waitFor(async () => (await value('tidegate_http_api_throttled_total')) === 2, { what: 'two throttled requests in the metrics' });
});

test('4.3 a bucket refills at its rate', async (t) => {
  const gw = await startGateway(t, {
    apis: [httpApi({ integrations: [ok], routes: [route('GET /a', 'ok')], stages: [{ stageName: '$default', defaultRouteSettings: { throttlingRateLimit: 2, throttlingBurstLimit: 1 } }] })],
  });
  assert.deepEqual(await statuses(gw, 1, '/a'), [200]);
  const start = Date.now();
  let refused = 0;
  await waitFor(async () => {
    const { status } = await gw.get('/a');
    refused += status === 429;
    return status === 200;
  });
  assert.ok(refused > 0);
  assert.ok(Date.now() - start >= 400, `${Date.now() - start} ms`);
});
