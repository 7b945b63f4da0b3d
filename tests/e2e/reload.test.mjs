// SIGHUP: connections stay, new routes are used, a bad file is rejected whole. Design section 7, row C29.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, lambda, route, twoWay } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { deferred, waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo, one: () => ({ statusCode: 200, body: 'one' }), two: () => ({ statusCode: 200, body: 'two' }) });
});

const config = (target, more = {}) => ({ functions: fn.table('app', 'one', 'two'), apis: [appApi({ integrations: [lambda('one'), lambda('two')], routes: [twoWay('which', target)], ...more })] });

// All workers have the new file when fresh connections, spread over them, all say so.
const everywhere = (gw, expected) => async () => {
  for (let i = 0; i < 8; i++) {
    const client = await dial({ stack: [] }, gw.url()).catch(() => undefined);
    if (!client) return false;
    const reply = await client.ask({ action: 'which' });
    client.cut();
    if (reply !== expected) return false;
  }
  return true;
};

describe('C29', () => {
  test('C29 redeploy while connected: the next message uses the new routes, no connection is lost', async (t) => {
    const gw = await startGateway(t, config('one'));
    const clients = await Promise.all(Array.from({ length: 20 }, () => join(t, gw, fn)));
    for (const client of clients) assert.equal(await client.ask({ action: 'which' }), 'one');
    await gw.reload(config('two'), everywhere(gw, 'two'));
    for (const client of clients) assert.equal(await client.ask({ action: 'which' }), 'two');
    for (const client of clients) {
      assert.equal((await gw.post(client.id, 'after')).status, 200);
      assert.equal(await client.next(), 'after');
    }
    await clients[0].close(4000, 'x');
    const event = await fn.event({ eventType: 'DISCONNECT', connectionId: clients[0].id });
    assert.equal(event.requestContext.disconnectStatusCode, 4000);
  });

  test('C29 a route that was added, one that was removed', async (t) => {
    const gw = await startGateway(t, config('one', { without: ['$default'] }));
    const client = await join(t, gw, fn);
    assert.match(await client.ask({ action: 'fresh' }), /^\{"message": "Forbidden"/);
    const next = config('one', { without: ['$default'] });
    next.apis[0].routes = next.apis[0].routes.filter((r) => r.routeKey !== 'which').concat(twoWay('fresh', 'two'));
    await gw.reload(next, async () => (await client.ask({ action: 'fresh' })) === 'two');
    assert.match(await client.ask({ action: 'which' }), /^\{"message": "Forbidden"/);
  });

  test('C29 what is in flight ends on the old configuration', async (t) => {
    const gate = deferred();
    fn.on('held', () => gate.promise);
    const held = (target) => ({ ...config(target), functions: fn.table('app', 'one', 'two', 'held'), apis: [appApi({ integrations: [lambda('one'), lambda('two'), lambda('held')], routes: [twoWay('which', target), twoWay('held', 'held')] })] });
    const gw = await startGateway(t, held('one'));
    const client = await join(t, gw, fn);
    client.send({ action: 'held' });
    await fn.call({ name: 'held', connectionId: client.id });
    const next = held('two');
    next.apis[0].routes = next.apis[0].routes.filter((r) => r.routeKey !== 'held');
    next.apis[0].integrations = next.apis[0].integrations.filter((i) => i.integrationId !== 'held');
    await gw.reload(next, everywhere(gw, 'two'));
    gate.resolve({ statusCode: 200, body: 'held reply' });
    assert.equal(await client.next(), 'held reply');
  });

  test('C29 a handshake in flight ends on the configuration it started with', async (t) => {
    const gate = deferred();
    fn.on('door', (event) => (event.queryStringParameters?.slow ? gate.promise : { statusCode: 200 }));
    const doored = (target) => ({ functions: fn.table('app', 'one', 'two', 'door'), apis: [appApi({ integrations: [lambda('one'), lambda('two'), lambda('door')], routes: [route('$connect', 'door'), twoWay('which', target)] })] });
    const gw = await startGateway(t, doored('one'));
    const pending = dial(t, gw.url('/prod?slow=1'));
    await fn.call((c) => c.name === 'door' && c.event.queryStringParameters?.slow);
    await gw.reload(doored('two'), everywhere(gw, 'two'));
    gate.resolve({ statusCode: 200 });
    const client = await pending;
    assert.equal(await client.ask({ action: 'which' }), 'two');
  });

  test('C29 stages, stage variables, limits and credentials follow', async (t) => {
    const gw = await startGateway(t, config('one'));
    assert.equal((await refused(t, gw.url('/dev'))).status, 403);
    await gw.reload(config('one', { stages: [{ stageName: 'prod', stageVariables: { v: '2' } }, { stageName: 'dev' }], settings: { maxMessageBytes: 1000, maxFrameBytes: 1000 } }), async () => {
      try {
        (await dial({ stack: [] }, gw.url('/dev'))).cut();
        return true;
      } catch {
        return false;
      }
    });
    await waitFor(async () => (await join(t, gw, fn)).connectEvent.stageVariables?.v === '2');
  });

  test('C29 connections of an API that was removed do not bring anything down', async (t) => {
    const two = config('one');
    two.apis.push(appApi({ apiId: 'other' }));
    const gw = await startGateway(t, two);
    const client = await join(t, gw, fn, { headers: { Host: 'other.test' } });
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    await gw.reload(config('two'), everywhere(gw, 'two'));
    client.send({ action: 'echo' });
    await client.close().catch(() => {});
    assert.equal(await (await dial(t, gw.url())).ask({ action: 'which' }), 'two');
  });
});

describe('reload', () => {
  test('reload: a bad file is rejected whole, the log says why, everything goes on', async (t) => {
    const gw = await startGateway(t, config('one'));
    const client = await join(t, gw, fn);
    const bads = {
      'integrations/nobody': config('two', { routes: [twoWay('which', 'nobody')] }),
      routeSelectionExpresion: { ...config('two'), apis: [{ ...config('two').apis[0], routeSelectionExpresion: 'x' }] },
    };
    for (const [word, bad] of Object.entries(bads)) {
      await gw.reload(bad, () => gw.log().includes(word.replace('integrations/', '')));
      assert.equal(await client.ask({ action: 'which' }), 'one');
    }
    gw.write('{"listeners": [');
    const before = gw.log().length;
    gw.signal('SIGHUP');
    await waitFor(() => /tidegate\.json:\d+/.test(gw.log().slice(before)), { what: 'the log to name file and line' });
    assert.equal(await client.ask({ action: 'which' }), 'one');
    assert.equal(await (await dial(t, gw.url())).ask({ action: 'which' }), 'one');
    await gw.reload(config('two'), everywhere(gw, 'two'));
    assert.equal(await client.ask({ action: 'which' }), 'two');
  });

  test('reload: what cannot change without a restart is refused with its name', async (t) => {
    const gw = await startGateway(t, config('one'));
    await gw.reload({ ...config('two'), workers: 3 }, () => /workers/.test(gw.log()));
    const client = await dial(t, gw.url());
    assert.equal(await client.ask({ action: 'which' }), 'one');
  });

  test('reload: many in a row under load lose nothing', async (t) => {
    const gw = await startGateway(t, config('one'));
    const clients = await Promise.all(Array.from({ length: 10 }, () => join(t, gw, fn)));
    let going = true;
    let asked = 0;
    const load = clients.map(async (client) => {
      while (going) {
        assert.match(await client.ask({ action: 'which' }), /^(one|two)$/);
        asked++;
      }
    });
    for (let i = 0; i < 30; i++) {
      const from = asked;
      await gw.reload(config(i % 2 ? 'one' : 'two'));
      await waitFor(() => asked > from + 10);
    }
    going = false;
    await Promise.all(load);
    await gw.reload(config('two'), everywhere(gw, 'two'));
  });
});
