// The batch call of the management API, POST /{stage}/@tidegate/connections: beyond the native service (5.2).
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { join } from './lib/client.mjs';
import { ACCOUNT, ADMIN_KEY, ALLOW_ALL, REGION, UNTHROTTLED, appApi, httpApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { REDIS, startRedis } from './lib/redis.mjs';
import { fileScope } from './lib/scope.mjs';
import { pool, waitFor } from './lib/wait.mjs';

const file = fileScope();
const PATH = '/prod/@tidegate/connections';
const management = (more) => ({ auth: 'sigv4', batchMaxConnections: 2000, ...more });
let fn;
let gw;

before(async () => {
  fn = await startLambda(file, { app: echo });
  gw = await startGateway(file, { functions: fn.table('app'), management: management(), apis: [appApi()], throttling: UNTHROTTLED });
});

const bodyOf = (connectionIds, data, more) => JSON.stringify({ connectionIds, data, ...more });

// Options as for Gateway.manage; `more`: further members of the body.
function batch(gateway, ids, data, { more, ...options } = {}) {
  return gateway.manage('POST', undefined, { path: PATH, body: bodyOf(ids, data, more), ...options });
}

function assertAnswer(answer, delivered, failed = []) {
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(answer.text), { delivered, failed });
}

function assertError(answer, status, type, message) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['x-amzn-errortype'], type);
  if (message) assert.match(JSON.parse(answer.text).message, message);
}

const failed = (error, ...ids) => ids.map((connectionId) => ({ connectionId, error }));
const joinMany = (t, gateway, count) => Promise.all(Array.from({ length: count }, () => join(t, gateway, fn)));
const idsOf = (clients) => clients.map((client) => client.id);

// Every message that each has got, up to this one, which is sent to it alone.
async function assertGot(gateway, clients, expected) {
  for (const client of clients) {
    assert.equal((await gateway.post(client.id, 'last', { credentials: gateway.key })).status, 200);
    for (const text of [...expected, 'last']) assert.equal(await client.next(), text);
  }
}

async function closed(t, gateway) {
  const client = await join(t, gateway, fn);
  await client.close();
  await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
  return client.id;
}

const sample = async (gateway, name, labels) =>
  (await gateway.metrics()).find((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value ?? 0;

describe('batch', () => {
  test('batch: one message to each, in order with pushes of one', async (t) => {
    const clients = await joinMany(t, gw, 3);
    const labels = { route: 'POST /@tidegate/connections' };
    const before = await sample(gw, 'tidegate_messages_out_total', labels);
    for (const client of clients) assert.equal((await gw.post(client.id, 'first')).status, 200);
    const answer = await batch(gw, idsOf(clients), 'to all ä "\\u0000');
    assertAnswer(answer, 3);
    assert.match(answer.headers['x-amzn-requestid'], /^[0-9a-f-]{36}$/);
    assert.match(answer.headers['x-amzn-trace-id'], /^Root=1-/);
    await assertGot(gw, clients, ['first', 'to all ä "\\u0000']);
    assert.equal((await sample(gw, 'tidegate_messages_out_total', labels)) - before, 3);
  });

  test('batch: closed connections and malformed ids fail alone, in the order of the ids', async (t) => {
    const [a, b] = await joinMany(t, gw, 2);
    const gone = await closed(t, gw);
    const altered = (a.id[0] === 'A' ? 'B' : 'A') + a.id.slice(1);
    const answer = await batch(gw, ['nonsense', a.id, gone, altered, 'a"\\\u0001ä', b.id, a.id], 'x');
    assertAnswer(answer, 3, [...failed('BadRequestException', 'nonsense'), ...failed('GoneException', gone), ...failed('BadRequestException', altered, 'a"\\\u0001ä')]);
    await assertGot(gw, [a], ['x', 'x']);
    await assertGot(gw, [b], ['x']);
  });

  test('batch: another API has none of these connections', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), management: management(), apis: [appApi({ hosts: ['127.0.0.1'] }), appApi({ apiId: 'other', hosts: ['other.test'] })] });
    const client = await join(t, g, fn);
    assertAnswer(await batch(g, [client.id], 'x', { host: 'other.test' }), 0, failed('GoneException', client.id));
    assertAnswer(await batch(g, [client.id], 'x'), 1);
    await assertGot(g, [client], ['x']);
  });

  test('batch: each id is asked of the policy, as for a push of one', async (t) => {
    const arn = (rest) => `arn:aws:execute-api:${REGION}:${ACCOUNT}:chat/prod/POST/${rest}`;
    const key = (name) => ({ accessKeyId: `AK${name}`, secretAccessKey: name });
    const config = (...policies) => ({
      functions: fn.table('app'),
      management: management(),
      apis: [appApi()],
      workers: 1, // which takes a reload at once
      credentials: [{ ...ADMIN_KEY, policy: ALLOW_ALL }, ...policies.map(([name, ...Statement]) => ({ ...key(name), policy: { Version: '2012-10-17', Statement } }))],
    });
    const rule = (Effect, Resource) => ({ Effect, Action: 'execute-api:ManageConnections', Resource });
    const g = await startGateway(t, config());
    const [a, b, c] = await joinMany(t, g, 3);
    const table = [
      ['ONE', rule('Allow', arn(`@connections/${b.id}`))],
      ['ALLBUT', rule('Allow', arn('@connections/*')), rule('Deny', arn(`@connections/${b.id}`))],
      ['NONE', rule('Allow', arn('@tidegate/connections'))],
    ];
    await g.reload(config(...table), async () => (await batch(g, ['x'], 'x', { credentials: key('NONE') })).status === 200);
    const send = (name) => batch(g, [a.id, 'x', b.id, c.id], name, { credentials: key(name) });
    assertAnswer(await send('ONE'), 1, [...failed('AccessDeniedException', a.id), ...failed('BadRequestException', 'x'), ...failed('AccessDeniedException', c.id)]);
    assertAnswer(await send('ALLBUT'), 2, [...failed('BadRequestException', 'x'), ...failed('AccessDeniedException', b.id)]);
    assertAnswer(await send('NONE'), 0, [...failed('AccessDeniedException', a.id), ...failed('BadRequestException', 'x'), ...failed('AccessDeniedException', b.id, c.id)]);
    for (const [name] of table) {
      for (const client of [a, b, c]) {
        const alone = await g.post(client.id, '', { credentials: key(name) });
        assert.equal(alone.status, (name === 'ONE' && client === b) || (name === 'ALLBUT' && client !== b) ? 200 : 403, name);
      }
    }
    await assertGot(g, [a, c], ['ALLBUT', '']);
    await assertGot(g, [b], ['ONE', '']);
  });

  test('batch: signed by the SDK’s signer, and by nobody', async (t) => {
    const clients = await joinMany(t, gw, 2);
    const signer = new SignatureV4({ credentials: ADMIN_KEY, region: REGION, service: 'execute-api', sha256: Sha256 });
    const body = bodyOf(idsOf(clients), 'signed');
    for (const path of [PATH, '/prod/%40tidegate/connections']) {
      const signed = await signer.sign({ method: 'POST', protocol: 'http:', hostname: '127.0.0.1', path, headers: { host: gw.host, 'content-type': 'application/json' }, body });
      assertAnswer(await request({ method: 'POST', port: gw.port, path, headers: signed.headers, body }), 2);
      const other = body.replace('signed', 'forged');
      assertError(await request({ method: 'POST', port: gw.port, path, headers: signed.headers, body: other }), 403, 'InvalidSignatureException');
    }
    assertError(await batch(gw, idsOf(clients), 'x', { credentials: null }), 403, 'MissingAuthenticationTokenException');
    assertError(await batch(gw, idsOf(clients), 'x', { path: '/nope/@tidegate/connections' }), 403, 'ForbiddenException');
    await assertGot(gw, clients, ['signed', 'signed']);
  });

  test('batch: what is wrong with the call is said', async () => {
    assertError(await batch(gw, [], 'x'), 400, 'BadRequestException', /^connectionIds is empty/);
    assertError(await batch(gw, ['a', 5], 'x'), 400, 'BadRequestException', /^connectionIds\[1\] is not a string/);
    assertError(await batch(gw, Array(2001).fill('a'), 'x'), 400, 'BadRequestException', /2001 connections, and management\.batchMaxConnections allows 2000/);
    assertError(await batch(gw, ['a'], 'x', { more: { payload: 1 } }), 400, 'BadRequestException', /^Unknown member "payload"/);
    assertError(await gw.manage('POST', undefined, { path: PATH, body: 'x' }), 400, 'BadRequestException', /^The body is not a JSON object/);
    for (const method of ['GET', 'DELETE', 'PUT']) {
      assertError(await gw.manage(method, undefined, { path: PATH }), 404, 'NotFoundException', new RegExp(`^No method found matching route @tidegate/connections for http method ${method}$`));
    }
  });
});

describe('batch payloads', () => {
  test('batch: 131072 bytes go, 131073 do not, whatever way they are written', async (t) => {
    const clients = await joinMany(t, gw, 2);
    const ids = idsOf(clients);
    const text = 'ä'.repeat(65536);
    assertAnswer(await batch(gw, ids, text), 2);
    const escaped = `{"connectionIds":${JSON.stringify(ids)},"data":"${'\\u0001'.repeat(131072)}"}`;
    assertAnswer(await gw.manage('POST', undefined, { path: PATH, body: escaped }), 2);
    assertAnswer(await batch(gw, ids, Buffer.from(text).toString('base64'), { more: { isBase64Encoded: true } }), 2);
    for (const [data, isBase64Encoded] of [[`${text}x`, false], [Buffer.from(`${text}x`).toString('base64'), true], ['x'.repeat(2000000), false]]) {
      const answer = await batch(gw, ids, data, { more: { isBase64Encoded } });
      assert.equal(answer.status, 413);
      assert.equal(answer.text, '');
    }
    await assertGot(gw, clients, [text, '\u0001'.repeat(131072), text]);
  });

  test('batch: base64 is text, or binary where the API has binary frames', async (t) => {
    const data = Buffer.from([0x61, 0xff, 0x62]);
    const more = { isBase64Encoded: true };
    const client = await join(t, gw, fn);
    assertAnswer(await batch(gw, [client.id], data.toString('base64'), { more }), 1);
    assert.equal(await client.next(), 'a\ufffdb');
    const g = await startGateway(t, { functions: fn.table('app'), management: management(), apis: [appApi({ settings: { binaryFrames: true } })] });
    const other = await join(t, g, fn);
    assertAnswer(await batch(g, [other.id], data.toString('base64'), { more }), 1);
    assert.deepEqual(await other.next(), data);
    assertAnswer(await batch(g, [other.id], 'text'), 1);
    assert.equal(await other.next(), 'text');
  });
});

describe('batch scale', () => {
  test('batch: 2000 ids, 200 clients of both workers ten times each', async (t) => {
    const clients = [];
    await pool(200, 20, async () => clients.push(await join(t, gw, fn)));
    const workers = (await gw.metrics()).filter((s) => s.name === 'tidegate_worker_connections');
    assert.equal(workers.filter((s) => s.value > 0).length, 2, JSON.stringify(workers));
    const ids = Array.from({ length: 10 }, () => idsOf(clients)).flat();
    assertAnswer(await batch(gw, ids, 'x'.repeat(1000)), 2000);
    assertAnswer(await batch(gw, idsOf(clients), 'end'), 200);
    for (const client of clients) {
      for (let i = 0; i < 10; i++) assert.equal(await client.next(), 'x'.repeat(1000));
      assert.equal(await client.next(), 'end');
      assert.equal(client.messages.length, 0);
    }
  });

  test('batch: a client whose queue is full fails alone', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), management: management({ pushTimeoutMillis: 300 }), apis: [appApi({ settings: { maxQueuedBytes: 262144 } })] });
    const slow = await join(t, g, fn);
    const clients = await joinMany(t, g, 4);
    const body = 'm'.repeat(131072);
    slow.ws.pause();
    await waitFor(async () => (await g.post(slow.id, body)).status === 429, { what: 'a full queue', interval: 0 });
    const [a, b, c, d] = idsOf(clients);
    assertAnswer(await batch(g, [a, b, slow.id, c, slow.id, d], body), 4, failed('LimitExceededException', slow.id, slow.id));
    await assertGot(g, clients, [body]);
    slow.cut();
  });

  test('batch: connections of two nodes, through either', { skip: REDIS ? false : 'redis-server is not installed' }, async (t) => {
    const redis = await startRedis(t);
    const start = () =>
      startGateway(t, { functions: fn.table('app'), management: management({ auth: 'none' }), apis: [appApi()], registry: { type: 'redis', url: redis.url, cluster: 'batch', probeIntervalSeconds: 0.2 } });
    const nodes = await Promise.all([start(), start()]);
    for (const node of nodes) node.key = null;
    const clients = (await Promise.all(nodes.map((node) => joinMany(t, node, 5)))).flat();
    const ids = idsOf(clients);
    const gone = await closed(t, nodes[1]);
    // A node that has just come is not known to the others at once.
    for (const [i, node] of nodes.entries()) await waitFor(async () => (await node.info(clients.at(i - 1).id, { credentials: null })).status === 200);
    for (const [i, node] of nodes.entries()) {
      assertAnswer(await batch(node, [...ids, gone, 'x', ...ids], `through ${i}`, { credentials: null }), 20, [...failed('GoneException', gone), ...failed('BadRequestException', 'x')]);
    }
    await assertGot(nodes[0], clients, ['through 0', 'through 0', 'through 1', 'through 1']);
  });
});

describe('batch addresses', () => {
  // An HTTP API on the same host, which takes what is not a management call.
  const config = (batchMaxConnections) => ({
    functions: fn.table('app'),
    management: management({ auth: 'none', batchMaxConnections }),
    workers: 1, // which takes a reload at once
    apis: [appApi({ settings: { serveAtRoot: true } }), httpApi()],
    domainNames: [{ domainName: 'custom.test', apiMappings: [{ apiId: 'chat', stage: 'prod', apiMappingKey: 'live/now' }] }],
  });
  const send = (g, ids, path, host) => request({ method: 'POST', port: g.port, path, headers: { host: host ?? g.host }, body: bodyOf(ids, path) });

  test('batch: at a stage, at the root, below a custom domain, beside an HTTP API', async (t) => {
    const g = await startGateway(t, config(10));
    const client = await join(t, g, fn);
    const paths = [[PATH], ['/prod/%40tidegate/connections'], ['/@tidegate/connections'], ['/live/now/@tidegate/connections', 'custom.test']];
    for (const [path, host] of paths) {
      assertAnswer(await send(g, [client.id], path, host), 1);
      assert.equal(await client.next(), path);
    }
    for (const path of [`${PATH}/`, `${PATH}/${client.id}`, '/prod/@tidegate', '/prod/tidegate/connections']) {
      assert.equal((await send(g, [client.id], path)).text, '{"message":"Not Found"}', path);
    }
  });

  test('batch: off by default: the path is like any other; a reload switches it on', async (t) => {
    const g = await startGateway(t, config(undefined));
    const client = await join(t, g, fn);
    const strip = ({ status, text }) => ({ status, text });
    for (const [path, host] of [[PATH], ['/@tidegate/connections'], ['/live/now/@tidegate/connections', 'custom.test']]) {
      const answer = await send(g, [client.id], path, host);
      assert.deepEqual(strip(answer), strip(await send(g, [client.id], path.replace('tidegate', 'nothing'), host)));
      assert.notEqual(answer.status, 200);
    }
    await g.reload(config(1), async () => (await send(g, [client.id], PATH)).status === 200);
    assert.equal(await client.next(), PATH);
    assert.equal((await send(g, [client.id, client.id], PATH)).status, 400);
  });
});
