// What functions of HTTP APIs are called with (http-api.md 1.3, 1.6, 1.7), seen by handlers behind serverless-offline.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ACCOUNT, ADMIN_KEY, httpApi, lambda, lambdaUri, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { startOffline } from './lib/offline.mjs';
import { fileScope } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';

const file = fileScope();
const KEYS_2 = ['version', 'routeKey', 'rawPath', 'rawQueryString', 'cookies', 'headers', 'queryStringParameters', 'pathParameters', 'stageVariables', 'requestContext', 'body', 'isBase64Encoded'];
const KEYS_1 = ['version', 'resource', 'path', 'httpMethod', 'headers', 'multiValueHeaders', 'queryStringParameters', 'multiValueQueryStringParameters', 'pathParameters', 'stageVariables', 'requestContext', 'body', 'isBase64Encoded'];
const ID = /^[A-Za-z0-9_-]{15}=$/;
const TRACE = /^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$/;

let gw;

// An API whose function returns the event, under several routes and stages.
function api(apiId, payloadFormatVersion, settings = {}) {
  return httpApi({
    apiId,
    integrations: [lambda('event', { payloadFormatVersion }), { ...lambda('blue'), integrationId: 'staged', integrationUri: lambdaUri('event-${stageVariables.colour}') }],
    routes: [
      route('POST /users/{userId}/orders', 'event'),
      route('GET /p/{id}', 'event'),
      route('GET /all/{proxy+}', 'event'),
      route('GET /signed', 'event', { authorizationType: 'AWS_IAM' }),
      route('POST /signed', 'event', { authorizationType: 'AWS_IAM' }),
      route('GET /staged', 'staged'),
      route('$default', 'event'),
    ],
    stages: [{ stageName: '$default', stageVariables: { k: 'v' } }, { stageName: 'prod' }, { stageName: 'blue', stageVariables: { colour: 'blue' } }],
    ...settings,
  });
}

before(async () => {
  const runtime = await startOffline(file);
  gw = await startGateway(file, {
    functions: Object.fromEntries(['event', 'event-blue'].map((name) => [name, { endpoint: runtime.endpoint }])),
    apis: [
      api('two', '2.0'),
      api('one', '1.0'),
      api('kept', '2.0', { settings: { pathDecoding: 'preserve' } }),
      api('keptone', '1.0', { settings: { pathDecoding: 'preserve' } }),
      api('types', '2.0', { settings: { textTypes: ['application/x-www-form-urlencoded', 'application/vnd.api+json', 'font/*'] } }),
    ],
    domainNames: [{ domainName: 'shop.test', apiMappings: [{ apiId: 'two', stage: 'prod', apiMappingKey: 'v2/deep' }, { apiId: 'one', stage: 'prod', apiMappingKey: 'v1' }] }],
  });
});

// The event that the function behind `host` got for a request, and the answer that it came in.
async function ask(host, path, { method = 'GET', headers = {}, body } = {}) {
  const name = host.includes('.') ? host : `${host}.execute-api.us-east-1.amazonaws.com`;
  const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const answer = await gw.get(path, { method, headers: { Host: name, ...length, ...headers }, body });
  assert.equal(answer.status, 200, answer.text);
  return { event: JSON.parse(answer.text), answer };
}

const two = async (path, options) => (await ask('two', path, options)).event;
const one = async (path, options) => (await ask('one', path, options)).event;

describe('payload format 2.0', () => {
  test('1.6 the whole event of a POST, in the order of the reference', async () => {
    const before_ = Date.now();
    const { event, answer } = await ask('two', '/users/123/orders?status=pending&tag=a&tag=b', {
      method: 'POST',
      headers: { Accept: '*/*', 'User-Agent': 'TestAgent', Cookie: 'session=abc123; theme=dark', 'Content-Type': 'application/json', 'X-Multi': ['1', '2'] },
      body: '{"item":"book","count":"1"}',
    });
    assert.deepEqual(Object.keys(event), KEYS_2);
    const { headers, requestContext, ...rest } = event;
    assert.deepEqual(rest, {
      version: '2.0',
      routeKey: 'POST /users/{userId}/orders',
      rawPath: '/users/123/orders',
      rawQueryString: 'status=pending&tag=a&tag=b',
      cookies: ['session=abc123', 'theme=dark'],
      queryStringParameters: { status: 'pending', tag: 'a,b' },
      pathParameters: { userId: '123' },
      stageVariables: { k: 'v' },
      body: '{"item":"book","count":"1"}',
      isBase64Encoded: false,
    });
    const { 'x-amzn-trace-id': trace, ...others } = headers;
    assert.match(trace, TRACE);
    assert.deepEqual(others, {
      accept: '*/*',
      'content-length': '27',
      'content-type': 'application/json',
      host: 'two.execute-api.us-east-1.amazonaws.com',
      'user-agent': 'TestAgent',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-port': String(gw.port),
      'x-forwarded-proto': 'http',
      'x-multi': '1,2',
    });
    const { time, timeEpoch, requestId, ...context } = requestContext;
    assert.deepEqual(context, {
      accountId: ACCOUNT,
      apiId: 'two',
      domainName: 'two.execute-api.us-east-1.amazonaws.com',
      domainPrefix: 'two',
      http: { method: 'POST', path: '/users/123/orders', protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'TestAgent' },
      routeKey: 'POST /users/{userId}/orders',
      stage: '$default',
    });
    assert.match(time, /^\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000$/);
    assert.ok(timeEpoch >= before_ - 1000 && timeEpoch <= Date.now() + 1000, `timeEpoch ${timeEpoch}`);
    assert.match(requestId, ID);
    assert.equal(requestId, answer.headers['apigw-requestid']);
  });

  test('vector 49: a GET without query and body', async () => {
    const { event } = await ask('two', '/nothing', {});
    assert.deepEqual(Object.keys(event), KEYS_2.filter((key) => !['cookies', 'queryStringParameters', 'pathParameters', 'body'].includes(key)));
    assert.equal(event.routeKey, '$default');
    assert.equal(event.rawQueryString, '');
    assert.equal(event.headers['content-length'], '0');
    assert.equal(event.isBase64Encoded, false);
    assert.equal(event.requestContext.http.userAgent, '');
    assert.ok(!('user-agent' in event.headers));
    assert.ok(!('authorizer' in event.requestContext));
    assert.ok(!('authentication' in event.requestContext));
    assert.ok(!('stageVariables' in (await two('/prod/nothing'))));
  });

  test('vector 9: repeated query parameters are joined', async () => {
    assert.deepEqual((await two('/q?tag=a&tag=b&x=%2C+%20y&flag&empty=')).queryStringParameters, { tag: 'a,b', x: ',  y', flag: '', empty: '' });
  });

  test('vector 8: the path and its parameters are decoded', async () => {
    const event = await two('/p/test%2Balias@x');
    assert.deepEqual(event.pathParameters, { id: 'test+alias@x' });
    assert.equal(event.rawPath, '/p/test+alias@x');
    assert.equal(event.requestContext.http.path, '/p/test+alias@x');
  });

  test('1.3 rawPath is decoded UTF-8, rawQueryString the received bytes', async () => {
    const event = await two('/p/J%20D%E2%98%95?q=%E2%98%95&r=a+b');
    assert.equal(event.rawPath, '/p/J D☕');
    assert.deepEqual(event.pathParameters, { id: 'J D☕' });
    assert.equal(event.rawQueryString, 'q=%E2%98%95&r=a+b');
    assert.deepEqual(event.queryStringParameters, { q: '☕', r: 'a b' });
  });

  test('1.3 %2F, %23, %25 and %3F are decoded, and do not change the route', async () => {
    const event = await two('/p/a%2Fb%23c%25d%3Fe');
    assert.equal(event.routeKey, 'GET /p/{id}');
    assert.equal(event.rawPath, '/p/a/b#c%d?e');
    assert.deepEqual(event.pathParameters, { id: 'a/b#c%d?e' });
  });

  test('1.3 pathDecoding preserve: rawPath as received, parameters decoded', async () => {
    const { event } = await ask('kept', '/p/a%2Fb%20c');
    assert.equal(event.rawPath, '/p/a%2Fb%20c');
    assert.equal(event.requestContext.http.path, '/p/a%2Fb%20c');
    assert.deepEqual(event.pathParameters, { id: 'a/b c' });
  });

  test('1.3 a greedy parameter, a trailing slash and double slashes stay', async () => {
    const event = await two('/all/a//b/');
    assert.deepEqual(event.pathParameters, { proxy: 'a//b/' });
    assert.equal(event.rawPath, '/all/a//b/');
  });

  test('1.3 the stage is in the path on the default host', async () => {
    const event = await two('/prod/p/1');
    assert.equal(event.rawPath, '/prod/p/1');
    assert.equal(event.requestContext.http.path, '/prod/p/1');
    assert.equal(event.requestContext.stage, 'prod');
    assert.deepEqual(event.pathParameters, { id: '1' });
  });

  test('1.3 rawPath omits the key of an API mapping', async () => {
    const { event } = await ask('shop.test', '/v2/deep/p/1');
    assert.equal(event.rawPath, '/p/1');
    assert.equal(event.requestContext.domainName, 'shop.test');
    assert.equal(event.requestContext.domainPrefix, 'shop');
    assert.equal(event.requestContext.stage, 'prod');
  });

  test('cookies: several fields, blanks, none of them among the headers', async () => {
    const event = await two('/', { headers: { Cookie: ['a=1; b="2;"', 'c=3 ;; d'] } });
    assert.deepEqual(event.cookies, ['a=1', 'b="2', '"', 'c=3', 'd']);
    assert.ok(!('cookie' in event.headers));
  });

  test('vector 47: the root of a trace goes on, and is not in the answer', async () => {
    const root = 'Root=1-5759e988-bd862e3fe1be46a994272793';
    const { event, answer } = await ask('two', '/', { headers: { 'X-Amzn-Trace-Id': `${root};Parent=53995c3f42cd8ad8;Sampled=1` } });
    assert.match(event.headers['x-amzn-trace-id'], new RegExp(`^${root}`));
    assert.ok(!('x-amzn-trace-id' in answer.headers));
  });

  test('X-Forwarded-For of the client is extended, Proto and Port are ours; hop-by-hop fields are not there', async () => {
    const event = await two('/', {
      headers: { 'X-Forwarded-For': '203.0.113.7', 'X-Forwarded-Proto': 'gopher', 'X-Forwarded-Port': '1', Connection: 'close, X-Private', 'X-Private': 'x', TE: 'trailers' },
    });
    assert.equal(event.headers['x-forwarded-for'], '203.0.113.7, 127.0.0.1');
    assert.equal(event.headers['x-forwarded-proto'], 'http');
    assert.equal(event.headers['x-forwarded-port'], String(gw.port));
    for (const name of ['connection', 'te']) assert.ok(!(name in event.headers), name);
  });

  test('a function by the name of a stage variable', async () => {
    const host = 'two.execute-api.us-east-1.amazonaws.com';
    const blue = await gw.get('/blue/staged', { headers: { Host: host } });
    assert.equal(blue.text, 'blue');
    const none = await gw.get('/prod/staged', { headers: { Host: host } });
    assert.equal(none.status, 500);
    assert.equal(none.text, '{"message":"Internal Server Error"}');
  });
});

describe('text or base64', () => {
  const TEXT = 'grüße=1&b=☕';
  const rows = [
    ['text/plain', true],
    ['text/html', true],
    ['text/csv', true],
    ['text/xml', true],
    ['TEXT/Plain', true],
    ['application/json', true],
    ['application/xml', true],
    ['application/javascript', true],
    ['application/graphql', true],
    ['text/plain; charset=utf-8', true],
    ['text/html; charset=UTF-8', true],
    ['application/json; charset="utf-8"', true],
    ['text/plain; charset=iso-8859-1', false],
    ['application/json; charset=utf-16', false],
    [undefined, false],
    ['application/x-www-form-urlencoded', false],
    ['multipart/form-data; boundary=x', false],
    ['application/octet-stream', false],
    ['application/x-protobuf', false],
    ['application/zip', false],
    ['application/pdf', false],
    ['image/png', false],
    ['audio/mpeg', false],
    ['video/mp4', false],
    ['application/vnd.api+json', false],
    ['application/atom+xml', false],
    ['no/type/at all', false],
  ];
  const show = (event) => (event.isBase64Encoded ? Buffer.from(event.body, 'base64').toString() : event.body);

  for (const [type, isText] of rows) {
    test(`1.6.2 ${type ?? 'no Content-Type'}: ${isText ? 'text' : 'base64'}`, async () => {
      for (const host of ['two', 'one']) {
        const { event } = await ask(host, '/', { method: 'POST', headers: type ? { 'Content-Type': type } : {}, body: TEXT });
        assert.equal(event.isBase64Encoded, !isText, host);
        assert.equal(event.body, isText ? TEXT : Buffer.from(TEXT).toString('base64'), host);
      }
    });
  }

  test('vector 17: a form comes as base64', async () => {
    const event = await two('/', { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: 'a=1&b=2' });
    assert.equal(event.isBase64Encoded, true);
    assert.equal(event.body, Buffer.from('a=1&b=2').toString('base64'));
  });

  test('vector 18: JSON with a charset comes as text', async () => {
    const event = await two('/', { method: 'POST', headers: { 'Content-Type': 'application/json; charset=UTF-8' }, body: '{}' });
    assert.deepEqual([event.isBase64Encoded, event.body], [false, '{}']);
  });

  test('1.6.2 an empty body of any type: none, false; null in format 1.0', async () => {
    const request = { method: 'POST', headers: { 'Content-Type': 'image/png' }, body: '' };
    const event = await two('/', request);
    assert.ok(!('body' in event));
    assert.equal(event.isBase64Encoded, false);
    const old = await one('/', request);
    assert.deepEqual([old.body, old.isBase64Encoded], [null, false]);
  });

  test('1.6.2 bytes that are not UTF-8 in a text type come as base64', async () => {
    const bytes = Buffer.from([0x61, 0xff, 0x00, 0x62]);
    const event = await two('/', { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: bytes });
    assert.equal(event.isBase64Encoded, true);
    assert.deepEqual(Buffer.from(event.body, 'base64'), bytes);
  });

  test('settings.textTypes adds to the list', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'application/vnd.api+json; charset=utf-8', 'font/woff2']) {
      const { event } = await ask('types', '/', { method: 'POST', headers: { 'Content-Type': type }, body: TEXT });
      assert.equal(event.body, TEXT, type);
    }
    const { event } = await ask('types', '/', { method: 'POST', headers: { 'Content-Type': 'image/png' }, body: TEXT });
    assert.equal(show(event), TEXT);
    assert.equal(event.isBase64Encoded, true);
  });
});

describe('payload format 1.0', () => {
  test('1.7 the whole event of a POST', async () => {
    const { event, answer } = await ask('one', '/users/123/orders?status=pending&tag=a&tag=b', {
      method: 'POST',
      headers: { accept: '*/*', 'user-agent': 'TestAgent', Cookie: 'a=1; b=2', 'content-type': 'application/json', 'x-multi': ['1', '2'] },
      body: '{}',
    });
    assert.deepEqual(Object.keys(event), KEYS_1);
    const { headers, multiValueHeaders, requestContext, ...rest } = event;
    assert.deepEqual(rest, {
      version: '1.0',
      resource: '/users/{userId}/orders',
      path: '/users/123/orders',
      httpMethod: 'POST',
      queryStringParameters: { status: 'pending', tag: 'b' },
      multiValueQueryStringParameters: { status: ['pending'], tag: ['a', 'b'] },
      pathParameters: { userId: '123' },
      stageVariables: { k: 'v' },
      body: '{}',
      isBase64Encoded: false,
    });
    const { 'X-Amzn-Trace-Id': trace, ...others } = headers;
    assert.match(trace, TRACE);
    assert.deepEqual(others, {
      accept: '*/*',
      'Content-Length': '2',
      'Content-Type': 'application/json',
      Cookie: 'a=1; b=2',
      Host: 'one.execute-api.us-east-1.amazonaws.com',
      'User-Agent': 'TestAgent',
      'X-Forwarded-For': '127.0.0.1',
      'X-Forwarded-Port': String(gw.port),
      'X-Forwarded-Proto': 'http',
      'x-multi': '2',
    });
    assert.deepEqual(multiValueHeaders['x-multi'], ['1', '2']);
    assert.deepEqual(multiValueHeaders.Host, ['one.execute-api.us-east-1.amazonaws.com']);
    assert.deepEqual(Object.keys(multiValueHeaders), Object.keys(headers));
    const { requestTime, requestTimeEpoch, requestId, extendedRequestId, identity, ...context } = requestContext;
    assert.deepEqual(context, {
      resourceId: 'POST /users/{userId}/orders',
      resourcePath: '/users/{userId}/orders',
      httpMethod: 'POST',
      path: '/users/123/orders',
      accountId: ACCOUNT,
      protocol: 'HTTP/1.1',
      stage: '$default',
      domainPrefix: 'one',
      domainName: 'one.execute-api.us-east-1.amazonaws.com',
      apiId: 'one',
    });
    assert.equal(requestId, answer.headers['apigw-requestid']);
    assert.equal(extendedRequestId, requestId);
    assert.match(requestId, ID);
    assert.equal(typeof requestTimeEpoch, 'number');
    assert.match(requestTime, /^\d{2}\/[A-Z][a-z]{2}\/\d{4}:/);
    assert.deepEqual(identity, {
      cognitoIdentityPoolId: null,
      accountId: null,
      cognitoIdentityId: null,
      caller: null,
      sourceIp: '127.0.0.1',
      principalOrgId: null,
      accessKey: null,
      cognitoAuthenticationType: null,
      cognitoAuthenticationProvider: null,
      userArn: null,
      userAgent: 'TestAgent',
      user: null,
    });
  });

  test('vector 49 in format 1.0: what is not there is null', async () => {
    const event = await one('/prod/nothing');
    assert.deepEqual(Object.keys(event), KEYS_1);
    for (const key of ['queryStringParameters', 'multiValueQueryStringParameters', 'pathParameters', 'stageVariables', 'body']) assert.equal(event[key], null, key);
    assert.equal(event.headers['Content-Length'], '0');
    assert.equal(event.requestContext.identity.userAgent, '');
    assert.equal(event.requestContext.resourceId, '$default');
  });

  test('vector 9 in format 1.0: the last value, and every value', async () => {
    const event = await one('/q?tag=a&tag=b');
    assert.deepEqual(event.queryStringParameters, { tag: 'b' });
    assert.deepEqual(event.multiValueQueryStringParameters, { tag: ['a', 'b'] });
  });

  test('1.3 path is encoded as received, requestContext.path and parameters are decoded', async () => {
    const event = await one('/p/test%2Balias@x%20%E2%98%95');
    assert.equal(event.path, '/p/test%2Balias@x%20%E2%98%95');
    assert.equal(event.requestContext.path, '/p/test+alias@x ☕');
    assert.deepEqual(event.pathParameters, { id: 'test+alias@x ☕' });
    const { event: kept } = await ask('keptone', '/p/a%2Fb');
    assert.deepEqual([kept.path, kept.requestContext.path, kept.pathParameters.id], ['/p/a%2Fb', '/p/a%2Fb', 'a/b']);
  });

  test('1.3 path has the stage, and the key of an API mapping', async () => {
    const staged = await one('/prod/p/1');
    assert.equal(staged.path, '/prod/p/1');
    assert.equal(staged.requestContext.path, '/prod/p/1');
    const { event } = await ask('shop.test', '/v1/p/1');
    assert.equal(event.path, '/v1/p/1');
    assert.deepEqual(event.pathParameters, { id: '1' });
  });
});

describe('AWS_IAM', () => {
  async function signed(apiId, { method = 'GET', body = '' } = {}) {
    const host = `${apiId}.execute-api.us-east-1.amazonaws.com`;
    const { host: name, ...headers } = sign({ method, path: '/signed', host, body, credentials: ADMIN_KEY });
    return (await ask(name, '/signed', { method, headers, body: body || undefined })).event;
  }
  const arn = `arn:aws:iam::${ACCOUNT}:user/${ADMIN_KEY.accessKeyId}`;

  test('1.6.1 who signed is in authorizer.iam', async () => {
    const { iam, ...more } = (await signed('two')).requestContext.authorizer;
    assert.deepEqual(more, {});
    const { userId, callerId, ...rest } = iam;
    assert.deepEqual(rest, { accessKey: ADMIN_KEY.accessKeyId, accountId: ACCOUNT, cognitoIdentity: null, principalOrgId: null, userArn: arn });
    assert.ok(userId && callerId, 'userId and callerId');
  });

  test('2.12 who signed is in identity of format 1.0', async () => {
    const { requestContext } = await signed('one');
    assert.ok(!('authorizer' in requestContext));
    assert.equal(requestContext.identity.userArn, arn);
    assert.equal(requestContext.identity.accessKey, ADMIN_KEY.accessKeyId);
    assert.equal(requestContext.identity.accountId, ACCOUNT);
    assert.ok(requestContext.identity.caller && requestContext.identity.user);
  });

  test('a signed body reaches the function; unsigned, or with another body, it is 403', async () => {
    const event = await signed('two', { method: 'POST', body: '{"a":1}' });
    assert.deepEqual(Buffer.from(event.body, 'base64').toString(), '{"a":1}');
    const host = 'two.execute-api.us-east-1.amazonaws.com';
    const headers = sign({ method: 'POST', path: '/signed', host, body: '{"a":1}', credentials: ADMIN_KEY });
    for (const [body, more] of [['{"a":2}', headers], ['{"a":1}', { host }]]) {
      const answer = await gw.get('/signed', { method: 'POST', headers: { ...more, 'content-length': body.length }, body });
      assert.equal(answer.status, 403);
      assert.equal(answer.text, '{"message":"Forbidden"}');
    }
  });
});
