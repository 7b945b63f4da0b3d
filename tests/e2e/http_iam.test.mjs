// AWS_IAM on routes of HTTP APIs: signatures over bodies and queries, policies, what back ends see. http-api.md 1.6.1, 1.9, 3.1.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { ADMIN_KEY, forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { presign, sign } from './lib/sigv4.mjs';

const file = fileScope();
let gw;
let backend;
let fn;

const READER = { accessKeyId: 'AKIDREADER', secretAccessKey: 'reader-secret' };
const NOBODY = { accessKeyId: 'AKIDNOTHING', secretAccessKey: 'nothing-secret' };
const SESSION = { accessKeyId: 'ASIASESSION', secretAccessKey: 'session-secret', sessionToken: 'the-token' };
const policy = (...Statement) => ({ Version: '2012-10-17', Statement });
const allow = (Resource) => ({ Effect: 'Allow', Action: 'execute-api:Invoke', Resource });

const HOST = 'web.test';

function ask(method, target, { credentials = ADMIN_KEY, body = '', headers, extra, query = '', wire = query } = {}) {
  const signed = headers ?? sign({ method, path: target, query, host: HOST, body, credentials, extra });
  const length = body.length ? { 'content-length': Buffer.byteLength(body) } : {};
  return gw.get(target + (wire ? `?${wire}` : ''), { method, headers: { ...signed, ...length }, body: body.length ? body : undefined });
}

before(async () => {
  backend = await startBackend(file, (r) => ({ body: `${r.method} ${r.body.length}` }));
  fn = await startLambda(file, { fn: () => ({ statusCode: 200, body: 'ok' }) });
  const iam = { authorizationType: 'AWS_IAM' };
  gw = await startGateway(file, {
    functions: fn.table('fn'),
    credentials: [
      { ...ADMIN_KEY, policy: policy(allow('*')) },
      {
        ...READER,
        userArn: 'arn:aws:iam::111122223333:user/team/reader',
        policy: policy(allow('arn:aws:execute-api:us-east-1:000000000000:web/$default/GET/items/*'), allow('arn:aws:execute-api:*:*:web/prod/*/items'), { Effect: 'Deny', Action: '*', Resource: '*/items/secret' }),
      },
      NOBODY,
      { ...SESSION, policy: policy(allow('*')) },
    ],
    apis: [
      httpApi({
        hosts: [HOST],
        integrations: [forward('back', `${backend.url}/{proxy}`), forward('items', `${backend.url}/items`), lambda('fn', { payloadFormatVersion: '2.0' }), mock('open')],
        routes: [route('ANY /items/{proxy+}', 'back', iam), route('ANY /items', 'items', iam), route('ANY /fn', 'fn', iam), route('$default', 'open'), route('ANY /free/{proxy+}', 'back')],
        stages: [{ stageName: '$default' }, { stageName: 'prod' }],
      }),
    ],
  });
});

describe('3.1 signatures', () => {
  test('3.1 a signed GET, and one with a query', async () => {
    assert.equal((await ask('GET', '/items/1')).text, 'GET 0');
    assert.equal((await ask('GET', '/items/1', { query: 'a=1&b=%20x' })).text, 'GET 0');
    assert.equal((await ask('GET', '/items/1', { query: 'a=1&b=2', wire: 'b=2&a=1' })).status, 200);
    assert.equal((await ask('GET', '/items/1', { query: 'a=1', wire: 'a=2' })).status, 403);
  });
  test('3.1 bodies are part of the signature', async () => {
    for (const size of [1, 1000, 300000]) {
      const body = 'x'.repeat(size);
      assert.equal((await ask('POST', '/items/1', { body })).text, `POST ${size}`);
      const headers = sign({ method: 'PUT', path: '/items/1', host: HOST, body, credentials: ADMIN_KEY });
      const before = backend.requests.length;
      assert.equal((await ask('PUT', '/items/1', { headers, body: `${body.slice(1)}y` })).status, 403);
      assert.equal(backend.requests.length, before);
    }
  });
  test('3.1 UNSIGNED-PAYLOAD is not permitted', async () => {
    const headers = sign({ method: 'POST', path: '/items/1', host: HOST, payloadHash: 'UNSIGNED-PAYLOAD', credentials: ADMIN_KEY, extra: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } });
    const answer = await ask('POST', '/items/1', { headers, body: 'whatever' });
    assert.equal(answer.status, 403);
  });
  test('3.1 a path with escapes is signed as it is on the wire', async () => {
    assert.equal((await ask('GET', '/items/a%20b%2Fc')).status, 200);
    assert.equal((await ask('GET', '/prod/items/x')).status, 200);
  });
  test('3.1 a presigned query', async () => {
    const query = presign({ method: 'GET', path: '/items/1', host: HOST, credentials: ADMIN_KEY });
    assert.equal((await gw.get(`/items/1?${query}`, { headers: { host: HOST } })).status, 200);
    assert.equal((await gw.get(`/items/2?${query}`, { headers: { host: HOST } })).status, 403);
  });
  test('3.1 a session token must be the one of the key', async () => {
    assert.equal((await ask('GET', '/items/1', { credentials: SESSION })).status, 200);
    assert.equal((await ask('GET', '/items/1', { credentials: { ...SESSION, sessionToken: 'another' } })).status, 403);
    assert.equal((await ask('GET', '/items/1', { credentials: { ...SESSION, sessionToken: undefined } })).status, 403);
  });
  test('3.1 open routes take no notice of signatures', async () => {
    assert.equal((await ask('GET', '/else', { headers: { host: HOST, authorization: 'AWS4-HMAC-SHA256 nonsense' } })).status, 200);
  });
});

describe('3.1 policies', () => {
  const ROWS = [
    ['GET', '/items/1', 200],
    ['GET', '/items/a/b', 200],
    ['POST', '/items/1', 403],
    ['GET', '/items/secret', 403],
    ['GET', '/items/secret/', 403],
    ['GET', '/items/%73ecret', 403],
    ['GET', '/items/secret%2F', 200],
    ['GET', '/items/se%63re%74', 403],
    ['GET', '/items/100%', 200],
    ['GET', '/items/%', 200],
    ['GET', '/items/%2%2F', 200],
    ['GET', '/items/x%%73ecret', 200],
    ['GET', '/items', 403],
    ['GET', '/prod/items', 200],
    ['DELETE', '/prod/items', 200],
    ['GET', '/prod/items/1', 403],
  ];
  for (const [method, target, status] of ROWS) {
    test(`3.1 a key with a policy: ${method} ${target} -> ${status}`, async () => assert.equal((await ask(method, target, { credentials: READER })).status, status));
  }
  test('3.1 a key without a policy may do nothing', async () => assert.equal((await ask('GET', '/items/1', { credentials: NOBODY })).status, 403));
});

describe('what is told of the caller', () => {
  test('1.6.1 authorizer.iam of the event', async () => {
    fn.reset();
    assert.equal((await ask('POST', '/fn', { body: '{"a":1}' })).text, 'ok');
    const { event } = fn.calls[0];
    const { iam } = event.requestContext.authorizer;
    assert.deepEqual(Object.keys(iam).sort(), ['accessKey', 'accountId', 'callerId', 'cognitoIdentity', 'principalOrgId', 'userArn', 'userId']);
    assert.equal(iam.accessKey, ADMIN_KEY.accessKeyId);
    assert.equal(iam.accountId, '000000000000');
    assert.equal(iam.userArn, `arn:aws:iam::000000000000:user/${ADMIN_KEY.accessKeyId}`);
    assert.equal(iam.cognitoIdentity, null);
  });
  test('1.9 Authorization goes to no back end on AWS_IAM routes, nor a signature on others; other kinds pass', async () => {
    await ask('GET', '/items/1');
    assert.equal(backend.requests.at(-1).headers.authorization, undefined);
    await ask('GET', '/free/1');
    assert.equal(backend.requests.at(-1).headers.authorization, undefined);
    await ask('GET', '/free/1', { headers: { host: HOST, authorization: 'Bearer abc' } });
    assert.equal(backend.requests.at(-1).headers.authorization, 'Bearer abc');
  });
});
