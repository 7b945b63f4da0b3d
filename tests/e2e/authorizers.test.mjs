// Authorisers on $connect: section 7, rows C70 to C74; AWS_IAM: sections 1.7 and 3.1.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, refused } from './lib/client.mjs';
import { ACCOUNT, ADMIN_KEY, ALLOW_ALL, REGION, appApi, httpProxy, lambdaUri, route } from './lib/config.mjs';
import { startGateway, tempDir } from './lib/gateway.mjs';
import { echo, functionError, raw, startLambda } from './lib/lambda.mjs';
import { connectRaw, upgradeRequest } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { presign, sign } from './lib/sigv4.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
const METHOD_ARN = (apiId) => `arn:aws:execute-api:${REGION}:${ACCOUNT}:${apiId}/prod/$connect`;

let fn;
let gw;
let judge = () => ({});
let backend;

function statement(Effect, Resource, more = {}) {
  return { Action: 'execute-api:Invoke', Effect, Resource, ...more };
}

function verdict(statements, more = {}) {
  return { principalId: 'user-17', policyDocument: { Version: '2012-10-17', Statement: statements }, ...more };
}

const yes = (more) => verdict([statement('Allow', '*')], more);

function guarded(apiId, identitySource, { authorizer = {}, stage = {}, ...rest } = {}) {
  return appApi({
    apiId,
    routes: [route('$connect', 'app', { authorizationType: 'CUSTOM', authorizerId: 'auth' })],
    authorizers: [{ authorizerId: 'auth', name: 'auth', authorizerType: 'REQUEST', authorizerUri: lambdaUri('auth'), identitySource, ...authorizer }],
    stages: [{ stageName: 'prod', ...stage }],
    ...rest,
  });
}

const token = ['route.request.querystring.token'];

before(async () => {
  fn = await startLambda(file, { app: echo, auth: (event, call) => judge(event, call) });
  backend = await startBackend(file);
  gw = await startGateway(file, {
    functions: fn.table('app', 'auth'),
    apis: [
      guarded('basic', token),
      guarded('always', []),
      guarded('header', ['route.request.header.Auth']),
      guarded('both', ['route.request.header.Auth', 'route.request.querystring.token']),
      guarded('variable', ['stageVariables.key'], { stage: { stageVariables: { key: 'k', other: 'o' } } }),
      guarded('novariable', ['stageVariables.missing'], { stage: { stageVariables: { key: 'k' } } }),
      guarded('context', ['context.connectionId', 'context.connectedAt', 'context.requestTimeEpoch', 'context.stage', 'context.apiId', 'context.domainName', 'context.requestId']),
      ...['eventType', 'messageDirection', 'routeKey'].map((name) => guarded(`never${name.toLowerCase()}`, [`context.${name}`])),
      guarded('slow', token, { authorizer: { timeoutInMillis: 150 } }),
      guarded('http', token, { authorizer: { authorizerUri: `${backend.url}/judge` } }),
      guarded('uservar', token, { stage: { stageVariables: { fn: 'auth' } }, authorizer: { authorizerUri: lambdaUri('${stageVariables.fn}') } }),
    ],
  });
});

const at = (apiId, headers = {}) => ({ headers: { Host: `${apiId}.test`, ...headers } });

// Handshakes with `apiId` under `handler`; what was called is counted.
async function attempt(t, handler, { apiId = 'basic', query = 'token=1', headers, expect }) {
  judge = handler;
  const connects = { name: 'app', eventType: 'CONNECT' }; // clients of earlier tests may be leaving meanwhile
  const before = { auth: fn.count({ name: 'auth' }), app: fn.count(connects) };
  const url = gw.url(`/prod${query ? `?${query}` : ''}`);
  let client;
  let answer;
  if (expect === 101) client = await dial(t, url, at(apiId, headers));
  else answer = await refused(t, url, at(apiId, headers));
  return { client, answer, asked: fn.count({ name: 'auth' }) - before.auth, reached: fn.count(connects) - before.app };
}

function assertBodyB(answer, status, message) {
  assert.equal(answer.status, status, answer.text);
  const body = JSON.parse(answer.text);
  assert.deepEqual(Object.keys(body).sort(), ['connectionId', 'message', 'requestId']);
  if (message instanceof RegExp) assert.match(body.message, message);
  else assert.equal(body.message, message);
  assert.match(body.connectionId, /^[A-Za-z0-9_-]+={0,2}$/);
  assert.equal(answer.headers['x-amz-apigw-id'], body.requestId);
  assert.equal(answer.headers['content-type'], 'application/json; charset=UTF-8');
  assert.equal(answer.headers['x-amzn-errortype'], undefined);
  assert.equal(answer.headers['x-amzn-requestid'], undefined);
  return body;
}

describe('C70', () => {
  const EXPLICIT = /^User is not authorized to access this resource with an explicit deny( in an identity-based policy)?$/;
  const OTHER = /^User is not authorized to access this resource/;
  const own = METHOD_ARN('basic');
  const malformed = {
    'no policy': () => ({ principalId: 'x' }),
    'an empty object': () => ({}),
    'a null result': () => null,
    'a string': () => 'Allow',
    'an array': () => [],
    'the simple form': () => ({ isAuthorized: true }),
    'a policy that is a string': () => ({ principalId: 'x', policyDocument: 'Allow' }),
    'a policy without statement': () => ({ principalId: 'x', policyDocument: { Version: '2012-10-17' } }),
    'a statement without effect': () => verdict([{ Action: 'execute-api:Invoke', Resource: '*' }]),
    'an unknown effect': () => verdict([statement('Perhaps', '*')]),
    'a nested context': () => yes({ context: { a: { b: 1 } } }),
    'a context with a list': () => yes({ context: { a: [1] } }),
    'a context that is no object': () => yes({ context: 'x' }),
    'a principal that is an object': () => yes({ principalId: { a: 1 } }),
  };
  const rows = [
    ['missing identity source', () => yes(), { query: '' }, 401, 'Unauthorized', 0],
    ['empty identity source', () => yes(), { query: 'token=' }, 401, 'Unauthorized', 0],
    ['error Unauthorized', () => functionError('Unauthorized'), {}, 401, 'Unauthorized', 1],
    ['thrown Unauthorized', () => Promise.reject(new Error('Unauthorized')), {}, 401, 'Unauthorized', 1],
    ['another error', () => functionError('unauthorized'), {}, 500, 'Internal server error', 1],
    ['an error that only contains Unauthorized', () => functionError('Unauthorized: no'), {}, 500, 'Internal server error', 1],
    ['explicit deny', () => verdict([statement('Deny', own)]), {}, 403, EXPLICIT, 1],
    ['deny beside allow', () => verdict([statement('Allow', '*'), statement('Deny', own)]), {}, 403, EXPLICIT, 1],
    ['only other resources', () => verdict([statement('Allow', METHOD_ARN('other'))]), {}, 403, OTHER, 1],
    ['another route', () => verdict([statement('Allow', own.replace('$connect', 'echo'))]), {}, 403, OTHER, 1],
    ['another stage', () => verdict([statement('Allow', own.replace('/prod/', '/dev/'))]), {}, 403, OTHER, 1],
    ['another action', () => verdict([{ ...statement('Allow', '*'), Action: 'execute-api:ManageConnections' }]), {}, 403, OTHER, 1],
    ['no statement', () => verdict([]), {}, 403, OTHER, 1],
    ['condition that does not hold', () => verdict([statement('Allow', '*', { Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } })]), {}, 403, OTHER, 1],
    ...Object.entries(malformed).map(([name, handler]) => [`malformed: ${name}`, handler, {}, 500, '', 1]),
    ['malformed: not JSON', () => raw({ body: 'nope' }), {}, 500, /^(|Internal server error)$/, 1],
    ['the runtime answers 500', () => raw({ status: 500, body: '{}' }), {}, 500, 'Internal server error', 1],
    ['more than 8 KB', () => yes({ context: { big: 'x'.repeat(8200) } }), {}, 500, /^(|Internal server error)$/, 1],
    ['a time-out', () => new Promise(() => {}), { apiId: 'slow' }, 500, 'Internal server error', 1],
  ];
  for (const [name, handler, options, status, message, asked] of rows) {
    test(`C70 ${name}: ${status}, function ${asked ? '' : 'not '}called, $connect not`, async (t) => {
      const result = await attempt(t, handler, { ...options, expect: status });
      assertBodyB(result.answer, status, message);
      assert.equal(result.asked, asked);
      assert.equal(result.reached, 0);
    });
  }

  const allowed = {
    'the exact resource': () => verdict([statement('Allow', own)]),
    'a wildcard': () => verdict([statement('Allow', `arn:aws:execute-api:*:${ACCOUNT}:basic/*`)]),
    'a question mark': () => verdict([statement('Allow', own.replace('prod', 'pro?'))]),
    'lists': () => verdict([{ Action: ['x:y', 'execute-api:*'], Effect: 'Allow', Resource: ['arn:x', own] }]),
    'a single statement, no list': () => ({ principalId: 'x', policyDocument: { Version: '2012-10-17', Statement: statement('Allow', own) } }),
    'a deny of another route': () => verdict([statement('Allow', '*'), statement('Deny', own.replace('$connect', 'echo'))]),
    'a condition that holds': () => verdict([statement('Allow', '*', { Condition: { IpAddress: { 'aws:SourceIp': ['10.0.0.0/8', '127.0.0.0/8'] } } })]),
    'no principal': () => ({ policyDocument: { Version: '2012-10-17', Statement: [statement('Allow', '*')] } }),
    'a null principal': () => yes({ principalId: null }),
    'an empty principal': () => yes({ principalId: '' }),
  };
  for (const [name, handler] of Object.entries(allowed)) {
    test(`C70 policy allows by ${name}: $connect is called`, async (t) => {
      const result = await attempt(t, handler, { expect: 101 });
      assert.deepEqual([result.asked, result.reached], [1, 1]);
      assert.equal(await result.client.ask({ action: 'echo' }), '{"action":"echo"}', 'later routes are not judged');
    });
  }

  test('C70 a refused connection gets no $disconnect, its id is gone', async (t) => {
    const { answer } = await attempt(t, () => verdict([statement('Deny', '*')]), { expect: 403 });
    const id = JSON.parse(answer.text).connectionId;
    const { client } = await attempt(t, () => yes(), { expect: 101 });
    await client.close();
    await fn.call('DISCONNECT');
    assert.equal(fn.count({ eventType: 'DISCONNECT', connectionId: id }), 0);
    assert.equal((await gw.post(id, 'x', { host: 'basic.test' })).status, 410);
  });

  test('C70 two Authorization headers: 400', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(upgradeRequest({ host: 'basic.test', path: '/prod?token=1', headers: [['Authorization', 'a'], ['Authorization', 'b']] }));
    const answer = await peer.response();
    assert.equal(answer.status, 400);
    assert.doesNotThrow(() => JSON.parse(answer.text));
  });

  test('C70 messages, pushes and closing are not judged again', async (t) => {
    const { client } = await attempt(t, () => yes(), { expect: 101 });
    const before = fn.count({ name: 'auth' });
    judge = () => verdict([statement('Deny', '*')]);
    await client.ask({ action: 'echo' });
    await client.close();
    assert.equal(fn.count({ name: 'auth' }), before);
  });

  test('C70 the function of an authoriser named by a stage variable', async (t) => {
    const result = await attempt(t, () => yes(), { apiId: 'uservar', expect: 101 });
    assert.equal(result.asked, 1);
  });

  describe('HTTP authoriser', () => {
    test('C70 the event is posted and the reply is judged', async (t) => {
      backend.answer(() => ({ body: JSON.stringify(yes({ context: { tenant: 'acme' } })) }));
      const result = await attempt(t, () => null, { apiId: 'http', expect: 101 });
      assert.equal(result.asked, 0);
      const seen = backend.requests.at(-1);
      assert.equal(seen.method, 'POST');
      assert.equal(seen.url, '/judge');
      const event = JSON.parse(seen.text);
      assert.equal(event.type, 'REQUEST');
      assert.equal(event.methodArn, METHOD_ARN('http'));
      const connect = await fn.event((c) => c.name === 'app' && c.event.requestContext.connectionId === event.requestContext.connectionId);
      assert.equal(connect.requestContext.authorizer.tenant, 'acme');
    });

    test('C70 deny, nonsense, failure and cut connection refuse', async (t) => {
      const cases = [
        [{ body: JSON.stringify(verdict([statement('Deny', '*')])) }, 403],
        [{ body: 'nonsense' }, 500],
        [{ status: 500, body: '{}' }, 500],
        [{ reset: true }, 500],
      ];
      for (const [answer, status] of cases) {
        backend.answer(answer);
        const result = await attempt(t, () => null, { apiId: 'http', expect: status });
        assert.equal(result.answer.status, status);
        assert.equal(result.reached, 0);
      }
    });
  });
});

describe('C71', () => {
  test('C71 context is stringified, null dropped; visible in CONNECT, MESSAGE and DISCONNECT', async (t) => {
    const context = { tenant: 'acme', level: 7, ratio: 1.5, beta: true, off: false, none: null, empty: '' };
    const { client } = await attempt(t, () => yes({ context }), { expect: 101, query: 'token=1&tag=c71' });
    const connect = (await fn.event((c) => c.name === 'app' && c.event.queryStringParameters?.tag === 'c71')).requestContext;
    const { integrationLatency, ...seen } = connect.authorizer;
    const expected = { principalId: 'user-17', tenant: 'acme', level: '7', ratio: '1.5', beta: 'true', off: 'false', empty: '' };
    assert.deepEqual(seen, expected);
    assert.equal(typeof integrationLatency, 'number');
    assert.ok(integrationLatency >= 0);
    assert.equal(Object.keys(connect).at(-1), 'authorizer');
    await client.ask({ action: 'echo' });
    await client.close();
    const message = await fn.event({ eventType: 'MESSAGE', connectionId: connect.connectionId });
    assert.deepEqual(message.requestContext.authorizer, expected);
    const end = await fn.event({ eventType: 'DISCONNECT', connectionId: connect.connectionId });
    assert.deepEqual(end.requestContext.authorizer, expected);
  });

  test('C71 a principal that is a number is stringified', async (t) => {
    await attempt(t, () => yes({ principalId: 42 }), { expect: 101, query: 'token=1&tag=c71n' });
    const connect = (await fn.event((c) => c.name === 'app' && c.event.queryStringParameters?.tag === 'c71n')).requestContext;
    assert.equal(connect.authorizer.principalId, '42');
  });
});

describe('C72', () => {
  test('C72 the same identity twice: two calls', async (t) => {
    for (let i = 0; i < 2; i++) assert.equal((await attempt(t, () => yes(), { expect: 101 })).asked, 1);
  });
});

describe('C73', () => {
  test('C73 the event: type, methodArn, Connection and Upgrade, empty maps', async (t) => {
    const { client } = await attempt(t, () => yes(), { apiId: 'always', query: '', expect: 101, headers: { 'X-Custom': 'c', 'User-Agent': 'agent/6' } });
    const call = fn.filter({ name: 'auth' }).at(-1);
    const { event } = call;
    assert.deepEqual(Object.keys(event), ['type', 'methodArn', 'headers', 'multiValueHeaders', 'queryStringParameters', 'multiValueQueryStringParameters', 'stageVariables', 'requestContext']);
    assert.equal(event.type, 'REQUEST');
    assert.equal(event.methodArn, METHOD_ARN('always'));
    assert.deepEqual([event.queryStringParameters, event.multiValueQueryStringParameters, event.stageVariables], [{}, {}, {}]);
    assert.match(event.headers.Connection, /^upgrade$/i);
    assert.match(event.headers.Upgrade, /^websocket$/i);
    assert.equal(event.headers['content-length'], '0');
    assert.equal(event.headers.Host, 'always.test');
    assert.equal(event.headers['X-Custom'], 'c');
    assert.ok(event.headers['Sec-WebSocket-Key']);
    assert.match(event.headers['X-Amzn-Trace-Id'], /^Root=1-/);
    assert.deepEqual(event.multiValueHeaders['content-length'], ['0']);
    assert.deepEqual(event.multiValueHeaders['X-Custom'], ['c']);
    assert.equal(event.requestContext.routeKey, '$connect');
    assert.equal(event.requestContext.eventType, 'CONNECT');
    assert.deepEqual(event.requestContext.identity, { userAgent: 'agent/6', sourceIp: '127.0.0.1' });
    assert.equal(event.requestContext.authorizer, undefined);
    const connect = await fn.event((c) => c.name === 'app' && c.event.requestContext.connectionId === event.requestContext.connectionId);
    assert.equal(connect.requestContext.connectedAt, event.requestContext.connectedAt);
    assert.equal(connect.headers.Connection, undefined);
    client.cut();
  });

  test('C73 query and stage variables are there when they exist', async (t) => {
    await attempt(t, () => yes(), { apiId: 'variable', query: 'a=1&a=2', expect: 101 });
    const { event } = fn.filter({ name: 'auth' }).at(-1);
    assert.deepEqual(event.queryStringParameters, { a: '2' });
    assert.deepEqual(event.multiValueQueryStringParameters, { a: ['1', '2'] });
    assert.deepEqual(event.stageVariables, { key: 'k', other: 'o' });
  });
});

describe('C74', () => {
  const rows = [
    ['an empty list always calls', { apiId: 'always', query: '' }, 101],
    ['a header', { apiId: 'header', query: '', headers: { Auth: 'x' } }, 101],
    ['a header in another case', { apiId: 'header', query: '', headers: { aUTH: 'x' } }, 101],
    ['a header that is missing', { apiId: 'header', query: '' }, 401],
    ['a header that is empty', { apiId: 'header', query: '', headers: { Auth: '' } }, 401],
    ['both of two', { apiId: 'both', query: 'token=1', headers: { Auth: 'x' } }, 101],
    ['the first of two missing', { apiId: 'both', query: 'token=1' }, 401],
    ['the second of two missing', { apiId: 'both', query: '', headers: { Auth: 'x' } }, 401],
    ['a query parameter in another case', { apiId: 'basic', query: 'Token=1' }, 401],
    ['a stage variable', { apiId: 'variable', query: '' }, 101],
    ['a stage variable that is missing', { apiId: 'novariable', query: '' }, 401],
    ['usable context values', { apiId: 'context', query: '' }, 101],
    ['context.eventType counts as missing', { apiId: 'nevereventtype', query: '' }, 401],
    ['context.messageDirection counts as missing', { apiId: 'nevermessagedirection', query: '' }, 401],
    ['context.routeKey counts as missing', { apiId: 'neverroutekey', query: '' }, 401],
  ];
  for (const [name, options, status] of rows) {
    test(`C74 ${name}: ${status}`, async (t) => {
      const result = await attempt(t, () => yes(), { ...options, expect: status });
      assert.equal(result.asked, status === 101 ? 1 : 0);
      if (status !== 101) assertBodyB(result.answer, 401, 'Unauthorized');
    });
  }
});

describe('AWS_IAM', () => {
  const HOST = 'iam.test';
  const allow = (Resource) => ({ Version: '2012-10-17', Statement: [statement('Allow', Resource)] });
  const key = (accessKeyId, more) => ({ accessKeyId, secretAccessKey: `secret of ${accessKeyId}`, ...more });
  const ANN = key('AKIDANN', { userArn: 'arn:aws:iam::210987654321:user/team/ann', policy: allow(METHOD_ARN('iam')) });
  const keys = {
    ann: ANN,
    plain: key('AKIDPLAIN', { policy: allow('*') }),
    temporary: key('ASIATEMP', { sessionToken: 'token/of+session==', policy: allow('*') }),
    nobody: key('AKIDNOBODY'),
    manager: key('AKIDMANAGER', { policy: { Version: '2012-10-17', Statement: [{ ...statement('Allow', '*'), Action: 'execute-api:ManageConnections' }] } }),
    elsewhere: key('AKIDELSEWHERE', { policy: allow(METHOD_ARN('iam').replace('$connect', 'echo')) }),
    denied: key('AKIDDENIED', { policy: { Version: '2012-10-17', Statement: [statement('Allow', '*'), statement('Deny', METHOD_ARN('iam'))] } }),
  };
  const annIdentity = { accountId: '210987654321', caller: 'ann', user: 'ann', userArn: ANN.userArn, accessKey: 'AKIDANN' };
  const MISMATCH = /^The request signature we calculated does not match the signature you provided\./;

  let iam;
  let rows;

  before(async () => {
    const log = path.join(tempDir(file), 'access.log');
    rows = () => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => line.split(' '));
    const names = ['accountId', 'caller', 'user', 'userArn', 'accessKey'];
    const mapped = Object.fromEntries(names.map((name) => [`integration.request.header.X-Iam-${name}`, `context.identity.${name}`]));
    const api = (apiId, rest) => appApi({ apiId, routes: [route('$connect', 'app', { authorizationType: 'AWS_IAM' }), route('note', 'be')], integrations: [httpProxy('be', `${backend.url}/note`, { requestParameters: mapped })], ...rest });
    iam = await startGateway(file, {
      functions: fn.table('app'),
      log: { level: 'debug', format: 'json' },
      credentials: [{ ...ADMIN_KEY, policy: ALLOW_ALL }, ...Object.values(keys)],
      apis: [
        api('iam', { stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: `file:${log}`, format: '$context.requestId $context.eventType $context.status $context.identity.accountId $context.identity.user $context.identity.userArn' } }] }),
        api('other'),
      ],
    });
    backend.answer({ body: '' });
  });

  const url = (query) => `ws://${iam.host}/prod${query ? `?${query}` : ''}`;

  // What a client that signs in its headers sends.
  const byHeader = (credentials, { query = '', host = HOST, ...more } = {}) => [url(query), { headers: { 'User-Agent': 'agent/7', ...sign({ method: 'GET', path: '/prod', host, credentials, query, ...more }) } }];
  // What a browser can do: everything is in the URL.
  const byQuery = (credentials, { host = HOST, ...more } = {}) => [url(presign({ method: 'GET', path: '/prod', host, credentials, ...more })), { headers: { Host: host } }];

  const connectOf = (tag) => fn.event((c) => c.event?.queryStringParameters?.tag === tag);

  test('AWS_IAM signed headers: who signed is in CONNECT, MESSAGE and DISCONNECT', async (t) => {
    const client = await dial(t, ...byHeader(ANN, { query: 'tag=header' }));
    const connect = (await connectOf('header')).requestContext;
    const expected = { userAgent: 'agent/7', sourceIp: '127.0.0.1', ...annIdentity };
    assert.deepEqual(connect.identity, expected);
    assert.equal(connect.authorizer, undefined);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    await client.close();
    for (const eventType of ['MESSAGE', 'DISCONNECT']) {
      const event = await fn.event({ eventType, connectionId: connect.connectionId });
      assert.deepEqual(event.requestContext.identity, expected, eventType);
    }
  });

  test('AWS_IAM presigned query, as browsers do it', async (t) => {
    const client = await dial(t, ...byQuery(ANN, { query: { tag: 'query', room: 'a b/ü' } }));
    const event = await connectOf('query');
    assert.equal(event.queryStringParameters.room, 'a b/ü');
    assert.deepEqual(event.requestContext.identity, { sourceIp: '127.0.0.1', ...annIdentity });
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });

  test('AWS_IAM a key without userArn, and one with a session token', async (t) => {
    await dial(t, ...byHeader(keys.plain, { query: 'tag=plain' }));
    const plain = (await connectOf('plain')).requestContext.identity;
    assert.equal(plain.accountId, ACCOUNT);
    assert.equal(plain.userArn, `arn:aws:iam::${ACCOUNT}:user/AKIDPLAIN`);
    assert.equal(plain.user, 'AKIDPLAIN');
    await dial(t, ...byHeader(keys.temporary, { query: 'tag=temporary' }));
    assert.equal((await connectOf('temporary')).requestContext.identity.accessKey, 'ASIATEMP');
    assert.equal((await refused(t, ...byHeader({ ...keys.temporary, sessionToken: undefined }))).status, 403);
    await dial(t, ...byQuery(keys.temporary, { query: { tag: 'presigned', 'X-Amz-Security-Token': keys.temporary.sessionToken } }));
    assert.equal((await connectOf('presigned')).requestContext.identity.accessKey, 'ASIATEMP');
  });

  test('AWS_IAM in parameter mapping and in access logs', async (t) => {
    const client = await dial(t, ...byHeader(ANN, { query: 'tag=mapping' }));
    const id = (await connectOf('mapping')).requestContext.connectionId;
    client.send({ action: 'note', id });
    const { headers } = await backend.request((r) => r.url === '/note' && r.text.includes(id));
    assert.deepEqual(Object.fromEntries(Object.keys(annIdentity).map((name) => [name, headers[`x-iam-${name.toLowerCase()}`]])), annIdentity);
    const answer = await refused(t, ...byHeader(keys.denied));
    const row = (requestId) => waitFor(() => rows().find((r) => r[0] === requestId), { what: 'a row of the access log' });
    assert.deepEqual((await row(answer.json().requestId)).slice(1), ['CONNECT', '403', ACCOUNT, 'AKIDDENIED', `arn:aws:iam::${ACCOUNT}:user/AKIDDENIED`]);
    await waitFor(() => rows().some((r) => r[1] === 'MESSAGE' && r[2] === '200' && r[3] === annIdentity.accountId && r[5] === ANN.userArn));
    const unsigned = await refused(t, url(), { headers: { Host: HOST } });
    assert.deepEqual((await row(unsigned.json().requestId)).slice(1), ['CONNECT', '403', '-', '-', '-']);
  });

  const wrong = { ...ANN, secretAccessKey: 'wrong' };
  const unknown = key('AKIDUNKNOWN');
  const hourAgo = new Date(Date.now() - 3600000);
  const refusals = {
    'no signature': [() => [url(), { headers: { Host: HOST } }], 'Missing Authentication Token'],
    'a wrong signature in the headers': [() => byHeader(wrong), MISMATCH],
    'a wrong signature in the query': [() => byQuery(wrong), MISMATCH],
    'a signature of another path': [() => [url(), { headers: sign({ method: 'GET', path: '/dev', host: HOST, credentials: ANN }) }], MISMATCH],
    'a signature of another query': [() => [url('room=b'), byHeader(ANN, { query: 'room=a' })[1]], MISMATCH],
    'a presigned query with something added': [() => [`${byQuery(ANN)[0]}&room=b`, { headers: { Host: HOST } }], MISMATCH],
    'a signature of another host': [() => [url(), { headers: { ...byHeader(ANN, { host: 'other.test' })[1].headers, host: HOST } }], MISMATCH],
    'an unknown key in the headers': [() => byHeader(unknown), 'Forbidden'],
    'an unknown key in the query': [() => byQuery(unknown), 'Forbidden'],
    'an old signature': [() => byHeader(ANN, { when: hourAgo }), 'Forbidden'],
    'an expired query': [() => byQuery(ANN, { when: hourAgo, expires: 60 }), 'Forbidden'],
    'another region': [() => byHeader(ANN, { region: 'eu-west-1' }), 'Forbidden'],
    'another service': [() => byHeader(ANN, { service: 'lambda' }), 'Forbidden'],
    'a key without policy': [() => byHeader(keys.nobody), 'Forbidden'],
    'a policy with another action': [() => byHeader(keys.manager), 'Forbidden'],
    'a policy of another route': [() => byQuery(keys.elsewhere), 'Forbidden'],
    'a policy of another API': [() => byHeader(ANN, { host: 'other.test' }), 'Forbidden'],
    'a policy that denies': [() => byHeader(keys.denied), 'Forbidden'],
  };
  for (const [name, [make, message]] of Object.entries(refusals)) {
    test(`AWS_IAM refused: ${name}`, async (t) => {
      const connects = { eventType: 'CONNECT' };
      const before = fn.count(connects);
      assertBodyB(await refused(t, ...make()), 403, message);
      assert.equal(fn.count(connects), before);
    });
  }

  test('AWS_IAM signatures, secrets and queries are not in the logs', async (t) => {
    const urls = [byQuery(ANN, { query: { tag: 'logged', private: 'of-the-query' } }), byQuery(wrong), byQuery(unknown), byQuery(keys.denied), byQuery(ANN, { when: hourAgo })];
    await dial(t, ...urls[0]);
    for (const refusal of urls.slice(1)) await refused(t, ...refusal);
    const header = byHeader(wrong);
    await refused(t, ...header);
    assert.match(iam.log(), /"level":"?(info|debug|warn)/i);
    const secrets = [...urls.map(([where]) => new URL(where).searchParams.get('X-Amz-Signature')), /Signature=(\w+)/.exec(header[1].headers.authorization)[1], 'of-the-query', 'X-Amz-', ...Object.values(keys).map((k) => k.secretAccessKey), keys.temporary.sessionToken];
    for (const secret of secrets) {
      assert.ok(secret.length > 5);
      assert.ok(!iam.log().includes(secret), secret);
      assert.ok(!rows().flat().join(' ').includes(secret), secret);
    }
  });
});
