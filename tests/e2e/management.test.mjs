// The management API: section 5, rows C50 to C58.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { dial, join } from './lib/client.mjs';
import { ACCOUNT, ADMIN_KEY, ALLOW_ALL, REGION, appApi, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { connectRaw, openRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { presign, sign } from './lib/sigv4.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let gw;

// Callers with a policy each; the key id names the row of the table.
const keys = {};
const credentials = [{ ...ADMIN_KEY, policy: ALLOW_ALL }];

function caller(name, ...statements) {
  keys[name] = { accessKeyId: `AK${name.toUpperCase()}`, secretAccessKey: `secret/${name}+x` };
  credentials.push({ ...keys[name], policy: { Version: '2012-10-17', Statement: statements } });
}

const arn = (rest, api = 'chat') => `arn:aws:execute-api:${REGION}:${ACCOUNT}:${api}${rest}`;
const allow = (Resource, Action = 'execute-api:ManageConnections') => ({ Effect: 'Allow', Action, Resource });
const deny = (Resource, Action = 'execute-api:ManageConnections') => ({ Effect: 'Deny', Action, Resource });

caller('none', allow('*', 'sqs:SendMessage'));
caller('invoke', allow('*', 'execute-api:Invoke'));
caller('star', allow('*'));
caller('anyaction', allow('*', 'execute-api:*'));
caller('everything', allow('*', '*'));
caller('connections', allow(arn('/prod/POST/@connections/*')));
caller('anyverb', allow(arn('/*/@connections/*')));
caller('stage', allow(arn('/prod/*')));
caller('api', allow(arn('/*')));
caller('literal', allow(arn('/prod/POST/@connections/{connectionId}')));
caller('bare', allow(arn('/prod/POST/@connections')));
caller('getonly', allow(arn('/prod/GET/@connections/*')));
caller('dev', allow(arn('/dev/*')));
caller('otherapi', allow(arn('/*', 'other')));
caller('denied', allow('*'), deny(arn('/prod/POST/*')));
caller('list', { Effect: 'Allow', Action: ['execute-api:Invoke', 'execute-api:ManageConnections'], Resource: [arn('/x/*'), arn('/prod/*')] });
caller('question', allow(arn('/pro?/POST/@connections/*')));

const stages = [{ stageName: 'prod' }, { stageName: 'dev' }];

before(async () => {
  fn = await startLambda(file, { app: echo });
  gw = await startGateway(file, { functions: fn.table('app'), credentials, apis: [appApi({ stages, hosts: ['127.0.0.1'] }), wsApi({ apiId: 'other' })] });
});

function assertGone(answer) {
  assert.equal(answer.status, 410);
  assert.equal(answer.headers['x-amzn-errortype'], 'GoneException');
  assert.equal(answer.text, '');
  assert.equal(answer.headers['content-length'], '0');
  assert.equal(answer.headers['content-type'], 'application/json');
}

function assertError(answer, status, type, message) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['x-amzn-errortype'], type);
  if (message !== undefined) assert.deepEqual(JSON.parse(answer.text), { message });
}

// Another id of the same length: one character changed.
function altered(id, at) {
  const char = id[at] === 'A' ? 'B' : 'A';
  return id.slice(0, at) + char + id.slice(at + 1);
}

describe('C50', () => {
  test('C50 POST: 200, empty body, headers; the client gets one text message', async (t) => {
    const client = await join(t, gw, fn);
    const answer = await gw.post(client.id, 'hello ä');
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '');
    assert.equal(answer.headers['content-length'], '0');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.match(answer.headers['x-amzn-requestid'], /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    assert.ok(answer.headers['x-amz-apigw-id']);
    assert.match(answer.headers['x-amzn-trace-id'], /^Root=1-/);
    assert.equal(await client.next(), 'hello ä');
  });

  test('C50 POST with any Content-Type is a text message', async (t) => {
    const client = await join(t, gw, fn);
    for (const type of ['application/json', 'application/octet-stream', 'text/plain']) {
      assert.equal((await gw.post(client.id, type, { headers: { 'Content-Type': type } })).status, 200);
      assert.equal(await client.next(), type);
    }
  });

  test('C50 GET: body members, spacing, time format', async (t) => {
    const client = await join(t, gw, fn, { headers: { 'User-Agent': 'agent "4"' } });
    const answer = await gw.info(client.id);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json');
    const time = '\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{3}Z';
    assert.match(answer.text, new RegExp(`^\\{\\n  "identity" : \\{\\n    "sourceIp" : "127\\.0\\.0\\.1",\\n    "userAgent" : "agent \\\\"4\\\\""\\n  \\},\\n  "connectedAt" : "${time}",\\n  "lastActiveAt" : "${time}"\\n\\}\\n?$`));
    const body = JSON.parse(answer.text);
    assert.equal(Date.parse(body.connectedAt), client.connectEvent.requestContext.connectedAt);
    assert.ok(Date.parse(body.lastActiveAt) >= Date.parse(body.connectedAt));
  });

  test('C50 GET without a User-Agent: an empty string', async (t) => {
    const before = fn.count('CONNECT');
    await openRaw(t, gw);
    await waitFor(() => fn.count('CONNECT') > before);
    const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
    assert.equal(JSON.parse((await gw.info(id)).text).identity.userAgent, '');
  });

  test('C50 lastActiveAt moves on a message and on an accepted POST', async (t) => {
    const client = await join(t, gw, fn);
    const last = async () => Date.parse(JSON.parse((await gw.info(client.id)).text).lastActiveAt);
    let at = await last();
    assert.equal(await last(), at, 'GET does not count');
    for (const act of [() => client.ask({ action: 'echo' }), () => gw.post(client.id, 'x')]) {
      await waitFor(() => Date.now() > at + 1);
      await act();
      const now = await last();
      assert.ok(now > at, `${now} > ${at}`);
      at = now;
    }
  });

  test('C50 DELETE: 204, empty body', async (t) => {
    const client = await join(t, gw, fn);
    const answer = await gw.remove(client.id);
    assert.equal(answer.status, 204);
    assert.equal(answer.text, '');
    assert.equal((await client.ended()).code, 1000);
  });

  test('C50 messages posted one after another arrive in order', async (t) => {
    const client = await join(t, gw, fn);
    for (let i = 0; i < 100; i++) assert.equal((await gw.post(client.id, String(i))).status, 200);
    for (let i = 0; i < 100; i++) assert.equal(await client.next(), String(i));
  });

  test('C50 wrong path shapes and verbs: 404 or 403 without harm', async (t) => {
    const client = await join(t, gw, fn);
    for (const path of [`/prod/prod/@connections/${client.id}`, '/prod/@connections', '/prod/@connections/', `/prod/@connection/${client.id}`]) {
      const answer = await gw.manage('POST', client.id, { path, body: 'x' });
      assert.ok([403, 404].includes(answer.status), `${path}: ${answer.status}`);
      if (answer.status === 404) assert.match(answer.text, new RegExp('No method found matching route .* for http method POST'));
    }
    const put = await gw.manage('PUT', client.id, { body: 'x' });
    assert.ok([403, 404, 405].includes(put.status), String(put.status));
  });
});

describe('C51', () => {
  test('C51 closed: 410 for all verbs', async (t) => {
    const client = await join(t, gw, fn);
    await client.close();
    await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
    assertGone(await gw.post(client.id, 'x'));
    assertGone(await gw.info(client.id));
    assertGone(await gw.remove(client.id));
  });

  test('C51 deleted: 410', async (t) => {
    const client = await join(t, gw, fn);
    await gw.remove(client.id);
    assertGone(await gw.post(client.id, 'x'));
    await client.ended();
    assertGone(await gw.remove(client.id));
  });

  test('C51 never seen here: an id of another run of the gateway is 410 or 400', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi()] });
    const client = await join(t, g, fn);
    // In a cluster, what Redis has not heard of may live until Redis has been watched for a whole lease.
    const answer = await waitFor(async () => {
      const a = await gw.post(client.id, 'x');
      return a.status === 503 ? undefined : a;
    });
    assert.ok([400, 410].includes(answer.status), String(answer.status));
    assert.equal(answer.headers['x-amzn-errortype'], answer.status === 410 ? 'GoneException' : 'BadRequestException');
  });

  test('C51 a slot used again does not answer for its old id', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], workers: 1 });
    const old = [];
    for (let i = 0; i < 10; i++) {
      const client = await join(t, g, fn);
      old.push(client.id);
      await client.close();
      await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
    }
    const now = await join(t, g, fn);
    for (const id of old) assertGone(await g.post(id, 'not for you'));
    await g.post(now.id, 'for you');
    assert.equal(await now.next(), 'for you');
  });

  for (const id of ['x', 'nonsense', 'L0SM9cOFvHcCIhw=', '', '.', 'a'.repeat(129), '%00', 'ä', '../../prod', '!!!!!!!!!!!!!!!!']) {
    if (id === '') continue;
    test(`C51 malformed id ${JSON.stringify(id.slice(0, 20))}: 400`, async () => {
      const path = id === '%00' ? '/prod/@connections/%00' : undefined;
      const answer = await gw.manage('POST', id, { body: 'x', path });
      assertError(answer, 400, 'BadRequestException');
      if (!path) assert.deepEqual(JSON.parse(answer.text), { message: `Invalid connectionId: ${id}` });
    });
  }

  test('C51 one altered character: 400, at every place, the connection unharmed', async (t) => {
    const client = await join(t, gw, fn);
    for (let at = 0; at < client.id.replace(/=+$/, '').length; at++) {
      const id = altered(client.id, at);
      assertError(await gw.post(id, 'x'), 400, 'BadRequestException', `Invalid connectionId: ${id}`);
    }
    assert.equal((await gw.post(client.id, 'ok')).status, 200);
    assert.equal(await client.next(), 'ok');
  });

  test('C51 a malformed id is 400 even for a caller without permission, 403 for an unsigned one', async () => {
    assertError(await gw.post('nonsense', 'x', { credentials: keys.none }), 400, 'BadRequestException');
    assertError(await gw.post('nonsense', 'x', { credentials: null }), 403, 'MissingAuthenticationTokenException', 'Missing Authentication Token');
  });

  test('C51 the policy is checked before existence: 403 for a closed connection', async (t) => {
    const client = await join(t, gw, fn);
    await client.close();
    await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
    assertError(await gw.post(client.id, 'x', { credentials: keys.none }), 403, 'AccessDeniedException');
  });
});

describe('C52', () => {
  test('C52 = and %3D, @ and %40 in the path', async (t) => {
    const client = await join(t, gw, fn);
    const escaped = client.id.replace(/=/g, '%3D');
    const paths = [`/prod/@connections/${client.id}`, `/prod/@connections/${escaped}`, `/prod/%40connections/${client.id}`, `/prod/%40connections/${escaped}`, `/prod/%40connections/${escaped.replace(/%3D/g, '%3d')}`];
    for (const path of paths) {
      assert.equal((await gw.post(client.id, path, { path })).status, 200, path);
      assert.equal(await client.next(), path);
      assert.equal((await gw.info(client.id, { path })).status, 200, path);
    }
  });

  test('C52 the signature covers the path as it is on the wire', async (t) => {
    const client = await join(t, gw, fn);
    const escaped = `/prod/@connections/${client.id.replace(/=/g, '%3D')}`;
    const headers = sign({ method: 'GET', path: `/prod/%40connections/${client.id.replace(/=/g, '%3D')}`, host: gw.host, credentials: ADMIN_KEY });
    assertError(await request({ port: gw.port, path: escaped, headers }), 403, 'InvalidSignatureException');
  });

  const tampering = {
    'another body': { body: 'other' },
    'another method': { method: 'DELETE' },
    'another host': { host: 'evil.test' },
    'another date': { date: true },
    'a wrong secret': { credentials: { ...ADMIN_KEY, secretAccessKey: 'wrong' } },
    'a query that was not signed': { query: '?x=1' },
  };
  for (const [name, change] of Object.entries(tampering)) {
    test(`C52 a signature with ${name} is refused`, async (t) => {
      const client = await join(t, gw, fn);
      const path = `/prod/@connections/${encodeURIComponent(client.id)}`;
      const headers = sign({ method: 'POST', path, host: gw.host, body: 'hello', credentials: change.credentials ?? ADMIN_KEY });
      if (change.host) headers.host = `127.0.0.1:${gw.port + 1}`;
      if (change.date) headers['x-amz-date'] = headers['x-amz-date'].replace(/(\d)Z$/, (_, digit) => `${(Number(digit) + 1) % 10}Z`);
      const answer = await request({ port: gw.port, method: change.method ?? 'POST', path: path + (change.query ?? ''), headers, body: change.body ?? 'hello' });
      assert.equal(answer.status, 403);
      assert.equal(answer.headers['x-amzn-errortype'], 'InvalidSignatureException');
      assert.match(JSON.parse(answer.text).message, /^The request signature we calculated does not match the signature you provided/);
      assert.equal((await gw.post(client.id, 'still here')).status, 200);
      assert.equal(await client.next(), 'still here');
    });
  }

  test('C52 an unknown key, a malformed header, the wrong service or region: 403', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, 'x', { credentials: { accessKeyId: 'AKNOBODY', secretAccessKey: 'x' } })).status, 403);
    for (const authorization of ['', 'Bearer x', 'AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=y', `AWS4-HMAC-SHA256 Credential=${ADMIN_KEY.accessKeyId}/20260102/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=`]) {
      assert.equal((await gw.post(client.id, 'x', { credentials: null, headers: { authorization } })).status, 403, authorization);
    }
    assert.equal((await gw.post(client.id, 'x', { region: 'eu-west-1' })).status, 403);
    assert.equal((await gw.post(client.id, 'x', { signed: {}, when: new Date(0) })).status, 403);
    assert.equal(client.messages.length, 0);
  });

  test('C52 the clock may differ by five minutes, not by more', async (t) => {
    const client = await join(t, gw, fn);
    for (const minutes of [-4, 4]) assert.equal((await gw.info(client.id, { when: new Date(Date.now() + minutes * 60000) })).status, 200, `${minutes} minutes`);
    for (const minutes of [-6, 6, 60 * 24]) assert.equal((await gw.info(client.id, { when: new Date(Date.now() + minutes * 60000) })).status, 403, `${minutes} minutes`);
  });

  test('C52 further signed headers, a session token, and x-amz-content-sha256', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.info(client.id, { signed: { 'x-custom': '  two   blanks ', 'amz-sdk-request': 'attempt=1; max=3' } })).status, 200);
    const hash = '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
    assert.equal((await gw.post(client.id, 'hello', { signed: { 'x-amz-content-sha256': hash } })).status, 200);
    assert.equal(await client.next(), 'hello');
    const other = await gw.post(client.id, 'hellO', { signed: { 'x-amz-content-sha256': hash } });
    assert.ok([400, 403].includes(other.status), String(other.status));
  });

  test('C52 host must be among the signed headers', async (t) => {
    const client = await join(t, gw, fn);
    const headers = await forge(client.id);
    assert.equal((await request({ port: gw.port, path: `/prod/@connections/${encodeURIComponent(client.id)}`, headers })).status, 403);
  });

  // A signature over x-amz-date alone, otherwise right.
  async function forge(id) {
    const { amzDate, canonicalRequest, signature, EMPTY_HASH } = await import('./lib/sigv4.mjs');
    const date = amzDate();
    const canonical = canonicalRequest({ method: 'GET', path: `/prod/@connections/${encodeURIComponent(id)}`, headers: { 'x-amz-date': date }, signed: ['x-amz-date'], payloadHash: EMPTY_HASH });
    const made = signature({ secret: ADMIN_KEY.secretAccessKey, date, region: REGION, service: 'execute-api', canonical });
    return { 'x-amz-date': date, authorization: `AWS4-HMAC-SHA256 Credential=${ADMIN_KEY.accessKeyId}/${made.scope}, SignedHeaders=x-amz-date, Signature=${made.signature}` };
  }

  test('C52 the presigned query form', async (t) => {
    const client = await join(t, gw, fn);
    const path = `/prod/@connections/${encodeURIComponent(client.id)}`;
    const query = presign({ method: 'GET', path, host: gw.host, credentials: ADMIN_KEY });
    assert.equal((await gw.get(`${path}?${query}`)).status, 200);
    assert.equal((await gw.get(`${path}?${query.replace(/.$/, (c) => (c === '0' ? '1' : '0'))}`)).status, 403);
    const old = presign({ method: 'GET', path, host: gw.host, credentials: ADMIN_KEY, when: new Date(Date.now() - 120000), expires: 60 });
    assert.equal((await gw.get(`${path}?${old}`)).status, 403);
  });

  test('C52 management.auth none takes unsigned calls', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), management: { auth: 'none' }, apis: [appApi()] });
    const client = await join(t, g, fn);
    assert.equal((await g.post(client.id, 'x', { credentials: null })).status, 200);
    assert.equal(await client.next(), 'x');
  });
});

describe('C53', () => {
  test('C53 131072 bytes: 200; 131073: 413, connection alive, lastActiveAt unchanged', async (t) => {
    const client = await join(t, gw, fn);
    const body = 'm'.repeat(131072);
    assert.equal((await gw.post(client.id, body)).status, 200);
    assert.equal(await client.next(), body);
    const before = JSON.parse((await gw.info(client.id)).text).lastActiveAt;
    await waitFor(() => Date.now() > Date.parse(before) + 1);
    const answer = await gw.post(client.id, `${body}x`);
    assert.equal(answer.status, 413);
    assert.equal(answer.text, '');
    assert.equal(answer.headers['x-amzn-errortype'], undefined);
    assert.equal(JSON.parse((await gw.info(client.id)).text).lastActiveAt, before);
    assert.equal((await gw.post(client.id, 'after')).status, 200);
    assert.equal(await client.next(), 'after');
  });

  test('C53 the size comes before signature and id; a chunked body counts as it grows', async (t) => {
    const body = 'm'.repeat(131073);
    assert.equal((await gw.post('nonsense', body, { credentials: null })).status, 413);
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(`POST /prod/@connections/abc HTTP/1.1\r\nHost: ${gw.host}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (let i = 0; i < 5; i++) peer.write(`8000\r\n${'m'.repeat(32768)}\r\n`);
    assert.equal((await peer.response()).status, 413);
  });

  test('C53 errorTypeOn413 names the type', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), management: { auth: 'sigv4', errorTypeOn413: true }, apis: [appApi()] });
    const client = await join(t, g, fn);
    const answer = await g.post(client.id, 'm'.repeat(131073));
    assert.equal(answer.status, 413);
    assert.equal(answer.headers['x-amzn-errortype'], 'PayloadTooLargeException');
  });
});

describe('C54', () => {
  const table = [
    ['none', false],
    ['invoke', false],
    ['star', true],
    ['anyaction', true],
    ['everything', true],
    ['connections', true],
    ['anyverb', true],
    ['stage', true],
    ['api', true],
    ['literal', true],
    ['bare', false],
    ['getonly', false],
    ['dev', false],
    ['otherapi', false],
    ['denied', false],
    ['list', true],
    ['question', true],
  ];
  for (const [name, passes] of table) {
    test(`C54 policy "${name}": ${passes ? 'allowed' : 'refused'}`, async (t) => {
      const client = await join(t, gw, fn);
      const answer = await gw.post(client.id, 'x', { credentials: keys[name] });
      if (passes) assert.equal(answer.status, 200, answer.text);
      else assertError(answer, 403, 'AccessDeniedException');
    });
  }

  test('C54 the verb of the request is the one that is evaluated', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.info(client.id, { credentials: keys.getonly })).status, 200);
    assertError(await gw.remove(client.id, { credentials: keys.getonly }), 403, 'AccessDeniedException');
    assertError(await gw.info(client.id, { credentials: keys.connections }), 403, 'AccessDeniedException');
    assert.equal((await gw.info(client.id, { credentials: keys.denied })).status, 200);
    assert.equal((await gw.remove(client.id, { credentials: keys.anyverb })).status, 204);
  });

  test('C54 the AccessDenied text: literal placeholder, masked account', async (t) => {
    const client = await join(t, gw, fn);
    const plain = JSON.parse((await gw.post(client.id, 'x', { credentials: keys.none })).text);
    assert.deepEqual(Object.keys(plain), ['Message']);
    assert.match(plain.Message, /^User: \S+ is not authorized to perform: execute-api:ManageConnections on resource: arn:aws:execute-api:us-east-1:\*{8}0000:chat\/prod\/POST\/@connections\/\{connectionId\} because no .* policy allows the execute-api:ManageConnections action$/);
    const denied = JSON.parse((await gw.post(client.id, 'x', { credentials: keys.denied })).text);
    assert.match(denied.Message, /\/prod\/POST\/@connections\/\{connectionId\} with an explicit deny in .* policy$/);
  });

  test('C54 a policy that names one id matches, unless strictManagementArn', async (t) => {
    const own = { accessKeyId: 'AKEXACT', secretAccessKey: 'exact' };
    const config = (resource, strict) => ({
      functions: fn.table('app'),
      management: { auth: 'sigv4', ...(strict ? { strictManagementArn: true } : {}) },
      credentials: [{ ...ADMIN_KEY, policy: ALLOW_ALL }, { ...own, policy: { Version: '2012-10-17', Statement: [allow(resource)] } }],
      apis: [appApi()],
    });
    const g = await startGateway(t, config(arn('/none')));
    const client = await join(t, g, fn);
    const other = await join(t, g, fn);
    const exact = arn(`/prod/POST/@connections/${client.id}`);
    assert.equal((await g.post(client.id, 'x', { credentials: own })).status, 403);
    await g.reload(config(exact), async () => (await g.post(client.id, 'x', { credentials: own })).status === 200);
    assert.equal((await g.post(other.id, 'x', { credentials: own })).status, 403);
    await g.reload(config(exact, true), async () => (await g.post(client.id, 'x', { credentials: own })).status === 403);
  });
});

describe('C55', () => {
  test('C55 through another stage of the same API: works, authorised by the stage in the address', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, 'via dev', { stage: 'dev' })).status, 200);
    assert.equal(await client.next(), 'via dev');
    assert.equal((await gw.post(client.id, 'x', { stage: 'dev', credentials: keys.dev })).status, 200);
    assertError(await gw.post(client.id, 'x', { stage: 'dev', credentials: keys.stage }), 403, 'AccessDeniedException');
  });

  test('C55 no such stage: 403 ForbiddenException', async (t) => {
    const client = await join(t, gw, fn);
    assertError(await gw.post(client.id, 'x', { stage: 'nope' }), 403, 'ForbiddenException', 'Forbidden');
  });

  test('C55 through another API: 410 or 400, nothing delivered', async (t) => {
    const client = await join(t, gw, fn);
    for (const call of [gw.post(client.id, 'x', { host: 'other.test' }), gw.info(client.id, { host: 'other.test' }), gw.remove(client.id, { host: 'other.test' })]) {
      assert.ok([400, 410].includes((await call).status));
    }
    await gw.post(client.id, 'own');
    assert.equal(await client.next(), 'own');
  });
});

describe('C56', () => {
  test('C56 DELETE closes with 1000 Connection Closed Normally, after what was posted before', async (t) => {
    const client = await join(t, gw, fn);
    await gw.post(client.id, 'last words');
    assert.equal((await gw.remove(client.id)).status, 204);
    assert.equal(await client.next(), 'last words');
    assert.deepEqual(await client.ended(), { code: 1000, reason: 'Connection Closed Normally' });
    const rc = (await fn.event({ eventType: 'DISCONNECT', connectionId: client.id })).requestContext;
    assert.deepEqual([rc.disconnectStatusCode, rc.disconnectReason], [1000, 'Connection Closed Normally']);
  });
});

describe('C57', () => {
  test('C57 an empty POST sends an empty message', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, '')).status, 200);
    await gw.post(client.id, 'next');
    assert.equal(await client.next(), '');
    assert.equal(await client.next(), 'next');
  });

  test('C57 bytes that are no UTF-8 become U+FFFD', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, Buffer.from([0x61, 0xff, 0xfe, 0x62, 0xe2, 0x82]))).status, 200);
    assert.match(await client.next(), /^a\ufffd\ufffdb\ufffd{1,2}$/);
  });
});

describe('C58', () => {
  test('C58 the client does not read: 429 LimitExceededException within bounds', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), management: { auth: 'sigv4', pushTimeoutMillis: 300 }, apis: [appApi({ settings: { maxQueuedBytes: 262144 } })] });
    const before = fn.count('CONNECT');
    const peer = await openRaw(t, g);
    peer.pause();
    await waitFor(() => fn.count('CONNECT') > before);
    const id = fn.filter('CONNECT').at(-1).event.requestContext.connectionId;
    const body = 'm'.repeat(131072);
    let answer;
    let posted = 0;
    for (; posted < 300; posted++) {
      answer = await g.post(id, body);
      if (answer.status !== 200) break;
    }
    assertError(answer, 429, 'LimitExceededException', 'Limit Exceeded');
    assert.ok(posted > 0);
    // What was accepted arrives, whole and in order, once the client reads again; then pushes pass again.
    peer.resume();
    for (let i = 0; i < posted; i++) assert.equal((await peer.message()).payload.length, body.length);
    assert.equal((await g.post(id, 'again')).status, 200);
    assert.equal((await peer.message()).text, 'again');
  });

  test('C58 one slow client does not hold up another', async (t) => {
    const slow = await join(t, gw, fn);
    const quick = await join(t, gw, fn);
    slow.ws.pause();
    const body = 'm'.repeat(131072);
    for (let i = 0; i < 100; i++) {
      if ((await gw.post(slow.id, body)).status === 429) break;
      await gw.post(quick.id, String(i));
      assert.equal(await quick.next(), String(i));
    }
    assert.equal(await quick.ask({ action: 'echo' }), '{"action":"echo"}');
    slow.cut();
  });
});

test('C50 management calls share a kept-alive connection with others, pipelined in order', async (t) => {
  const client = await dial(t, gw.url());
  client.cut();
  const live = await join(t, gw, fn);
  const peer = await connectRaw(t, { port: gw.port });
  const path = `/prod/@connections/${encodeURIComponent(live.id)}`;
  const build = (method, body = '') => {
    const headers = sign({ method, path, host: gw.host, body, credentials: ADMIN_KEY });
    return `${method} ${path} HTTP/1.1\r\n${Object.entries({ ...headers, 'content-length': body.length }).map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${body}`;
  };
  peer.write(build('POST', 'one') + build('GET') + build('POST', 'two') + build('DELETE') + build('GET'));
  const statuses = [];
  for (let i = 0; i < 5; i++) statuses.push((await peer.response()).status);
  assert.deepEqual(statuses, [200, 200, 200, 204, 410]);
  assert.equal(await live.next(), 'one');
  assert.equal(await live.next(), 'two');
});
