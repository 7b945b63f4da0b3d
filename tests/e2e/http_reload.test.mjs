// SIGHUP with HTTP APIs: routes change while requests are under way. Architecture, flow 3.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial } from './lib/client.mjs';
import { appApi, forward, httpApi, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw } from './lib/raw.mjs';
import { deferred, waitFor } from './lib/wait.mjs';

// Every worker answers `expected`: connections are spread over them.
const everywhere = (gw, where, expected) => async () => {
  for (let i = 0; i < 8; i++) if ((await gw.get(where)).text !== expected) return false;
  return true;
};

test('reload: what is under way ends on the old routes, what comes goes by the new ones', async (t) => {
  const gate = deferred();
  const old = await startBackend(t, async (r) => {
    if (r.url === '/held') await gate.promise;
    return { body: `old ${r.method} ${r.body.length}` };
  });
  const next = await startBackend(t, () => ({ body: 'new' }));
  const config = (url) => ({ apis: [httpApi({ integrations: [forward('p', `${url}/{proxy}`, { responseParameters: { 200: { 'append:header.x-port': new URL(url).port } } })], routes: [route('ANY /x/{proxy+}', 'p')] })] });
  const gw = await startGateway(t, config(old.url));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const held = Array.from({ length: 6 }, () => gw.get('/x/held', { method: 'POST', body: 'four' }));
  const kept = gw.get('/x/held', { agent });
  await waitFor(() => old.requests.length === 7, { what: 'seven requests at the old back end' });
  await gw.reload(config(next.url), everywhere(gw, '/x/now', 'new'));
  gate.resolve();
  for (const answer of await Promise.all(held)) assert.deepEqual([answer.status, answer.text, answer.headers['x-port']], [200, 'old POST 4', String(old.port)]);
  assert.equal((await kept).text, 'old GET 0');
  assert.equal((await gw.get('/x/after', { agent })).text, 'new'); // on the connection of before
  agent.destroy();
});

test('reload: an upload that has begun goes where it began', async (t) => {
  const old = await startBackend(t, (r) => ({ body: `old ${r.body.length}` }));
  const next = await startBackend(t, () => ({ body: 'new' }));
  const config = (url) => ({ apis: [httpApi({ integrations: [forward('p', `${url}/{proxy}`)], routes: [route('ANY /x/{proxy+}', 'p')] })] });
  const gw = await startGateway(t, config(old.url));
  const peer = await connectRaw(t, { port: gw.port });
  peer.write('PUT /x/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234');
  await waitFor(async () => (await gw.metrics()).some((m) => m.name === 'tidegate_requests_in_flight' && m.value > 0), { what: 'the upload in flight' });
  await gw.reload(config(next.url), everywhere(gw, '/x/now', 'new'));
  peer.write('56789');
  assert.equal((await peer.response()).text, 'old 10');
});

test('reload under load: routes come, go and change; every answer is of one configuration, none is lost', async (t) => {
  const version = (n) => ({
    apis: [
      httpApi({
        integrations: [mock('m', { template: `v${n} $context.routeKey` })],
        routes: [route('GET /stays/{id}', 'm'), ...(n % 2 ? [route('GET /odd', 'm'), route('GET /stays/literal', 'm')] : [route('GET /even', 'm')]), ...Array.from({ length: 50 }, (_, i) => route(`GET /n${n}/r${i}`, 'm'))],
        stages: [{ stageName: '$default' }, { stageName: n % 2 ? 'a' : 'b' }],
      }),
    ],
  });
  const gw = await startGateway(t, version(0));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let stop = false;
  let count = 0;
  const bad = [];
  const load = Array.from({ length: 8 }, async (_, lane) => {
    while (!stop) {
      const where = ['/stays/literal', '/odd', '/even', '/a/stays/1', '/b/stays/1'][(lane + count) % 5];
      const answer = await gw.get(where, { agent });
      count++;
      const found = /^v(\d+) (.*)$/.exec(answer.text);
      const odd = found && Number(found[1]) % 2 === 1;
      const expected = {
        '/stays/literal': found && (odd ? 'GET /stays/literal' : 'GET /stays/{id}'),
        '/odd': odd ? 'GET /odd' : undefined,
        '/even': found && !odd ? 'GET /even' : undefined,
        '/a/stays/1': odd ? 'GET /stays/{id}' : undefined,
        '/b/stays/1': found && !odd ? 'GET /stays/{id}' : undefined,
      }[where];
      const missed = answer.status === 404 && answer.text === '{"message":"Not Found"}' && where !== '/stays/literal';
      if (!missed && (answer.status !== 200 || found[2] !== expected)) bad.push(`${where}: ${answer.status} ${answer.text}`);
    }
  });
  for (let n = 1; n <= 6; n++) await gw.reload(version(n), everywhere(gw, `/n${n}/r49`, `v${n} GET /n${n}/r49`));
  stop = true;
  await Promise.all(load);
  agent.destroy();
  assert.deepEqual(bad, []);
  assert.ok(count > 50, `${count} requests`);
});

test('reload: a file that is wrong changes nothing', async (t) => {
  const config = (routes) => ({ apis: [httpApi({ integrations: [mock('m', { template: 'ok' })], routes })] });
  const gw = await startGateway(t, config([route('GET /x', 'm')]));
  await gw.reload(config([route('GET /y', 'm'), route('GET /y', 'm')]), () => /GET \/y/.test(gw.log()));
  assert.equal((await gw.get('/x')).text, 'ok');
  assert.equal((await gw.get('/y')).status, 404);
});

test('reload: an HTTP API beside sockets comes and goes; the sockets stay', async (t) => {
  const fn = await startLambda(t, { app: echo });
  const web = httpApi({ integrations: [mock('m', { template: 'page' })], routes: [route('GET /page', 'm')] });
  const config = (...apis) => ({ functions: fn.table('app'), apis: [appApi(), ...apis] });
  const gw = await startGateway(t, config());
  const client = await dial(t, gw.url());
  assert.equal((await gw.get('/page')).status, 403);
  await gw.reload(config(web), everywhere(gw, '/page', 'page'));
  assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  await gw.reload(config(), everywhere(gw, '/page', '{"message":"Forbidden"}'));
  assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
});
