// Access log, metrics, admin endpoints: sections 8.1 and 8.3, rows C91 and C92.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { dial, join, refused } from './lib/client.mjs';
import { appApi, httpProxy, lambda, lambdaUri, mock, route, twoWay } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { request } from './lib/http.mjs';
import { echo, functionError, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let fn;

before(async () => {
  fn = await startLambda(file, { app: echo, failing: () => functionError('boom') });
});

// Every variable of 8.1.
const VARIABLES = [
  ...['apiId', 'connectedAt', 'connectionId', 'domainName', 'eventType', 'extendedRequestId', 'messageId', 'requestId', 'requestTime', 'requestTimeEpoch', 'routeKey', 'stage', 'status'],
  ...['authenticate.error', 'authenticate.latency', 'authenticate.status', 'authorize.error', 'authorize.latency', 'authorize.status'],
  ...['authorizer.error', 'authorizer.integrationLatency', 'authorizer.integrationStatus', 'authorizer.latency', 'authorizer.principalId', 'authorizer.tenant', 'authorizer.requestId', 'authorizer.status'],
  ...['error.message', 'error.responseType', 'error.validationErrorString'], // error.messageString comes with its own quotes: see below
  ...['accountId', 'apiKey', 'apiKeyId', 'caller', 'cognitoAuthenticationProvider', 'cognitoAuthenticationType', 'cognitoIdentityId', 'cognitoIdentityPoolId', 'principalOrgId', 'sourceIp', 'user', 'userAgent', 'userArn'].map((name) => `identity.${name}`),
  ...['integration.error', 'integration.integrationStatus', 'integration.latency', 'integration.requestId', 'integration.status', 'integrationLatency'],
  ...['waf.error', 'waf.latency', 'waf.status'],
];

const JSON_FORMAT = `{${VARIABLES.map((name) => `"${name}":"$context.${name}"`).join(',')}}`;

describe('C91', () => {
  const scope = fileScope();
  let gw;
  let log;
  let client;
  let rows;
  const ALLOW = { principalId: 'p1', policyDocument: { Version: '2012-10-17', Statement: [{ Action: '*', Effect: 'Allow', Resource: '*' }] }, context: { tenant: 'acme' } };

  const lines = () => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean);
  const read = () => lines().map((line) => JSON.parse(line));
  const row = (match) => waitFor(() => read().find((r) => Object.entries(match).every(([k, v]) => r[k] === v)), { what: `an access-log row ${JSON.stringify(match)}` });

  before(async () => {
    fn.on('auth', (event) => (event.queryStringParameters.token === 'no' ? { ...ALLOW, policyDocument: { Version: '2012-10-17', Statement: [{ Action: '*', Effect: 'Deny', Resource: '*' }] } } : ALLOW));
    gw = await startGateway(scope, (gateway) => {
      log = path.join(gateway.dir, 'access.log');
      return {
        functions: fn.table('app', 'auth', 'failing'),
        apis: [
          appApi({
            without: ['$default'],
            integrations: [lambda('failing')],
            routes: [route('$connect', 'app', { authorizationType: 'CUSTOM', authorizerId: 'a' }), route('fail', 'failing')],
            authorizers: [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('auth'), identitySource: ['route.request.querystring.token'] }],
            stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: `file:${log}`, format: JSON_FORMAT } }],
          }),
        ],
      };
    });
    client = await dial(scope, gw.url('/prod?token=x&secret=hush'), { headers: { 'User-Agent': 'agent "8"' } });
    rows = { connect: await row({ eventType: 'CONNECT' }) };
    client.id = rows.connect.connectionId;
  });

  test('C91 the row of a handshake', () => {
    const r = rows.connect;
    assert.deepEqual(Object.keys(r), VARIABLES);
    assert.equal(r.apiId, 'chat');
    assert.equal(r.routeKey, '$connect');
    assert.equal(r.stage, 'prod');
    assert.ok(['200', '101'].includes(r.status), r.status);
    assert.match(r.requestTime, /^\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000$/);
    assert.match(r.requestTimeEpoch, /^\d{13}$/);
    assert.match(r.connectedAt, /^\d{13}$/);
    assert.equal(r.requestId, r.extendedRequestId);
    assert.equal(r['identity.sourceIp'], '127.0.0.1');
    assert.match(r['identity.userAgent'], /agent/);
    assert.equal(r['authorizer.principalId'], 'p1');
    assert.equal(r['authorizer.tenant'], 'acme');
    assert.match(r['authorizer.integrationLatency'], /^\d+$/);
    assert.match(r.integrationLatency, /^\d+$/);
  });

  test('C91 unset variables print -', () => {
    for (const name of ['messageId', 'error.message', 'error.responseType', 'error.validationErrorString', 'identity.apiKey', 'identity.caller', 'identity.cognitoIdentityId', 'identity.principalOrgId', 'waf.error', 'waf.latency', 'waf.status']) {
      assert.equal(rows.connect[name], '-', name);
    }
  });

  test('C91 the row of a message', async () => {
    await client.ask({ action: 'echo' });
    const r = await row({ eventType: 'MESSAGE', routeKey: 'echo' });
    assert.equal(r.connectionId, client.id);
    assert.equal(r.status, '200');
    assert.match(r.messageId, /^[A-Za-z0-9_-]+={0,2}$/);
    assert.match(r.integrationLatency, /^\d+$/);
    assert.equal(r['authorizer.principalId'], 'p1');
    const event = await fn.event({ eventType: 'MESSAGE', connectionId: client.id });
    assert.equal(r.requestId, event.requestContext.requestId);
    assert.equal(r.messageId, event.requestContext.messageId);
  });

  test('C91 the rows of a message that fails and of one without route', async () => {
    await client.ask({ action: 'fail' });
    const failed = await row({ eventType: 'MESSAGE', routeKey: 'fail' });
    assert.match(failed.status, /^5\d\d$/);
    assert.equal(failed['error.message'], 'Internal server error');
    const frameText = JSON.parse(await client.ask({ action: 'hush' }));
    const unmatched = await row({ requestId: frameText.requestId });
    assert.equal(unmatched.status, '403');
    assert.equal(unmatched['error.message'], 'Forbidden');
  });

  test('C91 management calls have rows, a 410 without error text', async () => {
    await gw.post(client.id, 'x');
    const r = await row({ eventType: 'CONNECTION_API', routeKey: 'POST /@connections/{connectionId}' });
    assert.equal(r.status, '200');
    assert.equal(r.connectionId, client.id);
    assert.equal(await client.next(), 'x');
  });

  test('C91 the row of a refusal', async (t) => {
    const answer = await refused(t, gw.url('/prod?token=no'));
    const r = await row({ requestId: answer.json().requestId });
    assert.equal(r.status, '403');
    assert.equal(r['error.responseType'], 'ACCESS_DENIED');
    assert.match(r['error.message'], /^User is not authorized/);
    const unauthorised = await refused(t, gw.url('/prod'));
    const u = await row({ requestId: unauthorised.json().requestId });
    assert.equal(u.status, '401');
    assert.equal(u['error.responseType'], 'UNAUTHORIZED');
  });

  test('C91 the row of a disconnect, and then of a 410', async () => {
    await client.close(4000, 'x');
    const r = await row({ eventType: 'DISCONNECT', connectionId: client.id });
    assert.equal(r.routeKey, '$disconnect');
    assert.equal(r['authorizer.principalId'], 'p1');
    await gw.info(client.id);
    const gone = await row({ eventType: 'CONNECTION_API', routeKey: 'GET /@connections/{connectionId}' });
    assert.equal(gone.status, '410');
    assert.equal(gone['error.message'], '-');
  });

  test('C91 one line a row, and neither query nor body in it', async () => {
    assert.ok(lines().length >= 8);
    assert.ok(!fs.readFileSync(log, 'utf8').includes('hush'));
    assert.ok(!gw.log().includes('hush'), 'the log shows no query');
  });

  test('C91 values cannot break out of the line', async (t) => {
    const inject = `x${'\t'}y\\"z`;
    await dial(t, gw.url('/prod?token=1'), { headers: { 'User-Agent': inject } });
    const all = () => lines().filter((line) => line.includes('"eventType":"CONNECT"')).length;
    await waitFor(() => all() >= 2);
    for (const line of lines()) assert.doesNotThrow(() => JSON.parse(line), line);
  });

  test('C91 another style of format; SIGHUP opens the file anew', async (t) => {
    let file_;
    const config = (gateway) => {
      file_ = path.join(gateway.dir, 'clf.log');
      return {
        functions: fn.table('app'),
        apis: [appApi({ stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: `file:${file_}`, format: '$context.identity.sourceIp - $context.identity.caller [$context.requestTime] "$context.eventType $context.routeKey" $context.status $context.requestId $context.error.messageString' } }] })],
      };
    };
    const g = await startGateway(t, config);
    const a = await join(t, g, fn);
    await waitFor(() => fs.existsSync(file_) && fs.readFileSync(file_, 'utf8').includes('\n'));
    assert.match(fs.readFileSync(file_, 'utf8'), /^127\.0\.0\.1 - - \[\d{2}\/[A-Z][a-z]{2}\/\d{4}:\d{2}:\d{2}:\d{2} \+0000\] "CONNECT \$connect" (200|101) [A-Za-z0-9_-]+={0,2} -\n/);
    fs.renameSync(file_, `${file_}.1`);
    await g.reload(config(g), () => fs.existsSync(file_));
    // The file is there before each worker has the configuration that names it.
    await waitFor(async () => {
      await a.ask({ action: 'echo' });
      return /"MESSAGE echo" 200/.test(fs.readFileSync(file_, 'utf8'));
    }, { what: 'a row in the new file' });
    fn.on('app', (event) => (event.requestContext.eventType === 'MESSAGE' ? functionError('boom') : echo(event)));
    t.after(() => fn.on('app', echo));
    await a.ask({ action: 'echo' });
    await waitFor(() => /"MESSAGE echo" 502 \S+ "Internal server error"\n/.test(fs.readFileSync(file_, 'utf8')), { what: 'a row with the quoted error' });
  });

  test('C91 to standard output', async (t) => {
    const g = await startGateway(t, { functions: fn.table('app'), apis: [appApi({ stages: [{ stageName: 'prod', accessLogSettings: { destinationArn: 'stdout', format: 'ROW $context.requestId $context.eventType' } }] })] });
    await join(t, g, fn);
    await waitFor(() => /^ROW \S+ CONNECT$/m.test(g.log()), { what: 'the row' });
  });
});

// The sum of all samples whose name is that of `family` (a counter may end in _total) and whose labels include `labels`.
async function value(gw, family, labels = {}) {
  const samples = await gw.metrics();
  return samples
    .filter((s) => s.name === `tidegate_${family}` || s.name === `tidegate_${family}_total`)
    .filter((s) => Object.entries(labels).every(([k, v]) => s.labels[k] === v))
    .reduce((sum, s) => sum + s.value, 0);
}

describe('C92', () => {
  const scope = fileScope();
  let gw;
  let backend;
  before(async () => {
    backend = await startBackend(scope, { status: 404, body: 'nf' });
    gw = await startGateway(scope, {
      functions: { ...fn.table('app', 'failing'), away: { endpoint: 'http://127.0.0.1:9' } },
      apis: [
        appApi({
          without: ['$default'],
          integrations: [lambda('failing'), lambda('away'), httpProxy('nf', backend.url), mock('mock', { template: 'm' })],
          routes: [route('fail', 'failing'), route('away', 'away'), route('nf', 'nf'), twoWay('mock', 'mock')],
          stages: [{ stageName: 'prod', defaultRouteSettings: { detailedMetricsEnabled: true, throttlingBurstLimit: 5000, throttlingRateLimit: 10000 } }],
        }),
      ],
    });
  });

  // What `act` adds to a counter; waits for it to move by `by`.
  async function moves(family, labels, by, act) {
    const before = await value(gw, family, labels);
    await act();
    await waitFor(async () => (await value(gw, family, labels)) >= before + by, { what: `${family} to move by ${by}`, interval: 20 });
    assert.equal((await value(gw, family, labels)) - before, by, family);
  }

  test('C92 ConnectCount counts handshakes handed to $connect', async (t) => {
    await moves('connect_count', { api_id: 'chat', stage: 'prod' }, 3, async () => {
      for (let i = 0; i < 3; i++) await join(t, gw, fn);
      await refused(t, gw.url('/nostage'));
    });
  });

  test('C92 MessageCount: one in each direction', async (t) => {
    const client = await join(t, gw, fn);
    const total = async () => (await value(gw, 'messages_in')) + (await value(gw, 'messages_out'));
    const before = await total();
    await client.ask({ action: 'echo' });
    await gw.post(client.id, 'pushed');
    await client.next();
    await client.ping('x');
    await waitFor(async () => (await total()) >= before + 3);
    assert.equal(await total(), before + 3);
    assert.ok((await value(gw, 'messages_in', { route: 'echo' })) >= 1);
  });

  test('C92 metering in steps of 32 KB', async (t) => {
    const client = await join(t, gw, fn);
    const before = await value(gw, 'metered_messages_out');
    await gw.post(client.id, 'm'.repeat(32768));
    await gw.post(client.id, 'm'.repeat(32769));
    await waitFor(async () => (await value(gw, 'metered_messages_out')) >= before + 3);
    assert.equal(await value(gw, 'metered_messages_out'), before + 3);
  });

  test('C92 IntegrationError, ClientError, ExecutionError', async (t) => {
    const client = await join(t, gw, fn);
    await moves('integration_error', { route: 'nf' }, 1, async () => client.send({ action: 'nf' }));
    await moves('client_error', {}, 1, () => client.ask({ action: 'unmatched' }));
    await moves('execution_error', { route: 'away' }, 1, () => client.ask({ action: 'away' }));
  });

  test('C92 IntegrationLatency is a histogram; not for MOCK and callbacks', async (t) => {
    const client = await join(t, gw, fn);
    const count = async (labels) => (await gw.metrics()).filter((s) => /latency.*_count$/.test(s.name) && Object.entries(labels).every(([k, v]) => s.labels[k] === v)).reduce((sum, s) => sum + s.value, 0);
    const before = await count({ route: 'echo' });
    await client.ask({ action: 'echo' });
    await waitFor(async () => (await count({ route: 'echo' })) === before + 1, { what: 'the histogram to move' });
    await client.ask({ action: 'mock' });
    await gw.post(client.id, 'x');
    await client.ask({ action: 'echo' });
    await waitFor(async () => (await count({ route: 'echo' })) === before + 2);
    assert.equal(await count({ route: 'mock' }), 0);
    const samples = await gw.metrics();
    const bucket = samples.filter((s) => /latency.*_bucket$/.test(s.name) && s.labels.route === 'echo');
    assert.ok(bucket.some((s) => s.labels.le === '+Inf' && s.value === before + 2));
    for (let i = 1; i < bucket.length; i++) assert.ok(bucket[i].value >= bucket[i - 1].value, 'buckets are cumulative');
  });

  test('C92 current connections, bytes, close codes, throttle rejections, $disconnect failures, queue depths', async (t) => {
    const names = async () => [...new Set((await gw.metrics()).map((s) => s.name))];
    const client = await join(t, gw, fn);
    await client.ask({ action: 'echo' });
    const current = async () => (await gw.metrics()).filter((s) => /^tidegate_connections(_current|_open)?$|^tidegate_current_connections$/.test(s.name)).reduce((sum, s) => sum + s.value, 0);
    const open = await current();
    assert.ok(open >= 1, (await names()).join(' '));
    await client.close(4321, 'x');
    await waitFor(async () => (await current()) === open - 1, { what: 'the gauge to fall' });
    const all = await names();
    for (const wanted of [/bytes/, /close/, /throttled/, /disconnect_failed/, /queue/, /latency/]) assert.ok(all.some((n) => wanted.test(n)), `${wanted} among ${all.join(' ')}`);
    const closes = (await gw.metrics()).filter((s) => /close/.test(s.name) && s.labels.code === '4321');
    assert.ok(closes.length === 0 || closes[0].value >= 1);
    const listed = (await gw.metrics()).filter((s) => /close/.test(s.name) && Object.keys(s.labels).includes('code'));
    assert.ok(listed.some((s) => s.value >= 1), 'a close code was counted');
  });

  test('C92 the text is what Prometheus reads: types before samples, no sample twice', async () => {
    const answer = await gw.admin('/metrics');
    assert.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const typed = new Set([...answer.text.matchAll(/^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/gm)].map((m) => m[1]));
    const seen = new Set();
    for (const line of answer.text.split('\n').filter((l) => l && !l.startsWith('#'))) {
      const series = line.slice(0, line.lastIndexOf(' '));
      assert.ok(!seen.has(series), `twice: ${series}`);
      seen.add(series);
      const name = series.replace(/\{.*/, '');
      assert.ok(typed.has(name) || typed.has(name.replace(/_(bucket|sum|count)$/, '')), `no type: ${name}`);
    }
    assert.ok(answer.text.endsWith('\n'));
  });
});

describe('admin', () => {
  test('C92 /healthz and /readyz answer; the admin paths are not on the public listener', async (t) => {
    const gw = await startGateway(t, { apis: [appApi({ integrations: [], routes: [] })], functions: fn.table('app') });
    assert.equal((await gw.admin('/healthz')).status, 200);
    assert.equal((await gw.admin('/readyz')).status, 200);
    assert.equal((await gw.admin('/nothing')).status, 404);
    for (const path_ of ['/healthz', '/readyz', '/metrics']) {
      const answer = await gw.get(path_);
      assert.notEqual(answer.status, 200, path_);
    }
    const post = await request({ port: gw.adminPort, method: 'POST', path: '/metrics', body: 'x' });
    assert.ok(post.status >= 400 && post.status < 500);
  });

  test('C92 the log is structured and obeys its level', async (t) => {
    const config = (log) => ({ functions: fn.table('app'), apis: [appApi()], log });
    const json = await startGateway(t, config({ level: 'info', format: 'json' }));
    await join(t, json, fn);
    const linesOf = (gw) => gw.log().split('\n').filter(Boolean);
    assert.ok(linesOf(json).length > 0, 'something was logged at start');
    for (const line of linesOf(json)) assert.equal(typeof JSON.parse(line), 'object', line);
    const quiet = await startGateway(t, config({ level: 'error', format: 'text' }));
    await join(t, quiet, fn);
    assert.deepEqual(linesOf(quiet), []);
  });
});
