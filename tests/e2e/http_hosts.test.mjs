// Hosts and custom domains: which API and stage a request reaches, sockets and HTTP side by side. http-api.md 1.2, 6.5.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;
let backend;
let gw;

// Answers with API, stage, route and mapping key.
const where = mock('where', { template: '$context.apiId $context.stage $context.routeKey $context.customDomain.basePathMatched' });
const STAGES = [{ stageName: '$default' }, { stageName: 'prod' }, { stageName: 'dev' }];
const api = (apiId, more = {}) => httpApi({ apiId, integrations: [where], routes: [route('$default', 'where'), route('GET /x', 'where'), route('GET /prod', 'where')], stages: STAGES, ...more });

const ask = (gateway, host, target, options = {}) => gateway.get(target, { ...options, headers: { host, ...options.headers } });
const reach = async (host, target, gateway = gw) => {
  const answer = await ask(gateway, host, target);
  return answer.status === 200 ? answer.text.trim() : answer.status;
};

const EVENT_ROUTES = [route('$default', 'where'), route('GET /two/{proxy+}', 'two'), route('GET /one/{proxy+}', 'one'), route('GET /back/{proxy+}', 'back')];
const LOG = '$context.requestId $context.customDomain.basePathMatched $context.domainName $context.domainPrefix $context.path';

before(async () => {
  fn = await startLambda(file, { app: echo, two: () => ({ statusCode: 200 }), one: () => ({ statusCode: 200 }) });
  backend = await startBackend(file);
  gw = await startGateway(file, {
    functions: fn.table('app', 'two', 'one'),
    apis: [
      api('hosted', { hosts: ['api.example.com', '*.wild.example.com', 'Case.Example.COM'] }),
      api('exact', { hosts: ['one.wild.example.com'] }),
      api('plain'),
      api('other'),
      api('off', { disableExecuteApiEndpoint: true }),
      api('offhosted', { disableExecuteApiEndpoint: true, hosts: ['only.example.com'] }),
      api('events', {
        integrations: [where, lambda('two', { payloadFormatVersion: '2.0' }), lambda('one', { payloadFormatVersion: '1.0' }), forward('back', `${backend.url}/below/{proxy}`)],
        routes: EVENT_ROUTES,
        stages: [{ stageName: 'live', accessLogSettings: { destinationArn: 'stdout', format: LOG } }],
      }),
      appApi({ apiId: 'chat', hosts: ['chat.example.net'] }),
    ],
    domainNames: [
      {
        domainName: 'www.example.org',
        apiMappings: [
          { apiId: 'plain', stage: '$default' },
          { apiId: 'other', stage: 'prod', apiMappingKey: 'v1' },
          { apiId: 'other', stage: 'dev', apiMappingKey: 'v1/orders' },
          { apiId: 'plain', stage: 'dev', apiMappingKey: 'v1/orders/items' },
          { apiId: 'off', stage: '$default', apiMappingKey: 'off' },
          { apiId: 'events', stage: 'live', apiMappingKey: 'ev/ents' },
          { apiId: 'other', stage: 'prod', apiMappingKey: "$-_.+!*'()" },
          { apiId: 'chat', stage: 'prod', apiMappingKey: 'chat' },
        ],
      },
      { domainName: 'keys.example.org', apiMappings: [{ apiId: 'other', stage: 'prod', apiMappingKey: 'only' }] },
      { domainName: '*.example.org', apiMappings: [{ apiId: 'other', stage: 'dev' }] },
      { domainName: 'apart.example.net' },
      { domainName: 'sock.example.net', apiMappings: [{ apiId: 'chat', stage: 'prod' }] },
    ],
    apiMappings: [{ domainName: 'apart.example.net', apiId: 'plain', stage: 'prod', apiMappingKey: '(none)' }],
  });
});

describe('1.2 hosts', () => {
  const ROWS = [
    ['by hosts', 'api.example.com', '/x', 'hosted $default GET /x'],
    ['with a port', 'api.example.com:8443', '/x', 'hosted $default GET /x'],
    ['without case', 'API.Example.com', '/x', 'hosted $default GET /x'],
    ['without case, as configured', 'case.example.com', '/x', 'hosted $default GET /x'],
    ['with a dot at the end', 'api.example.com.', '/x', 'hosted $default GET /x'],
    ['by a wildcard', 'any.wild.example.com', '/x', 'hosted $default GET /x'],
    ['an exact name beats the wildcard', 'one.wild.example.com', '/x', 'exact $default GET /x'],
    ['a wildcard is one label', 'a.b.wild.example.com', '/x', 404],
    ['a wildcard is no empty label', 'wild.example.com', '/x', 404],
    ['by the apiId as the first label', 'plain.execute-api.us-east-1.amazonaws.com', '/x', 'plain $default GET /x'],
    ['the stage in the path', 'plain.execute-api.us-east-1.amazonaws.com', '/dev/x', 'plain dev GET /x'],
    ['an API with hosts has its default host, too', 'hosted.execute-api.us-east-1.amazonaws.com', '/x', 'hosted $default GET /x'],
    ['any domain behind the apiId', 'other.localhost', '/x', 'other $default GET /x'],
    ['no API of this name', 'nobody.example.com', '/x', 404],
    ['6.5 disableExecuteApiEndpoint: 404 at the default host', 'off.execute-api.us-east-1.amazonaws.com', '/x', 404],
    ['6.5 disableExecuteApiEndpoint, with hosts: 404 at the default host', 'offhosted.execute-api.us-east-1.amazonaws.com', '/x', 404],
    ['6.5 disableExecuteApiEndpoint: hosts go on', 'only.example.com', '/x', 'offhosted $default GET /x'],
  ];
  for (const [title, host, target, expected] of ROWS) {
    test(`1.2 ${title}: ${host}`, async () => assert.equal(await reach(host, target), expected));
  }
});

describe('6.5 API mappings', () => {
  const AT = 'www.example.org';
  const ROWS = [
    ['the mapping without a key takes what is left', '/x', 'plain $default GET /x'],
    ['at `/`', '/', 'plain $default $default'],
    ['a key', '/v1/x', 'other prod GET /x v1'],
    ['the longest key', '/v1/orders/x', 'other dev GET /x v1/orders'],
    ['three levels', '/v1/orders/items/x', 'plain dev GET /x v1/orders/items'],
    ['whole segments alone', '/v1/ordersx', 'other prod $default v1'],
    ['whole segments alone, at the first', '/v10/x', 'plain $default $default'],
    ['the key alone: `/`', '/v1', 'other prod $default v1'],
    ['the key with a slash', '/v1/orders/', 'other dev $default v1/orders'],
    ['keys are compared with case', '/V1/x', 'plain $default $default'],
    ['an empty segment belongs to no key', '//v1/x', 'plain $default $default'],
    ['nor in the midst of one', '/v1//orders/x', 'other prod $default v1'],
    ['a stage in the path is a path', '/v1/prod', 'other prod GET /prod v1'],
    ['also where there is no key', '/prod', 'plain $default GET /prod'],
    ['all characters of a key', "/$-_.+!*'()/x", "other prod GET /x $-_.+!*'()"],
    ['an escape in a key', '/v%31/x', 'other prod GET /x v1'],
    ['an escaped slash is not one of a key', '/v1%2Forders/x', 'plain $default $default'],
    ['disableExecuteApiEndpoint leaves domains alone', '/off/x', 'off $default GET /x off'],
  ];
  for (const [title, target, expected] of ROWS) {
    test(`6.5 ${title}: ${target}`, async () => assert.equal(await reach(AT, target), expected));
  }
  test('6.5 no mapping for the path: 404', async () => {
    assert.equal(await reach('keys.example.org', '/only/x'), 'other prod GET /x only');
    for (const target of ['/', '/x', '/onlyx']) assert.equal(await reach('keys.example.org', target), 404);
  });
  test('6.5 a wildcard domain; an exact one beats it', async () => {
    assert.equal(await reach('any.example.org', '/x'), 'other dev GET /x');
    assert.equal(await reach('www.example.org', '/x'), 'plain $default GET /x');
    assert.equal(await reach('a.b.example.org', '/x'), 404);
  });
  test('6.5 mappings apart from their domain; the key (none)', async () => {
    assert.equal(await reach('apart.example.net', '/x'), 'plain prod GET /x');
  });
  test('6.5 a path never leaves its mapping by `..`', async () => {
    for (const target of ['/v1/../x', '/v1/%2e%2e/off/x', '/v1/orders/..%2f..%2fx']) assert.equal(await reach(AT, target), 400);
  });
  test('6.5 2.0 events: rawPath omits the key; no stage in it', async () => {
    fn.reset();
    await ask(gw, AT, '/ev/ents/two/a%20b');
    const { event } = fn.calls[0];
    assert.equal(event.rawPath, '/two/a b');
    assert.equal(event.requestContext.http.path, '/two/a b');
    assert.equal(event.requestContext.stage, 'live');
    assert.equal(event.requestContext.domainName, AT);
    assert.equal(event.requestContext.domainPrefix, 'www');
  });
  test('6.5 1.0 events: path keeps the key', async () => {
    fn.reset();
    await ask(gw, AT, '/ev/ents/one/a%20b');
    const { event } = fn.calls[0];
    assert.equal(event.path, '/ev/ents/one/a%20b');
    assert.equal(event.requestContext.domainName, AT);
  });
  test('6.5 a back end gets what is below the key', async () => {
    await ask(gw, AT, '/ev/ents/back/a/b?x');
    assert.equal(backend.requests.at(-1).url, '/below/a/b?x');
  });
  test('6.5 customDomain.basePathMatched in the access log', async () => {
    const answer = await ask(gw, `${AT}:8443`, '/ev/ents/y');
    const id = answer.headers['apigw-requestid'];
    const row = await waitFor(() => gw.log().split('\n').find((line) => line.startsWith(`${id} `)));
    assert.equal(row, `${id} ev/ents www.example.org www /y`);
    const plain = await ask(gw, 'events.localhost', '/live/y');
    const other = plain.headers['apigw-requestid'];
    assert.equal(await waitFor(() => gw.log().split('\n').find((line) => line.startsWith(`${other} `))), `${other} - events.localhost events /live/y`);
  });
});

describe('6.5 sockets behind a domain', () => {
  test('6.5 a WebSocket API at a key, its management below it', async (t) => {
    for (const [host, base] of [['www.example.org', '/chat'], ['sock.example.net', '']]) {
      const client = await join(t, gw, fn, { stage: `${base.slice(1)}`, headers: { host } });
      assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
      assert.equal(client.connectEvent.requestContext.domainName, host);
      const answer = await gw.post(client.id, 'pushed', { host, path: `${base}/@connections/${encodeURIComponent(client.id)}` });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(await client.next(), 'pushed');
    }
  });
  test('6.5 elsewhere at that domain no handshake is one', async (t) => {
    assert.equal((await refused(t, gw.url('/v1'), { headers: { host: 'www.example.org' } })).status, 200); // a request like others
    assert.equal((await refused(t, gw.url('/prod'), { headers: { host: 'sock.example.net' } })).status, 403);
  });
  test('6.5 health checks at a domain of sockets: /ping and /sping', async () => {
    for (const target of ['/ping', '/sping']) assert.equal((await ask(gw, 'sock.example.net', target)).status, 200);
  });
});

describe('sockets and HTTP on one listener, one host', () => {
  let both;
  before(async () => {
    both = await startGateway(file, {
      functions: fn.table('app', 'two', 'one'),
      apis: [
        appApi({ apiId: 'chat' }),
        api('off', { disableExecuteApiEndpoint: true }),
        httpApi({ apiId: 'web', integrations: [where], routes: [route('GET /', 'where'), route('ANY /prod/{proxy+}', 'where'), route('GET /prod', 'where'), route('GET /page', 'where')] }),
      ],
    });
  });
  test('handshakes at the stage are of the sockets, everything else is of HTTP', async (t) => {
    const client = await join(t, both, fn);
    assert.equal(await client.ask({ action: 'echo', n: 1 }), '{"action":"echo","n":1}');
    assert.equal(await reach(both.host, '/', both), 'web $default GET /');
    assert.equal(await reach(both.host, '/page', both), 'web $default GET /page');
    assert.equal(await reach(both.host, '/prod', both), 'web $default GET /prod');
    assert.equal(await reach(both.host, '/prod/x', both), 'web $default ANY /prod/{proxy+}');
    assert.equal(await reach(both.host, '/nothing', both), 404);
    assert.equal(await client.ask({ action: 'echo', n: 2 }), '{"action":"echo","n":2}');
  });
  test('@connections of the stage is the management API, whatever routes there are', async (t) => {
    const client = await join(t, both, fn);
    assert.equal((await both.post(client.id, 'pushed')).status, 200);
    assert.equal(await client.next(), 'pushed');
    assert.equal((await both.info(client.id)).status, 200);
    assert.equal((await both.post(client.id, 'x', { credentials: null })).status, 403);
    assert.equal((await both.post('AAAAAAAAAAAAAAA=', 'x')).status >= 400, true);
    assert.equal((await both.remove(client.id)).status, 204);
    assert.equal((await client.ended()).code, 1000);
  });
  test('a handshake that names no stage is an HTTP request like others', async (t) => {
    const answer = await refused(t, both.url('/page'));
    assert.equal(answer.status, 200);
    assert.equal(answer.text.trim(), 'web $default GET /page');
    assert.equal((await refused(t, both.url('/nothing'))).status, 404);
  });
  test('/ping is a path of the HTTP API where there is one', async () => {
    assert.equal((await ask(both, both.host, '/ping')).status, 404);
  });
  test('by host: each API has its own', async (t) => {
    assert.equal(await reach('web.localhost', '/page', both), 'web $default GET /page');
    const client = await dial(t, both.url('/prod'), { headers: { host: 'chat.localhost' } });
    assert.equal(await client.ask({ action: 'echo' }), '{"action":"echo"}');
    assert.equal((await ask(both, 'web.localhost', '/prod')).text.trim(), 'web $default GET /prod');
  });
  test('1.12 disableExecuteApiEndpoint: 404 at the default host, whoever else takes any host', async (t) => {
    assert.equal(await reach('off.localhost', '/', both), 404);
    assert.equal((await refused(t, both.url('/prod'), { headers: { host: 'off.localhost' } })).status, 404);
  });
  test('one connection carries requests of both', async (t) => {
    const client = await join(t, both, fn);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    try {
      for (let i = 0; i < 3; i++) {
        assert.equal((await both.post(client.id, `m${i}`, { agent })).status, 200);
        assert.equal((await ask(both, both.host, '/page', { agent })).status, 200);
        assert.equal(await client.next(), `m${i}`);
      }
    } finally {
      agent.destroy();
    }
  });
});

describe('6.5 refused by tidegate check', () => {
  const base = { listeners: [{ address: '127.0.0.1:1' }], apis: [api('one'), api('two', { hosts: ['two.example'] })] };
  const domain = (...apiMappings) => ({ domainNames: [{ domainName: 'd.example', apiMappings }] });
  const ONE = { apiId: 'one', stage: 'prod' };
  const BAD = [
    ['an API that is not there', domain({ apiId: 'nobody', stage: 'prod' }), /nobody/],
    ['a stage that is not there', domain({ apiId: 'one', stage: 'nothing' }), /nothing/],
    ['the same key twice', domain({ ...ONE, apiMappingKey: 'a' }, { ...ONE, apiMappingKey: 'a' }), /"a"/],
    ['two without a key', domain(ONE, { ...ONE, apiMappingKey: '(none)' }), /without a key/],
    ['a key that begins with a slash', domain({ ...ONE, apiMappingKey: '/a' }), /apiMappingKey/],
    ['a key that ends with a slash', domain({ ...ONE, apiMappingKey: 'a/' }), /apiMappingKey/],
    ['a key with a blank', domain({ ...ONE, apiMappingKey: 'a b' }), /apiMappingKey/],
    ['a key of 301 characters', domain({ ...ONE, apiMappingKey: 'a'.repeat(301) }), /apiMappingKey/],
    ['a key that steps up', domain({ ...ONE, apiMappingKey: 'a/..' }), /apiMappingKey/],
    ['the same domain twice', { domainNames: [{ domainName: 'd.example' }, { domainName: 'D.example' }] }, /domainName/],
    ['a domain that is a host of an API', { domainNames: [{ domainName: 'two.example' }] }, /hosts of the API "two"/],
    ['a wildcard that is not the first label', { domainNames: [{ domainName: 'a.*.example' }] }, /domainName/],
    ['a domain with a port', { domainNames: [{ domainName: 'a.example:80' }] }, /port/],
    ['a mapping of a domain that is not there', { apiMappings: [{ ...ONE, domainName: 'nowhere.example' }] }, /nowhere\.example/],
    ['one host for two HTTP APIs', { apis: [api('one', { hosts: ['a.example'] }), api('two', { hosts: ['A.example'] })] }, /already/],
    ['one apiId for two APIs', { apis: [api('one'), api('one')] }, /unique/],
  ];
  for (const [what, more, expected] of BAD) {
    test(`6.5 refused: ${what}`, async (t) => {
      const name = path.join(tempDir(t), 'x.json');
      fs.writeFileSync(name, JSON.stringify({ ...base, ...more }));
      const result = await run(['check', name]);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, expected);
    });
  }
});
