// What operators see of HTTP APIs: access-log variables and metrics. http-api.md 7.1, 7.3.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { ADMIN_KEY, forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { functionError, startLambda } from './lib/lambda.mjs';
import { freePort } from './lib/ports.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';
import { sign } from './lib/sigv4.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let gw;

// The list of 7.1 for v2, but the names of certificates.
const NAMES = [
  'accountId', 'apiId', 'authorizer.error', 'authorizer.principalId', 'authorizer.claims', 'authorizer.any', 'awsEndpointRequestId', 'awsEndpointRequestId2', 'customDomain.basePathMatched', 'dataProcessed', 'domainName',
  'domainPrefix', 'error.message', 'error.responseType', 'extendedRequestId', 'httpMethod', 'identity.accountId', 'identity.caller', 'identity.clientCert.subjectDN', 'identity.cognitoAuthenticationProvider',
  'identity.cognitoAuthenticationType', 'identity.cognitoIdentityId', 'identity.cognitoIdentityPoolId', 'identity.principalOrgId', 'identity.sourceIp', 'identity.user', 'identity.userAgent', 'identity.userArn',
  'integration.error', 'integration.integrationStatus', 'integration.latency', 'integration.requestId', 'integration.status', 'integrationErrorMessage', 'integrationLatency', 'integrationStatus', 'path', 'protocol',
  'requestId', 'requestTime', 'requestTimeEpoch', 'responseLatency', 'responseLength', 'routeKey', 'stage', 'status',
];
const FORMAT = `{${NAMES.map((name) => `"${name}":"$context.${name}"`).join(',')}} $context.error.messageString`;
const CLF = '$context.identity.sourceIp - - [$context.requestTime] "$context.httpMethod $context.routeKey $context.protocol" $context.status $context.responseLength $context.requestId';

const log = (name) => path.join(gw.dir, name);

async function row(name, id) {
  const find = () => fs.existsSync(log(name)) && fs.readFileSync(log(name), 'utf8').split('\n').find((line) => line.includes(id));
  return waitFor(find, { what: `a row of ${id} in ${name}` });
}

// The row of the answer's request, values that are `-` left out. error.messageString brings its own quotes.
async function logged(answer) {
  const line = await row('json.log', `"${answer.headers['apigw-requestid']}"`);
  const at = line.lastIndexOf('} ') + 1;
  const all = JSON.parse(line.slice(0, at));
  const quoted = line.slice(at + 1);
  if (quoted !== '-') all['error.messageString'] = JSON.parse(quoted);
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== '-'));
}

const HOST = 'web.test';
const ask = (where, { host = HOST, headers = {}, ...rest } = {}) => gw.get(where, { headers: { host, 'user-agent': 'observer/1', ...headers }, ...rest });

before(async () => {
  const backend = await startBackend(file, (r) => ({ status: r.url.endsWith('/503') ? 503 : 200, body: 'answer' }));
  const fn = await startLambda(file, { fn: () => ({ statusCode: 418, body: 'tea' }), throws: () => functionError('boom') });
  const dead = await freePort();
  const make = (g) => ({
    functions: fn.table('fn', 'throws'),
    apis: [
      httpApi({
        hosts: [HOST],
        integrations: [forward('back', `${backend.url}/{proxy}`), forward('dead', `http://127.0.0.1:${dead}/`), lambda('fn', { payloadFormatVersion: '2.0' }), lambda('throws', { payloadFormatVersion: '2.0' }), mock('mock', { template: 'mock' })],
        routes: [route('ANY /back/{proxy+}', 'back'), route('GET /dead', 'dead'), route('GET /fn', 'fn'), route('GET /throws', 'throws'), route('GET /mock', 'mock'), route('GET /iam', 'mock', { authorizationType: 'AWS_IAM' }), route('GET /slow', 'mock')],
        stages: [
          { stageName: '$default', accessLogSettings: { destinationArn: `file:${path.join(g.dir, 'json.log')}`, format: FORMAT }, routeSettings: { 'GET /slow': { throttlingRateLimit: 0, throttlingBurstLimit: 0 } } },
          { stageName: 'clf', accessLogSettings: { destinationArn: `file:${path.join(g.dir, 'clf.log')}`, format: CLF } },
        ],
      }),
      httpApi({ apiId: 'named', hosts: ['named.test'], integrations: [mock('mock')], routes: [route('GET /x', 'mock')], stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: `file:${path.join(g.dir, 'named.log')}`, format: '$context.requestId $context.path' } }] }),
    ],
  });
  gw = await startGateway(file, make);
});

describe('7.1 access log', () => {
  test('7.1 a request to an HTTP back end', async () => {
    const before = Date.now();
    const answer = await ask('/back/a%20b?q=1', { method: 'POST', body: 'four', host: `${HOST}:8443` });
    const got = await logged(answer);
    const id = answer.headers['apigw-requestid'];
    for (const name of ['requestTime', 'requestTimeEpoch', 'responseLatency', 'integrationLatency', 'integration.latency']) {
      assert.match(got[name], name === 'requestTime' ? /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/ : /^\d+$/, name);
    }
    assert.ok(Math.abs(Number(got.requestTimeEpoch) - before) < 60000);
    assert.equal(got['integration.latency'], got.integrationLatency);
    assert.ok(Number(got.responseLatency) >= Number(got.integrationLatency));
    for (const name of ['requestTime', 'requestTimeEpoch', 'responseLatency', 'integrationLatency', 'integration.latency']) delete got[name];
    assert.deepEqual(got, {
      accountId: '000000000000',
      apiId: 'web',
      dataProcessed: '10',
      domainName: HOST,
      domainPrefix: 'web',
      extendedRequestId: id,
      httpMethod: 'POST',
      'identity.sourceIp': '127.0.0.1',
      'identity.userAgent': 'observer/1',
      'integration.integrationStatus': '200',
      'integration.status': '200',
      integrationStatus: '200',
      path: '/back/a b',
      protocol: 'HTTP/1.1',
      requestId: id,
      responseLength: '6',
      routeKey: 'ANY /back/{proxy+}',
      stage: '$default',
      status: '200',
    });
  });

  test('7.1 what a row tells of the request is the same when its head was long', async () => {
    for (const where of ['/back/long', '/fn', '/mock', '/none']) {
      for (const size of [0, 1500, 3000, 7000]) {
        const got = await logged(await ask(where, { headers: { 'x-long': 'y'.repeat(size), 'user-agent': `long/${size}` } }));
        assert.deepEqual([got.httpMethod, got.path, got.domainName, got['identity.sourceIp'], got['identity.userAgent']], ['GET', where, HOST, '127.0.0.1', `long/${size}`]);
      }
    }
  });

  test('7.1 a function: integration.status is what its answer says, integrationStatus that of the call', async () => {
    const got = await logged(await ask('/fn'));
    assert.deepEqual([got.status, got['integration.status'], got.integrationStatus, got['integration.integrationStatus'], got.responseLength], ['418', '418', '200', '200', '3']);
  });

  test('7.1 a function that fails', async () => {
    const got = await logged(await ask('/throws'));
    assert.deepEqual([got.status, got.integrationStatus, got['error.message'], got['error.messageString']], ['500', '200', 'Internal Server Error', 'Internal Server Error']);
    assert.ok(got['integration.error']);
    assert.equal(got.integrationErrorMessage, got['integration.error']);
  });

  test('7.1 a back end that is away', async () => {
    const got = await logged(await ask('/dead'));
    assert.deepEqual([got.status, got['integration.status'], got['error.message'], got['error.responseType'], got.responseLength], ['503', undefined, 'Service Unavailable', 'INTEGRATION_FAILURE', '33']);
    assert.ok(got['integration.error']);
  });

  test('7.1 an error of the back end is none of the gateway', async () => {
    const got = await logged(await ask('/back/503'));
    assert.deepEqual([got.status, got['integration.status'], got['error.message'], got['integration.error']], ['503', '503', undefined, undefined]);
  });

  test('7.1 no route: a row without one', async () => {
    const got = await logged(await ask('/nothing'));
    assert.deepEqual([got.status, got.routeKey, got['error.message'], got.path], ['404', undefined, 'Not Found', '/nothing']);
  });

  test('7.1 a throttled request', async () => {
    const got = await logged(await ask('/slow'));
    assert.deepEqual([got.status, got['error.responseType'], got.integrationLatency], ['429', 'THROTTLED', undefined]);
  });

  test('7.1 AWS_IAM: who it was; and who was refused', async () => {
    const got = await logged(await ask('/iam', { headers: sign({ method: 'GET', path: '/iam', host: HOST, credentials: ADMIN_KEY }) }));
    assert.deepEqual([got.status, got['identity.accountId'], got['identity.caller'], got['identity.user'], got['identity.userArn']], ['200', '000000000000', ADMIN_KEY.accessKeyId, ADMIN_KEY.accessKeyId, `arn:aws:iam::000000000000:user/${ADMIN_KEY.accessKeyId}`]);
    const refused = await logged(await ask('/iam'));
    assert.deepEqual([refused.status, refused['identity.caller'], refused['error.message']], ['403', undefined, 'Forbidden']);
  });

  test('7.1 HEAD: no bytes of a body', async () => {
    const got = await logged(await ask('/back/x', { method: 'HEAD' }));
    assert.deepEqual([got.status, got.responseLength], ['200', '0']);
  });

  test('7.1 HTTP/1.0 is told', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    peer.write(`GET /mock HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
    assert.equal((await logged(await peer.response())).protocol, 'HTTP/1.0');
  });

  test('7.1 the CLF preset, the stage in the path', async () => {
    const answer = await ask('/clf/mock');
    const id = answer.headers['apigw-requestid'];
    const line = await row('clf.log', id);
    assert.match(line, /^127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET GET \/mock HTTP\/1\.1" 200 4 [A-Za-z0-9_-]{15}=$/);
  });

  test('7.1 a value cannot forge a row', async () => {
    const answer = await ask('/mock/%0a%22%7bforged', { headers: { 'user-agent': 'x","status":"200' } });
    const got = await logged(answer);
    assert.deepEqual([got.status, got.path, got['identity.userAgent']], ['404', '/mock/\n"{forged', 'x","status":"200']);
  });

  test('7.1 a request that reaches no stage leaves no row', async () => {
    const lost = await ask('/x', { host: 'named.test' });
    assert.equal(lost.status, 404);
    const found = await ask('/prod/x', { host: 'named.test' });
    assert.equal(await row('named.log', found.headers['apigw-requestid']), `${found.headers['apigw-requestid']} /prod/x`);
    assert.equal(fs.readFileSync(log('named.log'), 'utf8').includes(lost.headers['apigw-requestid']), false);
  });
});

describe('7.3 metrics', () => {
  test('7.3 Count, 4xx, 5xx, Latency, IntegrationLatency, DataProcessed by ApiId, Stage, Route', async (t) => {
    const backend = await startBackend(t, (r) => ({ status: Number(r.url.slice(1)), body: 'answer' }));
    const one = await startGateway(t, {
      apis: [httpApi({ apiId: 'counted', integrations: [forward('back', `${backend.url}/{proxy}`), mock('mock', { template: 'mock' })], routes: [route('ANY /back/{proxy+}', 'back'), route('GET /mock', 'mock')], stages: [{ stageName: '$default' }, { stageName: 'prod' }] })],
    });
    const get = async (where, options) => (await one.get(where, options)).status;
    assert.deepEqual([await get('/back/200', { method: 'POST', body: 'four' }), await get('/back/404'), await get('/back/500'), await get('/back/503'), await get('/mock'), await get('/prod/mock'), await get('/nothing')], [200, 404, 500, 503, 200, 200, 404]);
    const value = (samples, name, stage, key) => samples.filter((m) => m.name === name && m.labels.api_id === 'counted' && m.labels.stage === stage && m.labels.route === key).reduce((sum, m) => sum + m.value, 0);
    const samples = await waitFor(async () => {
      const all = await one.metrics();
      return value(all, 'tidegate_http_api_count_total', '$default', '') === 1 && all;
    }, { what: 'all requests in the metrics' });
    const of = (name, key, stage = '$default') => value(samples, `tidegate_http_api_${name}`, stage, key);
    const BACK = 'ANY /back/{proxy+}';
    assert.equal(of('count_total', BACK), 4);
    assert.equal(of('4xx_total', BACK), 1);
    assert.equal(of('5xx_total', BACK), 2);
    assert.equal(of('data_processed_bytes_total', BACK), 28);
    assert.equal(of('latency_seconds_count', BACK), 4);
    assert.equal(of('integration_latency_seconds_count', BACK), 4);
    assert.ok(of('latency_seconds_sum', BACK) >= of('integration_latency_seconds_sum', BACK));
    assert.equal(of('count_total', 'GET /mock'), 1);
    assert.equal(of('count_total', 'GET /mock', 'prod'), 1);
    assert.equal(of('4xx_total', ''), 1);
  });
});
