// Parameter mapping of HTTP APIs: what back ends and clients get of it, and what is refused. http-api.md 1.11.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { pool } from './lib/wait.mjs';

const file = fileScope();
let gw;
let backend;

const CONTEXT = ['apiId', 'accountId', 'stage', 'routeKey', 'httpMethod', 'requestId', 'extendedRequestId', 'identity.sourceIp', 'identity.userAgent', 'domainName', 'domainPrefix', 'path', 'protocol', 'requestTimeEpoch'];

// requestParameters by the name of the route that has them.
const REQUESTS = {
  append: { 'append:header.x-list': 'added', 'append:querystring.q': 'added' },
  overwrite: { 'overwrite:header.x-list': 'ours', 'overwrite:querystring.q': 'ours' },
  remove: { 'remove:header.x-list': "''", 'remove:querystring.q': '' },
  path: { 'overwrite:path': '/new/path' },
  relative: { 'overwrite:path': 'without/slash' },
  samepath: { 'overwrite:path': '$request.path' },
  parampath: { 'overwrite:path': '/p/${request.path.proxy}/${request.querystring.q}' },
  order: { 'append:header.x-list': '$request.header.x-list', 'overwrite:header.x-list': 'over', 'remove:header.x-list': "''", 'append:querystring.q': '$request.querystring.q', 'remove:querystring.q': "''", 'overwrite:path': '/${request.header.x-list}' },
  header: { 'overwrite:header.x-out': '$request.header.X-IN' },
  query: { 'overwrite:header.x-out': '$request.querystring.q' },
  pathsource: { 'overwrite:header.x-out': '$request.path' },
  param: { 'overwrite:header.x-out': '$request.path.proxy' },
  body: { 'overwrite:header.x-out': '$request.body' },
  bodypath: { 'overwrite:header.x-out': '$request.body.a.b', 'overwrite:header.x-list': '$request.body.list', 'overwrite:header.x-item': '$request.body.list[1]' },
  stagevar: { 'overwrite:header.x-out': '$stageVariables.color', 'append:header.x-none': '$stageVariables.none' },
  mixed: { 'overwrite:header.x-out': 'Bearer ${request.header.tok} of ${stageVariables.color}, ${context.stage}; $5' },
  static: { 'overwrite:header.x-out': 'just text' },
  inject: { 'overwrite:header.x-out': '$request.querystring.q', 'append:querystring.r': '$request.querystring.q' },
  host: { 'overwrite:header.host': 'other.example' },
  context: Object.fromEntries(CONTEXT.map((name) => [`overwrite:header.x-${name.replace('.', '-').toLowerCase()}`, `$context.${name}`])),
};

// responseParameters likewise.
const RESPONSES = {
  headers: { 200: { 'append:header.x-list': 'added', 'overwrite:header.x-one': 'ours', 'remove:header.x-gone': "''" } },
  bystatus: { 404: { 'overwrite:header.x-was': '404' }, 500: { 'overwrite:statuscode': '200', 'overwrite:header.x-was': '500' } },
  fromheader: { 200: { 'overwrite:header.x-out': '$response.header.X-One', 'overwrite:statuscode': '$response.header.x-status' } },
  frombody: { 200: { 'overwrite:header.x-out': '$response.body', 'overwrite:header.x-part': '$response.body.a.b', 'overwrite:header.x-item': '$response.body.list[0]' } },
  fromcontext: { 200: { 'overwrite:header.x-out': '${context.requestId} ${stageVariables.color}' } },
  missing: { 200: { 'overwrite:header.x-out': '$response.header.nothing', 'append:header.x-part': '$response.body.nothing' } },
  order: { 200: { 'append:header.x-one': '2', 'overwrite:header.x-one': '1', 'remove:header.x-one': "''" } },
  listed: { 200: { ResponseParameters: [{ Destination: 'overwrite:header.x-out', Source: 'listed' }, { Destination: 'overwrite:statuscode', Source: '202' }] } },
};

before(async () => {
  const answers = {
    '/headers': { headers: [['X-List', 'theirs'], ['X-One', 'theirs'], ['X-Gone', '1'], ['X-Gone', '2']], body: 'b' },
    '/bystatus/404': { status: 404, body: 'not there' },
    '/bystatus/500': { status: 500, body: 'broken' },
    '/bystatus/503': { status: 503, body: 'away' },
    '/fromheader': { headers: { 'x-one': 'one', 'x-status': '201' } },
    '/fromheader/bad': { headers: { 'x-one': 'one', 'x-status': 'teapot' } },
    '/fromheader/low': { headers: { 'x-status': '101' } },
    '/fromheader/high': { headers: { 'x-status': '600' } },
    '/fromheader/none': {},
    '/frombody': { headers: { 'content-type': 'application/json' }, body: '{"a":{"b":"deep"},"list":[{"c":1}]}' },
    '/missing': { body: 'no JSON' },
    '/order': { headers: { 'x-one': 'theirs' } },
  };
  backend = await startBackend(file, (r) => answers[r.url.split('?')[0]] ?? { body: 'ok' });
  const fn = await startLambda(file, { fn: () => ({ statusCode: 418, headers: { 'x-one': 'of the function' }, body: 'tea' }) });
  const api = (apiId, more) => httpApi({ apiId, hosts: [`${apiId}.test`], stages: [{ stageName: '$default', stageVariables: { color: 'blue' } }, { stageName: 'prod' }], ...more });
  const names = Object.keys(REQUESTS);
  const back = Object.keys(RESPONSES);
  const status418 = { 418: { 'overwrite:statuscode': '200', 'overwrite:header.x-out': '$response.header.x-one', 'append:header.x-body': '$response.body' } };
  gw = await startGateway(file, {
    functions: fn.table('fn'),
    apis: [
      api('req', {
        integrations: names.map((name) => forward(name, `${backend.url}/${name}/{proxy}?own=1`, { requestParameters: REQUESTS[name] })),
        routes: names.map((name) => route(`ANY /${name}/{proxy+}`, name)),
      }),
      api('res', {
        integrations: [
          ...back.flatMap((name) => ['', '/{proxy}'].map((rest) => forward(name + (rest && '-below'), `${backend.url}/${name}${rest}`, { responseParameters: RESPONSES[name] }))),
          lambda('fn', { payloadFormatVersion: '2.0', responseParameters: status418 }),
          mock('mock', { template: 'mock', extra: { responseParameters: { 200: { 'overwrite:statuscode': '203', 'overwrite:header.x-out': '${context.routeKey}' } } } }),
        ],
        routes: [...back.flatMap((name) => [route(`ANY /${name}`, name), route(`ANY /${name}/{proxy+}`, `${name}-below`)]), route('ANY /fn', 'fn'), route('ANY /mock', 'mock')],
        corsConfiguration: { allowOrigins: ['*'] },
      }),
    ],
  });
});

// What the back end saw of a request.
async function seen(where, { method = 'GET', headers = {}, body } = {}) {
  const answer = await gw.get(where, { method, headers: { host: 'req.test', ...headers }, body });
  assert.equal(answer.status, 200, answer.text);
  const found = backend.requests.at(-1);
  found.answer = answer;
  found.all = (name) => found.rawHeaders.filter((_, i) => i % 2 === 1 && found.rawHeaders[i - 1].toLowerCase() === name);
  return found;
}

const ask = (where, options = {}) => gw.get(where, { ...options, headers: { host: 'res.test', ...options.headers } });

describe('1.11 request: operations', () => {
  const IN = { headers: { 'x-list': 'theirs', 'x-other': 'stays' } };
  test('1.11 append: beside what is there', async () => {
    const r = await seen('/append/x?q=theirs&z=%20', IN);
    assert.deepEqual(r.all('x-list'), ['theirs', 'added']);
    assert.equal(r.url, '/append/x?own=1&q=theirs&z=%20&q=added');
    assert.equal(r.headers['x-other'], 'stays');
  });
  test('1.11 append: where nothing is', async () => {
    const r = await seen('/append/x');
    assert.deepEqual(r.all('x-list'), ['added']);
    assert.equal(r.url, '/append/x?own=1&q=added');
  });
  test('1.11 overwrite: instead of all that is there', async () => {
    const r = await seen('/overwrite/x?q=1&z=2&q=3', IN);
    assert.deepEqual(r.all('x-list'), ['ours']);
    assert.equal(r.url, '/overwrite/x?own=1&q=ours&z=2');
    assert.deepEqual((await seen('/overwrite/x')).all('x-list'), ['ours']);
  });
  test('1.11 remove', async () => {
    const r = await seen('/remove/x?q=1&z=2&%71=3', IN);
    assert.deepEqual(r.all('x-list'), []);
    assert.equal(r.url, '/remove/x?own=1&z=2');
    assert.equal(r.headers['x-other'], 'stays');
  });
  test('1.11 overwrite:path, the query stays', async () => {
    assert.equal((await seen('/path/x?q=1')).url, '/new/path?own=1&q=1');
    assert.equal((await seen('/relative/x')).url, '/without/slash?own=1');
  });
  test('1.11 overwrite:path with $request.path: as on the wire, without the stage', async () => {
    assert.equal((await seen('/samepath/a%2Fb%20c//d')).url, '/samepath/a%2Fb%20c//d?own=1');
    assert.equal((await seen('/prod/samepath/x')).url, '/samepath/x?own=1');
  });
  test('1.11 overwrite:path with parameters: what may not stand in a path is encoded', async () => {
    assert.equal((await seen('/parampath/a%20b?q=c%3Fd%23e')).url, '/p/a%20b/c%3Fd%23e?own=1&q=c%3Fd%23e');
  });
  test('1.11 overwrite:path never steps up: 400', async () => {
    const before = backend.requests.length;
    for (const q of ['..', '%2e%2e', '..%2Fx']) {
      const answer = await gw.get(`/parampath/x?q=${q}`, { headers: { host: 'req.test' } });
      assert.equal(answer.status, 400);
      assert.equal(answer.text, '{"message":"Bad Request"}');
    }
    assert.equal(backend.requests.length, before);
  });
  test('1.11 order: remove, overwrite, append, path; sources are those of the client', async () => {
    const r = await seen('/order/x?q=1', { headers: { 'x-list': 'theirs' } });
    assert.deepEqual(r.all('x-list'), ['over', 'theirs']);
    assert.equal(r.url, '/theirs?own=1&q=1');
  });
});

describe('1.11 request: sources', () => {
  const out = async (...args) => (await seen(...args)).headers['x-out'];
  test('1.11 $request.header: without case, repeats joined by a comma', async () => {
    assert.equal(await out('/header/x', { headers: { 'x-in': ['a', 'b'] } }), 'a,b');
  });
  test('1.11 $request.querystring: with case, decoded, repeats joined by a comma', async () => {
    assert.equal(await out('/query/x?q=a%20b&Q=no&q=c+d'), 'a b,c d');
  });
  test('1.11 $request.path: without the stage', async () => {
    assert.equal(await out('/pathsource/a%20b'), '/pathsource/a%20b');
    assert.equal(await out('/prod/pathsource/x'), '/pathsource/x');
  });
  test('1.11 $request.path.param', async () => assert.equal(await out('/param/a/b%20c'), 'a/b c'));
  test('1.11 $request.body, and the body goes on as it came', async () => {
    const r = await seen('/body/x', { method: 'POST', body: 'some text' });
    assert.equal(r.headers['x-out'], 'some text');
    assert.equal(r.text, 'some text');
  });
  test('1.11 $request.body.a.b: strings bare, others as JSON', async () => {
    const body = '{"a":{"b":"deep"},"list":[1,{"c":null}]}';
    const r = await seen('/bodypath/x', { method: 'POST', body });
    assert.equal(r.headers['x-out'], 'deep');
    assert.equal(r.headers['x-list'], '[1,{"c":null}]');
    assert.equal(r.headers['x-item'], '{"c":null}');
    assert.equal(r.text, body);
  });
  test('1.11 a body that is no JSON, or has no such member: empty', async () => {
    for (const body of ['no JSON', '{"a":1}', '[]', '{"a":{"b":"x"']) {
      const r = await seen('/bodypath/x', { method: 'POST', body });
      assert.deepEqual(r.all('x-out'), [''], body);
      assert.equal(r.text, body);
    }
    assert.deepEqual((await seen('/bodypath/x')).all('x-out'), ['']);
  });
  test('1.11 only the first 100 KB of a body are inspected; all of it goes on', async () => {
    const near = `{"a":{"b":"near"},"pad":"${'x'.repeat(200000)}"}`;
    const far = `{"pad":"${'x'.repeat(200000)}","a":{"b":"far"}}`;
    const inside = `{"pad":"${'x'.repeat(90000)}","a":{"b":"inside"}}`;
    assert.equal((await seen('/bodypath/x', { method: 'POST', body: inside })).headers['x-out'], 'inside');
    for (const body of [near, far]) {
      const r = await seen('/bodypath/x', { method: 'POST', body });
      assert.notEqual(r.headers['x-out'], 'far');
      assert.equal(r.text.length, body.length);
    }
  });
  test('1.11 $stageVariables; one that is missing is empty', async () => {
    const r = await seen('/stagevar/x');
    assert.equal(r.headers['x-out'], 'blue');
    assert.deepEqual(r.all('x-none'), ['']);
    assert.deepEqual((await seen('/prod/stagevar/x')).all('x-out'), ['']);
  });
  test('1.11 text with several sources', async () => {
    assert.equal(await out('/mixed/x', { headers: { tok: 'abc' } }), 'Bearer abc of blue, $default; $5');
    assert.equal(await out('/mixed/x'), 'Bearer  of blue, $default; $5');
  });
  test('1.11 plain text', async () => assert.equal(await out('/static/x'), 'just text'));
  test('1.11 $context', async () => {
    const r = await seen('/context/x', { headers: { 'user-agent': 'mapper/1' } });
    const got = (name) => r.headers[`x-${name.replace('.', '-').toLowerCase()}`];
    const expected = { apiId: 'req', accountId: '000000000000', stage: '$default', routeKey: 'ANY /context/{proxy+}', httpMethod: 'GET', 'identity.sourceIp': '127.0.0.1', 'identity.userAgent': 'mapper/1', domainName: 'req.test', domainPrefix: 'req', path: '/context/x', protocol: 'HTTP/1.1' };
    for (const [name, value] of Object.entries(expected)) assert.equal(got(name), value, name);
    assert.equal(got('requestId'), r.answer.headers['apigw-requestid']);
    assert.equal(got('extendedRequestId'), got('requestId'));
    assert.ok(Math.abs(Number(got('requestTimeEpoch')) - Date.now()) < 60000);
  });
  test('1.11 a value cannot forge headers or parameters', async () => {
    const r = await seen('/inject/x?q=a%0d%0aX-Forged:%201%26s=2');
    assert.equal(r.headers['x-forged'], undefined);
    assert.equal(r.headers['x-out'], 'aX-Forged: 1&s=2');
    assert.match(r.url, /&r=a%0D%0AX-Forged%3A%201%26s%3D2$/);
  });
  test('1.11 Host is no refused target: the back end sees it', async () => assert.equal((await seen('/host/x')).headers.host, 'other.example'));
});

describe('1.11 response', () => {
  test('1.11 append, overwrite, remove; the body stays', async () => {
    const answer = await ask('/headers');
    assert.equal(answer.headers['x-list'], 'theirs, added');
    assert.equal(answer.headers['x-one'], 'ours');
    assert.equal(answer.headers['x-gone'], undefined);
    assert.equal(answer.text, 'b');
  });
  test('1.11 rows are chosen by the status of the back end', async () => {
    const found = await ask('/bystatus/404');
    assert.deepEqual([found.status, found.headers['x-was'], found.text], [404, '404', 'not there']);
    const broken = await ask('/bystatus/500');
    assert.deepEqual([broken.status, broken.headers['x-was'], broken.text], [200, '500', 'broken']);
    const away = await ask('/bystatus/503');
    assert.deepEqual([away.status, away.headers['x-was'], away.text], [503, undefined, 'away']);
  });
  test('1.11 $response.header, and the status from one', async () => {
    const answer = await ask('/fromheader');
    assert.deepEqual([answer.status, answer.headers['x-out']], [201, 'one']);
  });
  for (const name of ['bad', 'low', 'high', 'none']) {
    test(`1.11 a status that is none, 200 to 599: 500 (${name})`, async () => {
      const answer = await ask(`/fromheader/${name}`);
      assert.equal(answer.status, 500);
      assert.equal(answer.text, '{"message":"Internal Server Error"}');
      assert.equal(answer.headers['x-one'], undefined);
    });
  }
  test('1.11 $response.body and below; the body goes on as it came', async () => {
    const answer = await ask('/frombody');
    assert.equal(answer.headers['x-out'], '{"a":{"b":"deep"},"list":[{"c":1}]}');
    assert.equal(answer.headers['x-part'], 'deep');
    assert.equal(answer.headers['x-item'], '{"c":1}');
    assert.equal(answer.text, '{"a":{"b":"deep"},"list":[{"c":1}]}');
    assert.equal(answer.headers['content-type'], 'application/json');
  });
  test('1.11 $response.body of the answer to HEAD is empty', async () => {
    const answer = await ask('/frombody', { method: 'HEAD' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-out'], '');
  });
  test('1.11 $response.body with a request that has a body', async () => {
    const answer = await ask('/frombody', { method: 'POST', body: 'x'.repeat(300000) });
    assert.equal(answer.headers['x-part'], 'deep');
    assert.equal(backend.requests.at(-1).body.length, 300000);
  });
  test('1.11 $context and $stageVariables', async () => {
    const answer = await ask('/fromcontext');
    assert.equal(answer.headers['x-out'], `${answer.headers['apigw-requestid']} blue`);
  });
  test('1.11 a missing source is empty', async () => {
    const answer = await ask('/missing');
    assert.equal(answer.headers['x-out'], '');
    assert.equal(answer.headers['x-part'], '');
  });
  test('1.11 order: remove, overwrite, append', async () => assert.equal((await ask('/order')).headers['x-one'], '1, 2'));
  test('1.11 rows as CloudFormation writes them', async () => {
    const answer = await ask('/listed');
    assert.deepEqual([answer.status, answer.headers['x-out']], [202, 'listed']);
  });
  test('1.11 the answer of a function, by the status that its result says', async () => {
    const answer = await ask('/fn');
    assert.deepEqual([answer.status, answer.headers['x-out'], answer.headers['x-body'], answer.text], [200, 'of the function', 'tea', 'tea']);
  });
  test('1.11 a MOCK', async () => {
    const answer = await ask('/mock');
    assert.deepEqual([answer.status, answer.headers['x-out'], answer.text], [203, 'ANY /mock', 'mock']);
  });
  test('1.11 CORS comes behind the mapping', async () => {
    const answer = await ask('/headers', { headers: { origin: 'https://a.example' } });
    assert.equal(answer.headers['access-control-allow-origin'], '*');
  });
});

describe('1.11 refused by tidegate check', () => {
  const check = async (t, requestParameters, responseParameters) => {
    const name = path.join(tempDir(t), 'x.json');
    const integration = forward('p', 'http://127.0.0.1:1/', { ...(requestParameters ? { requestParameters } : {}), ...(responseParameters ? { responseParameters } : {}) });
    fs.writeFileSync(name, JSON.stringify({ listeners: [{ address: '127.0.0.1:1' }], apis: [httpApi({ integrations: [integration], routes: [route('$default', 'p')] })] }));
    return run(['check', name]);
  };
  const RESERVED = [
    'access-control-allow-origin', 'apigw-requestid', 'Authorization', 'Connection', 'Content-Encoding', 'Content-Length', 'Content-Location', 'Forwarded', 'Keep-Alive', 'Origin',
    'Proxy-Authenticate', 'Proxy-Authorization', 'TE', 'Trailers', 'Transfer-Encoding', 'Upgrade', 'x-amz-date', 'x-amzn-trace-id', 'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'Via',
  ];
  test('1.11 every reserved header, on both sides, whatever the operation', async (t) => {
    await pool(RESERVED.length, 4, async (i) => {
      const name = RESERVED[i];
      const op = ['append', 'overwrite', 'remove'][i % 3];
      const rows = { [`${op}:header.${name}`]: op === 'remove' ? "''" : 'x' };
      const result = await check(t, rows, { 200: rows });
      assert.equal(result.code, 1, `${name}: ${result.output}`);
      assert.equal(result.output.split(`\`${name}\` cannot be mapped`).length, 3, result.output);
    });
  });
  const BAD = [
    ['another operation', { 'add:header.x': '1' }],
    ['another place', { 'overwrite:body': '1' }],
    ['a status on the request side', { 'overwrite:statuscode': '200' }],
    ['appending to the path', { 'append:path': '/x' }],
    ['a header without a name', { 'append:header.': 'x' }],
    ['a parameter without a name', { 'append:querystring.': 'x' }],
    ['a name that is none', { 'append:header.a b': 'x' }],
    ['remove with a value', { 'remove:header.x': 'value' }],
    ['a response source on the request side', { 'append:header.x': '$response.body' }],
    ['an unknown source', { 'append:header.x': '$nothing.here' }],
    ['an unknown source in text', { 'append:header.x': 'a ${nothing.here}' }],
    ['a brace that stays open', { 'append:header.x': 'a ${request.header.x' }],
    ['descending paths', { 'append:header.x': '$request.body..a' }],
    ['filters', { 'append:header.x': '$request.body.a[?(@.b)]' }],
    ['the same header twice', { 'append:header.x': 'a', 'append:header.X': 'b' }],
    ['keys of WebSocket APIs', { 'integration.request.header.x': "'a'" }],
    ['a status below 200', undefined, { 199: { 'append:header.x': 'a' } }],
    ['a status above 599', undefined, { 600: { 'append:header.x': 'a' } }],
    ['`default` as a status', undefined, { default: { 'append:header.x': 'a' } }],
    ['the path on the response side', undefined, { 200: { 'overwrite:path': '/x' } }],
    ['the query on the response side', undefined, { 200: { 'append:querystring.x': 'a' } }],
    ['a request source on the response side', undefined, { 200: { 'append:header.x': '$request.header.a' } }],
  ];
  for (const [what, request, response] of BAD) {
    test(`1.11 refused: ${what}`, async (t) => {
      const result = await check(t, request, response);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, /x\.json:\d+/);
      assert.match(result.output, /requestParameters|responseParameters/);
    });
  }
});
