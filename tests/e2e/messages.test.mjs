// Messages: route selection, error frames, one-way and two-way routes, events. Sections 1.12, 1.13, 2, 3.3; rows C20 to C28.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join } from './lib/client.mjs';
import { appApi, httpProxy, lambda, lambdaUri, mock, route, twoWay, wsApi } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { CUT, echo, functionError, raw, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, {
    app: echo,
    // Answers with the route that was chosen.
    who: (event) => ({ statusCode: 200, body: event.requestContext.routeKey }),
  });
});

const frameText = (message, connectionId, requestId) => `{"message": "${message}", "connectionId":"${connectionId}", "requestId":"${requestId}"}`;

// The bytes of an error frame (1.13): the given message, this connection's id, and a request id.
function assertFrame(text, message, connectionId) {
  const { requestId } = JSON.parse(text);
  assert.match(requestId, /^[A-Za-z0-9_-]+={0,2}$/);
  assert.equal(text, frameText(message, connectionId, requestId));
  return requestId;
}

// An API whose routes all answer with their own key.
function whoApi(apiId, expression, keys) {
  return wsApi({ apiId, routeSelectionExpression: expression, integrations: [lambda('who')], routes: keys.map((key) => twoWay(key, 'who')) });
}

describe('C20', () => {
  const SAMPLE = '{"service":"chat","action":"join","data":{"room":"room1234"}}';
  const rows = [
    ['$request.body.action', 'join'],
    ['${request.body.action}', 'join'],
    ['${request.body.service}/${request.body.action}', 'chat/join'],
    ['${request.body.action}-${request.body.nothing}', 'join-'],
    ['${request.body.data.room}', 'room1234'],
    ['$request.body.data.room', 'room1234'],
    ['action', 'action'],
    ['\\$default', '$default'],
  ];
  rows.forEach(([expression, expected], i) => {
    test(`C20 ${expression} gives ${expected}`, async (t) => {
      const keys = expected === '$default' ? ['$default', 'join'] : [expected, '$default'];
      const gw = await startGateway(t, { functions: fn.table('who'), apis: [whoApi(`api${i}`, expression, keys)] });
      const client = await dial(t, gw.url());
      assert.equal(await client.ask(SAMPLE), expected);
    });
  });

  describe('values', () => {
    const scope = fileScope();
    let gw;
    before(async () => {
      const keys = ['[item1, item2]', '1.50', '12345678901234567890', 'true', 'null', 'a b/c', 'Join', 'join', 'späß', '$default'];
      gw = await startGateway(scope, { functions: fn.table('who'), apis: [whoApi('values', '$request.body.action', keys)] });
    });

    const values = [
      ['an array', '{"action":["item1","item2"]}', '[item1, item2]'],
      ['a number as it is written', '{"action":1.50}', '1.50'],
      ['a number beyond 64 bits', '{"action":12345678901234567890}', '12345678901234567890'],
      ['true', '{"action":true}', 'true'],
      ['null', '{"action":null}', 'null'],
      ['a key with blank and slash', '{"action":"a b/c"}', 'a b/c'],
      ['case matters', '{"action":"Join"}', 'Join'],
      ['case matters: no match', '{"action":"JOIN"}', '$default'],
      ['escapes are decoded', '{"action":"j\\u006fin"}', 'join'],
      ['text beyond ASCII', '{"action":"sp\\u00e4ß"}', 'späß'],
      ['duplicate keys: the last wins', '{"action":"Join","action":"join"}', 'join'],
      ['blanks around', ' \n\t{ "action" : "join" } \r\n', 'join'],
    ];
    for (const [name, body, expected] of values) {
      test(`C20 ${name}`, async (t) => {
        const client = await dial(t, gw.url());
        assert.equal(await client.ask(body), expected);
      });
    }
  });
});

describe('C21', () => {
  const scope = fileScope();
  let gw;
  before(async () => {
    gw = await startGateway(scope, { functions: fn.table('who'), apis: [whoApi('chat', '$request.body.action', ['$default', 'join', '7'])] });
  });
  const bodies = { 'not JSON': 'hello', 'an empty message': '', 'a string': '"join"', 'a number': '7', null: 'null', true: 'true', 'an array': '["join"]', 'no such key': '{"act":"join"}', 'an empty value': '{"action":""}', 'truncated JSON': '{"action":"join"', 'two values': '{"action":"join"}{}', 'the key deeper': '{"x":{"action":"join"}}', 'no known route': '{"action":"other"}' };
  for (const [name, body] of Object.entries(bodies)) {
    test(`C21 ${name}: $default`, async (t) => {
      const client = await dial(t, gw.url());
      assert.equal(await client.ask(body), '$default');
    });
  }
});

describe('C22', () => {
  test('C22 no match and no $default: Forbidden frame byte for byte; the connection stays usable', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ without: ['$default'] })] });
    const client = await join(t, gw, fn);
    const ids = new Set();
    for (const body of ['{"action":"nope"}', 'not json', '', '[]']) {
      ids.add(assertFrame(await client.ask(body), 'Forbidden', client.id));
    }
    assert.equal(ids.size, 4, 'each message has a request id of its own');
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: client.id }), 1);
  });
});

describe('C23', () => {
  test('C23 "$connect" and "$disconnect" as values go to $default, "$default" too', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('who'), apis: [whoApi('chat', '$request.body.action', ['$connect', '$disconnect', '$default'])] });
    const client = await dial(t, gw.url());
    for (const action of ['$connect', '$disconnect', '$default']) assert.equal(await client.ask({ action }), '$default');
  });

  test('C23 without $default they are Forbidden', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ without: ['$default'] })] });
    const client = await join(t, gw, fn);
    for (const action of ['$connect', '$disconnect', '$default']) assertFrame(await client.ask({ action }), 'Forbidden', client.id);
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: client.id }), 0);
    assert.equal(fn.count({ eventType: 'CONNECT', connectionId: client.id }), 1);
  });
});

describe('C24', () => {
  const scope = fileScope();
  let gw;
  let failing = () => ({});
  before(async () => {
    fn.on('failing', (event, call) => failing(event, call));
    const backend = await startBackend(scope, (req) => (req.url === '/junk' ? { raw: 'HTTP/9 what\r\n\r\n' } : { reset: true }));
    const integrations = [lambda('failing'), lambda('missing', { integrationUri: lambdaUri('unreachable') }), httpProxy('closed', 'http://127.0.0.1:9/'), httpProxy('junk', `${backend.url}/junk`), httpProxy('reset', `${backend.url}/reset`), httpProxy('novar', 'http://127.0.0.1:9/${stageVariables.nope}')];
    const pairs = ['failing', 'missing', 'closed', 'junk', 'reset', 'novar'].flatMap((id) => [route(`one-${id}`, id), twoWay(`two-${id}`, id)]);
    const functions = { ...fn.table('app', 'failing'), unreachable: { endpoint: 'http://127.0.0.1:9' } };
    gw = await startGateway(scope, { functions, apis: [appApi({ integrations, routes: [...pairs, route('notarget')] })] });
  });

  const failures = {
    'an exception': () => functionError('boom'),
    'no result': () => undefined,
    'a result without statusCode': () => ({ body: 'x' }),
    'a string': () => 'text',
    'a body that is a number': () => ({ statusCode: 200, body: 5 }),
    'a body that is an object': () => ({ statusCode: 200, body: { a: 1 } }),
    'broken JSON': () => raw({ body: '{' }),
    'an empty answer': () => raw({ body: '' }),
    'an HTTP error of the runtime': () => raw({ status: 404, body: '{"Message":"Function not found"}' }),
    'a cut connection': () => CUT,
    'invalid base64': () => ({ statusCode: 200, body: '!!!', isBase64Encoded: true }),
  };
  for (const [name, handler] of Object.entries(failures)) {
    for (const way of ['one', 'two']) {
      if (name === 'invalid base64' && way === 'one') continue;
      test(`C24 the function fails by ${name}, ${way}-way: Internal server error frame`, async (t) => {
        failing = handler;
        const client = await join(t, gw, fn);
        const requestId = assertFrame(await client.ask({ action: `${way}-failing` }), 'Internal server error', client.id);
        const call = await fn.call({ name: 'failing', eventType: 'MESSAGE', connectionId: client.id });
        assert.equal(requestId, call.event.requestContext.requestId);
        assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
      });
    }
  }

  for (const id of ['missing', 'closed', 'junk', 'reset', 'novar']) {
    test(`C24 the back end "${id}" cannot be called: Internal server error frame on both kinds of route`, async (t) => {
      const client = await join(t, gw, fn);
      for (const way of ['one', 'two']) assertFrame(await client.ask({ action: `${way}-${id}` }), 'Internal server error', client.id);
      assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    });
  }

  test('C24 a route without target: Internal server error frame', async (t) => {
    const client = await join(t, gw, fn);
    assertFrame(await client.ask({ action: 'notarget' }), 'Internal server error', client.id);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
  });
});

describe('C25', () => {
  const scope = fileScope();
  let gw;
  let result = {};
  let answer = {};
  before(async () => {
    fn.on('script', () => result);
    const backend = await startBackend(scope, () => answer);
    const integrations = [lambda('script'), httpProxy('http', `${backend.url}/ws`), mock('mock', { template: 'mocked {"a":1}' })];
    const routes = [route('one', 'script'), twoWay('two', 'script'), route('oneHttp', 'http'), twoWay('twoHttp', 'http'), route('oneMock', 'mock'), twoWay('twoMock', 'mock')];
    routes.push(route('expressionOnly', 'script', { routeResponseSelectionExpression: '$default' }));
    routes.push(route('responseOnly', 'script', { routeResponses: [{ routeResponseKey: '$default' }] }));
    gw = await startGateway(scope, { functions: fn.table('app', 'script'), apis: [appApi({ integrations, routes })] });
  });

  // The next thing that arrives after `action` is the reply to a later question: nothing was sent for `action` itself.
  async function assertSilent(client, action) {
    client.send({ action });
    assert.equal(await client.ask({ action: 'echo', fence: action }), JSON.stringify({ action: 'echo', fence: action }));
    assert.equal((await gw.post(client.id, 'marker')).status, 200);
    assert.equal(await client.next(), 'marker');
  }

  for (const status of [200, 400, 500]) {
    test(`C25 one-way with body and status ${status}: nothing is sent`, async (t) => {
      const client = await join(t, gw, fn);
      result = { statusCode: status, body: 'unseen' };
      await assertSilent(client, 'one');
      assert.equal(fn.count({ name: 'script', connectionId: client.id }), 1);
      answer = { status, body: 'unseen' };
      await assertSilent(client, 'oneHttp');
      await assertSilent(client, 'oneMock');
    });

    test(`C25 two-way with status ${status}: the body is delivered`, async (t) => {
      const client = await join(t, gw, fn);
      result = { statusCode: status, headers: { 'X-A': 'b' }, body: `reply ä ${status}` };
      assert.equal(await client.ask({ action: 'two' }), `reply ä ${status}`);
      answer = { status, body: `http ä ${status}` };
      assert.equal(await client.ask({ action: 'twoHttp' }), `http ä ${status}`);
    });
  }

  test('C25 two-way with empty, missing or null body: an empty message', async (t) => {
    const client = await join(t, gw, fn);
    for (const body of ['', undefined, null]) {
      result = { statusCode: 200, ...(body === undefined ? {} : { body }) };
      assert.equal(await client.ask({ action: 'two' }), '');
    }
    answer = { status: 204 };
    assert.equal(await client.ask({ action: 'twoHttp' }), '');
  });

  test('C25 a RouteResponse alone, or the expression alone, makes a route two-way', async (t) => {
    const client = await join(t, gw, fn);
    result = { statusCode: 200, body: 'yes' };
    assert.equal(await client.ask({ action: 'expressionOnly' }), 'yes');
    assert.equal(await client.ask({ action: 'responseOnly' }), 'yes');
  });

  test('C25 MOCK two-way: the output of the response template', async (t) => {
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'twoMock' }), 'mocked {"a":1}');
  });

  test('C25 a redirect is a response like any other', async (t) => {
    const client = await join(t, gw, fn);
    answer = { status: 302, headers: { Location: `http://${gw.host}/` }, body: 'moved' };
    assert.equal(await client.ask({ action: 'twoHttp' }), 'moved');
  });

  test('C25 a reply of 128 KB is delivered, one byte more is an Internal server error frame', async (t) => {
    const client = await join(t, gw, fn);
    const body = 'r'.repeat(131072);
    result = { statusCode: 200, body };
    assert.equal(await client.ask({ action: 'two' }), body);
    result = { statusCode: 200, body: `${body}x` };
    assertFrame(await client.ask({ action: 'two' }), 'Internal server error', client.id);
    answer = { body: `${body}x` };
    assertFrame(await client.ask({ action: 'twoHttp' }), 'Internal server error', client.id);
  });

  test('C25 bytes of a reply that are no UTF-8 become U+FFFD', async (t) => {
    const client = await join(t, gw, fn);
    answer = { body: Buffer.from([0x61, 0xff, 0x62, 0xc3]) };
    assert.equal(await client.ask({ action: 'twoHttp' }), 'a\ufffdb\ufffd');
  });

  test('C25 HTTP_PROXY sends the raw message', async (t) => {
    const client = await join(t, gw, fn);
    const seen = [];
    answer = {};
    const text = ' {"action":"twoHttp",  "x":"\\u00e4ä"}\n';
    const backend = await startBackend(t, (req) => {
      seen.push(req);
      return { body: req.body };
    });
    const g = await startGateway(t, { apis: [wsApi({ integrations: [httpProxy('http', `${backend.url}/ws?x=1`)], routes: [twoWay('twoHttp', 'http')] })] });
    const other = await dial(t, g.url());
    assert.equal(await other.ask(text), text);
    assert.equal(seen[0].method, 'POST');
    assert.equal(seen[0].url, '/ws?x=1');
    assert.equal(seen[0].text, text);
    client.cut();
  });
});

describe('C26', () => {
  test('C26 isBase64Encoded: the decoded text is sent', async (t) => {
    fn.on('b64', () => ({ statusCode: 200, isBase64Encoded: true, body: Buffer.from('grüße').toString('base64') }));
    const gw = await startGateway(t, { functions: fn.table('b64'), apis: [wsApi({ integrations: [lambda('b64')], routes: [twoWay('$default', 'b64')] })] });
    const client = await dial(t, gw.url());
    assert.equal(await client.ask('x'), 'grüße');
  });
});

describe('C28', () => {
  test('C28 the MESSAGE event: exact member set, body unchanged', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages: [{ stageName: 'prod', stageVariables: { tier: 'gold' } }] })] });
    const client = await join(t, gw, fn, { query: 'secret=1', headers: { 'User-Agent': 'agent/2', Cookie: 'a=b' } });
    const body = ' {"action" :\t"echo", "text":"h\\u00e9\\/ \u{1f600}", "n": 1.500,"n":2}\n';
    assert.equal(await client.ask(body), body);
    const { event } = await fn.call({ eventType: 'MESSAGE', connectionId: client.id });
    assert.deepEqual(Object.keys(event).sort(), ['body', 'isBase64Encoded', 'requestContext', 'stageVariables']);
    assert.equal(event.body, body);
    assert.equal(event.isBase64Encoded, false);
    assert.deepEqual(event.stageVariables, { tier: 'gold' });
    const rc = event.requestContext;
    const connect = client.connectEvent.requestContext;
    assert.deepEqual(Object.keys(rc), ['routeKey', 'messageId', 'eventType', 'extendedRequestId', 'requestTime', 'messageDirection', 'stage', 'connectedAt', 'requestTimeEpoch', 'identity', 'requestId', 'domainName', 'connectionId', 'apiId']);
    assert.equal(rc.routeKey, 'echo');
    assert.equal(rc.eventType, 'MESSAGE');
    assert.equal(rc.messageDirection, 'IN');
    assert.equal(rc.extendedRequestId, rc.requestId);
    assert.notEqual(rc.requestId, connect.requestId);
    assert.notEqual(rc.messageId, rc.requestId);
    for (const same of ['connectedAt', 'domainName', 'connectionId', 'apiId', 'stage']) assert.equal(rc[same], connect[same], same);
    assert.deepEqual(rc.identity, { userAgent: 'agent/2', sourceIp: '127.0.0.1' });
    assert.ok(rc.requestTimeEpoch >= rc.connectedAt);
  });

  test('C28 the invocation carries the headers of section 3.5', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()] });
    const client = await join(t, gw, fn);
    await client.ask({ action: 'echo' });
    const { headers, event } = await fn.call({ eventType: 'MESSAGE', connectionId: client.id });
    assert.equal(headers['user-agent'], 'AmazonAPIGateway_chat');
    assert.equal(headers['x-amzn-apigateway-api-id'], 'chat');
    assert.equal(headers['x-amz-source-arn'], 'arn:aws:execute-api:us-east-1:000000000000:chat/prod/echo');
    assert.equal(headers['x-amzn-lambda-integration-tag'], event.requestContext.requestId);
    assert.equal(headers.accept, 'application/json');
    assert.match(headers['x-amzn-trace-id'], /^Root=1-/);
  });

  test('C28 without stage variables the member is absent; ids differ from message to message', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()] });
    const client = await join(t, gw, fn);
    for (let i = 0; i < 3; i++) await client.ask({ action: 'echo', i });
    const events = fn.filter({ eventType: 'MESSAGE', connectionId: client.id }).map((c) => c.event);
    assert.equal(events.length, 3);
    assert.deepEqual(Object.keys(events[0]).sort(), ['body', 'isBase64Encoded', 'requestContext']);
    assert.equal(new Set(events.map((e) => e.requestContext.messageId)).size, 3);
    assert.equal(new Set(events.map((e) => e.requestContext.requestId)).size, 3);
  });
});

describe('C32', () => {
  test('C32 unquoted keys and single quotes are routed in compatible mode; the body stays as it was', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()] });
    const client = await join(t, gw, fn);
    for (const body of ['{"action":"echo", body:"hello"}', "{'action':'echo'}", '{action:"echo"}']) assert.equal(await client.ask(body), body);
  });

  test('C32 with lenientJson: false they go to $default', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('who'), apis: [{ ...whoApi('chat', '$request.body.action', ['echo', '$default']), settings: { lenientJson: false } }] });
    const client = await dial(t, gw.url());
    assert.equal(await client.ask('{"action":"echo", body:"hello"}'), '$default');
    assert.equal(await client.ask('{"action":"echo"}'), 'echo');
  });
});

describe('C33', () => {
  test('C33 a route throttle: Too Many Requests frame, the connection stays, other routes are unaffected', async (t) => {
    const stages = [{ stageName: 'prod', routeSettings: { slow: { throttlingBurstLimit: 2, throttlingRateLimit: 0.001 }, never: { throttlingBurstLimit: 0, throttlingRateLimit: 0 } } }];
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages, routes: [twoWay('slow', 'app'), twoWay('never', 'app')] })] });
    const client = await join(t, gw, fn);
    for (let i = 0; i < 2; i++) assert.equal(await client.ask({ action: 'slow', i }), `{"action":"slow","i":${i}}`);
    for (let i = 0; i < 2; i++) assertFrame(await client.ask({ action: 'slow' }), 'Too Many Requests', client.id);
    assertFrame(await client.ask({ action: 'never' }), 'Too Many Requests', client.id);
    for (let i = 0; i < 5; i++) assert.equal(await client.ask({ action: 'echo', i }), `{"action":"echo","i":${i}}`);
    assert.equal(fn.count({ eventType: 'MESSAGE', connectionId: client.id, routeKey: 'slow' }), 2);
  });

  test('C33 the default of a stage holds for routes without settings of their own', async (t) => {
    const stages = [{ stageName: 'prod', defaultRouteSettings: { throttlingBurstLimit: 1, throttlingRateLimit: 0.001 }, routeSettings: { $connect: { throttlingBurstLimit: 100, throttlingRateLimit: 100 }, echo: { throttlingBurstLimit: 100, throttlingRateLimit: 100 } } }];
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages, routes: [twoWay('other', 'app')] })] });
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'other' }), '{"action":"other"}');
    assertFrame(await client.ask({ action: 'other' }), 'Too Many Requests', client.id);
    for (let i = 0; i < 5; i++) assert.equal(await client.ask({ action: 'echo', i }), `{"action":"echo","i":${i}}`);
  });

  test('C33 a throttled route recovers at its rate', async (t) => {
    const stages = [{ stageName: 'prod', routeSettings: { slow: { throttlingBurstLimit: 1, throttlingRateLimit: 20 } } }];
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages, routes: [twoWay('slow', 'app')] })] });
    const client = await join(t, gw, fn);
    let passed = 0;
    const start = Date.now();
    while (passed < 4 && Date.now() - start < 10000) {
      if ((await client.ask({ action: 'slow' })) === '{"action":"slow"}') passed++;
    }
    assert.equal(passed, 4);
    assert.ok(Date.now() - start >= 100, 'four messages at burst 1 and 20 a second take 150 ms');
  });

  test('C33 the account throttle counts handshakes, messages and management calls', async (t) => {
    const gw = await startGateway(t, { functions: fn.table('app'), apis: [appApi()], throttling: { rateLimit: 0.001, burstLimit: 4 } });
    const client = await join(t, gw, fn);
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal((await gw.post(client.id, 'one')).status, 200);
    assert.equal(await client.next(), 'one');
    const statuses = [];
    for (let i = 0; i < 6; i++) statuses.push((await gw.info(client.id)).status);
    assert.ok(statuses.includes(429), statuses.join());
    assertFrame(await client.ask({ action: 'echo' }), 'Too Many Requests', client.id);
  });
});

describe('C34', () => {
  test('C34 a small integration time-out: Endpoint request timed out frame, and the call is given up', async (t) => {
    const backend = await startBackend(t, { hang: true });
    fn.on('hang', () => new Promise(() => {}));
    const integrations = [lambda('hang', { timeoutInMillis: 150 }), httpProxy('http', backend.url, { timeoutInMillis: 150 })];
    const routes = ['hang', 'http'].flatMap((id) => [route(`one-${id}`, id), twoWay(`two-${id}`, id)]);
    const gw = await startGateway(t, { functions: fn.table('app', 'hang'), apis: [appApi({ integrations, routes })] });
    const client = await join(t, gw, fn);
    for (const action of ['one-hang', 'two-hang', 'one-http', 'two-http']) {
      const start = Date.now();
      assertFrame(await client.ask({ action }), 'Endpoint request timed out', client.id);
      assert.ok(Date.now() - start >= 145, `${action} waited`);
    }
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    const finished = await backend.requests[0].closed;
    assert.equal(finished, false, 'the connection to the back end was closed');
  });
});
