// The configuration file and the command line: design section 7, section 9 of the reference, row C93.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { dial, join } from './lib/client.mjs';
import { ADMIN_KEY, ALLOW_ALL, appApi, httpProxy, lambda, lambdaUri, mock, route, twoWay, wsApi } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';

function write(t, content, name = 'tidegate.json') {
  const file = path.join(tempDir(t), name);
  fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content, null, 1));
  return file;
}

const base = (more = {}) => ({
  listeners: [{ address: '127.0.0.1:18080' }],
  admin: { address: '127.0.0.1:19090' },
  region: 'us-east-1',
  accountId: '000000000000',
  management: { auth: 'sigv4' },
  credentials: [{ ...ADMIN_KEY, policy: ALLOW_ALL }],
  functions: { app: { endpoint: 'http://127.0.0.1:3002' } },
  apis: [appApi()],
  ...more,
});

// A configuration changed by `edit`.
function edited(edit) {
  const config = JSON.parse(JSON.stringify(base()));
  edit(config, config.apis[0]);
  return config;
}

async function check(t, content, name) {
  const file = write(t, content, name);
  return { file, ...(await run(['check', file])) };
}

async function assertGood(t, content, name) {
  const result = await check(t, content, name);
  assert.equal(result.code, 0, result.output);
  return result;
}

// The check fails, not by a crash, and says file, line and what was wrong.
async function assertBad(t, content, wanted, { name } = {}) {
  const result = await check(t, content, name);
  assert.equal(result.signal, null);
  assert.ok(result.code > 0 && result.code < 100, `exit status ${result.code}: ${result.output}`);
  const lines = result.output.split('\n').filter((line) => line.includes(`${path.basename(result.file)}:`));
  assert.ok(lines.length > 0, `no line names the file: ${result.output}`);
  assert.ok(lines.some((line) => new RegExp(`${path.basename(result.file)}:\\d+`).test(line)), `no line number: ${result.output}`);
  for (const expression of [wanted].flat()) assert.match(result.output, expression);
  return result;
}

describe('C93 the whole of section 9', () => {
  test('C93 the least configuration', (t) => assertGood(t, base()));

  test('C93 every WebSocket field of Api, Route, RouteResponse, Integration, IntegrationResponse, Authorizer, Stage', async (t) => {
    const api = {
      apiId: 'chat000001',
      name: 'chat',
      protocolType: 'WEBSOCKET',
      routeSelectionExpression: '$request.body.action',
      apiKeySelectionExpression: '$request.header.x-api-key',
      description: 'an API',
      disableExecuteApiEndpoint: false,
      disableSchemaValidation: true,
      ipAddressType: 'ipv4',
      tags: { team: 'a' },
      version: '1',
      integrations: [
        {
          integrationId: 'be',
          integrationType: 'HTTP_PROXY',
          integrationUri: 'http://${stageVariables.backend}/ws',
          integrationMethod: 'POST',
          connectionType: 'INTERNET',
          credentialsArn: 'arn:aws:iam::000000000000:role/r',
          description: 'back end',
          passthroughBehavior: 'WHEN_NO_MATCH',
          payloadFormatVersion: '1.0',
          requestParameters: { 'integration.request.header.connectionId': 'context.connectionId' },
          timeoutInMillis: 29000,
          tlsConfig: { serverNameToVerify: 'be.test' },
        },
        lambda('app'),
        {
          ...mock('mock', { template: 'x' }),
          integrationResponses: [
            { integrationResponseKey: '$default', integrationResponseId: 'ir1', responseTemplates: { $default: 'x' }, templateSelectionExpression: '\\$default' },
            { integrationResponseKey: '/4\\d\\d/', responseTemplates: { $default: 'y' }, templateSelectionExpression: '\\$default' },
          ],
        },
      ],
      routes: [
        { routeKey: '$connect', target: 'integrations/be', authorizationType: 'CUSTOM', authorizerId: 'auth', operationName: 'open', requestParameters: { 'route.request.querystring.token': { required: true } } },
        { routeKey: '$disconnect', target: 'integrations/be', authorizationType: 'NONE' },
        { routeKey: '$default', target: 'integrations/app', apiKeyRequired: false },
        { routeKey: 'ask', target: 'integrations/mock', routeResponseSelectionExpression: '$default', routeResponses: [{ routeResponseKey: '$default', routeResponseId: 'rr1', modelSelectionExpression: '$default', responseModels: { $default: 'Empty' }, responseParameters: { 'route.response.header.x': { required: false } } }] },
        { routeKey: 'a/b c' },
      ],
      authorizers: [{ authorizerId: 'auth', name: 'auth', authorizerType: 'REQUEST', authorizerUri: lambdaUri('app'), authorizerCredentialsArn: 'arn:aws:iam::000000000000:role/r', identitySource: ['route.request.querystring.token'], identityValidationExpression: '.*' }],
      stages: [
        {
          stageName: 'prod',
          autoDeploy: true,
          description: 'live',
          stageVariables: { backend: '127.0.0.1:9000' },
          accessLogSettings: { destinationArn: 'stdout', format: '$context.requestId' },
          defaultRouteSettings: { dataTraceEnabled: false, detailedMetricsEnabled: true, loggingLevel: 'ERROR', throttlingBurstLimit: 5000, throttlingRateLimit: 10000 },
          routeSettings: { ask: { loggingLevel: 'INFO', throttlingBurstLimit: 5, throttlingRateLimit: 0.5 } },
          clientCertificateId: 'abc123',
          tags: { a: 'b' },
        },
        { stageName: 'dev-1_x' },
      ],
    };
    await assertGood(t, base({ apis: [api] }));
  });

  test('C93 every gateway setting', async (t) => {
    const settings = {
      idleTimeoutSeconds: 0.3, maxConnectionDurationSeconds: 7200, pingIntervalSeconds: 30, maxFrameBytes: 65536, maxMessageBytes: 1048576, idleTimeoutCountsPing: false, lenientJson: false, messageOrdering: 'perConnection',
      contextHeaders: true, binaryFrames: true, permessageDeflate: true, subprotocols: ['a', 'b'], maxQueuedBytes: 100000, slowConsumer: 'drop', maxPendingMessages: 8, closeTimeoutSeconds: 1.5, disconnectRetryMillis: 100,
    };
    await assertGood(
      t,
      base({
        workers: 'auto',
        management: { auth: 'sigv4', errorTypeOn413: true, strictManagementArn: true, pushTimeoutMillis: 500 },
        throttling: { rateLimit: 100, burstLimit: 50, connectionRateLimit: 10, connectionBurstLimit: 5 },
        http: { maxRequestLineBytes: 4096, maxHeaderBytes: 8192, maxHeaders: 50, headerTimeoutSeconds: 5, bodyTimeoutSeconds: 5.5, keepAliveTimeoutSeconds: 30, maxBodyBytes: 1000000 },
        drain: { graceSeconds: 1, closesPerSecond: 100, jitter: 0.2, deadlineSeconds: 2.5, closeCode: 4000, closeReason: 'back soon' },
        log: { level: 'debug', format: 'text' },
        registry: { type: 'memory' },
        apis: [appApi({ settings, hosts: ['chat.example.com'] })],
      }),
    );
  });

  const bad = {
    // Missing what is required.
    'no routeSelectionExpression': [(c, api) => delete api.routeSelectionExpression, /routeSelectionExpression/],
    'no protocolType': [(c, api) => delete api.protocolType, /protocolType/],
    'no name': [(c, api) => delete api.name, /name/],
    'no apiId': [(c, api) => delete api.apiId, /apiId/],
    'a route without routeKey': [(c, api) => delete api.routes[0].routeKey, /routeKey/],
    'an integration without type': [(c, api) => delete api.integrations[0].integrationType, /integrationType/],
    'an integration without address': [(c, api) => delete api.integrations[0].integrationUri, /integrationUri/],
    'a stage without name': [(c, api) => delete api.stages[0].stageName, /stageName/],
    'an authoriser without type': [(c, api) => (api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerUri: lambdaUri('app'), identitySource: [] }]), /authorizerType/],
    'a credential without secret': [(c) => delete c.credentials[0].secretAccessKey, /secretAccessKey/],
    'no listeners': [(c) => (c.listeners = []), /listeners/],
    // Wrong values.
    'a wrong protocolType': [(c, api) => (api.protocolType = 'MQTT'), /protocolType/],
    'a wrong integrationType': [(c, api) => (api.integrations[0].integrationType = 'FTP'), [/integrationType/, /AWS_PROXY/]],
    'a wrong passthroughBehavior': [(c, api) => (api.integrations[0].passthroughBehavior = 'SOMETIMES'), [/passthroughBehavior/, /WHEN_NO_MATCH/]],
    'a wrong contentHandlingStrategy': [(c, api) => (api.integrations[0].contentHandlingStrategy = 'CONVERT'), /contentHandlingStrategy/],
    'a wrong authorizationType': [(c, api) => (api.routes[0].authorizationType = 'BASIC'), /authorizationType/],
    'a wrong loggingLevel': [(c, api) => (api.stages[0].defaultRouteSettings = { loggingLevel: 'LOUD' }), /loggingLevel/],
    'a wrong messageOrdering': [(c, api) => (api.settings = { messageOrdering: 'chaos' }), [/messageOrdering/, /perConnection/]],
    'a wrong management.auth': [(c) => (c.management.auth = 'maybe'), [/auth/, /sigv4/]],
    'a wrong log level': [(c) => (c.log = { level: 'shout' }), /level/],
    'a stage name with a slash': [(c, api) => (api.stages[0].stageName = 'a/b'), /stageName/],
    'a route key that begins with $': [(c, api) => api.routes.push(route('$mine', 'app')), /routeKey.*begin with \$/],
    'the time-out too short': [(c, api) => (api.integrations[0].timeoutInMillis = 49), /timeoutInMillis/],
    'the time-out too long': [(c, api) => (api.integrations[0].timeoutInMillis = 29001), /timeoutInMillis/],
    'another routeResponseKey': [(c, api) => (api.routes[3].routeResponses = [{ routeResponseKey: '2xx' }]), /routeResponseKey/],
    'an expression that is no expression': [(c, api) => (api.routeSelectionExpression = '${request.body.action'), /routeSelectionExpression/],
    'an expression about headers': [(c, api) => (api.routeSelectionExpression = '$request.header.x'), /routeSelectionExpression/],
    'an identity source of another form': [(c, api) => (api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('app'), identitySource: ['$request.header.Auth'] }]), /identitySource/],
    'a mapping source that does not exist': [(c, api) => api.integrations.push(httpProxy('be', 'http://127.0.0.1:9/', { requestParameters: { 'integration.request.header.X': 'nonsense.y' } })), /requestParameters/],
    'a mapping target that does not exist': [(c, api) => api.integrations.push(httpProxy('be', 'http://127.0.0.1:9/', { requestParameters: { 'integration.request.cookie.X': "'y'" } })), /requestParameters/],
    'an address that is none': [(c, api) => api.integrations.push(httpProxy('be', 'ftp://x/')), /integrationUri/],
    'a listener address that is none': [(c) => (c.listeners[0].address = 'nowhere'), /address/],
    'a port beyond 65535': [(c) => (c.listeners[0].address = '127.0.0.1:70000'), /address/],
    'an access-log format without request id': [(c, api) => (api.stages[0].accessLogSettings = { destinationArn: 'stdout', format: '$context.stage' }), /format/],
    // Wrong types.
    'a string for a number': [(c, api) => (api.integrations[0].timeoutInMillis = 'soon'), /timeoutInMillis/],
    'a number for a list': [(c, api) => (api.routes = 7), /routes/],
    'a list for an object': [(c) => (c.management = []), /management/],
    'a string for a boolean': [(c, api) => (api.disableExecuteApiEndpoint = 'perhaps'), /disableExecuteApiEndpoint/],
    'a fraction for an integer': [(c, api) => (api.integrations[0].timeoutInMillis = 100.5), /timeoutInMillis/],
    'a negative limit': [(c) => (c.http = { maxHeaders: -1 }), /maxHeaders/],
    // Unknown keys.
    'an unknown key at the top': [(c) => (c.listener = []), /listener/],
    'an unknown key in an API': [(c, api) => (api.routez = []), /routez/],
    'an unknown key in a route': [(c, api) => (api.routes[0].tarjet = 'x'), /tarjet/],
    'an unknown key in settings': [(c, api) => (api.settings = { idleTimeout: 3 }), /idleTimeout/],
    // References that lead nowhere, and doubles.
    'a target that does not exist': [(c, api) => (api.routes[0].target = 'integrations/nobody'), [/target/, /nobody/]],
    'an authoriser that does not exist': [(c, api) => Object.assign(api.routes[0], { authorizationType: 'CUSTOM', authorizerId: 'nobody' }), /nobody/],
    'a function that does not exist': [(c, api) => (api.integrations[0].integrationUri = lambdaUri('nobody')), /nobody/],
    'two routes of one key': [(c, api) => api.routes.push(route('echo', 'app')), /echo/],
    'two integrations of one id': [(c, api) => api.integrations.push(lambda('app')), /app/],
    'two stages of one name': [(c, api) => api.stages.push({ stageName: 'prod' }), /prod/],
    'two APIs of one id': [(c) => c.apis.push(c.apis[0]), /apiId/],
    'two credentials of one key': [(c) => c.credentials.push(c.credentials[0]), /accessKeyId/],
    // What is not for WebSocket APIs.
    'CUSTOM on another route': [(c, api) => { api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('app'), identitySource: [] }]; Object.assign(api.routes[3], { authorizationType: 'CUSTOM', authorizerId: 'a' }); }, /authorizationType/],
    'corsConfiguration': [(c, api) => (api.corsConfiguration = { allowOrigins: ['*'] }), /corsConfiguration/],
    'a JWT authoriser': [(c, api) => (api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerType: 'JWT', identitySource: [], jwtConfiguration: { issuer: 'x' } }]), /authorizerType|jwtConfiguration/],
    'authorizationType JWT': [(c, api) => (api.routes[0].authorizationType = 'JWT'), /authorizationType/],
    'authorizationScopes': [(c, api) => (api.routes[0].authorizationScopes = ['a']), /authorizationScopes/],
    'integrationSubtype': [(c, api) => (api.integrations[0].integrationSubtype = 'SQS-SendMessage'), /integrationSubtype/],
    'authorizerResultTtlInSeconds': [(c, api) => (api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('app'), identitySource: [], authorizerResultTtlInSeconds: 300 }]), /authorizerResultTtlInSeconds: cannot be set .*WEBSOCKET/],
    'enableSimpleResponses': [(c, api) => (api.authorizers = [{ authorizerId: 'a', name: 'a', authorizerType: 'REQUEST', authorizerUri: lambdaUri('app'), identitySource: [], enableSimpleResponses: true }]), /enableSimpleResponses: cannot be set .*WEBSOCKET/],
  };
  for (const [name, [edit, wanted]] of Object.entries(bad)) {
    test(`C93 refused: ${name}`, (t) => assertBad(t, edited(edit), wanted));
  }

  test('C93 unsigned management on a public address is refused unless forced', (t) => assertBad(t, edited((c) => { c.management = { auth: 'none' }; c.listeners = [{ address: '0.0.0.0:18080' }]; }), /auth|none/));
});

describe('C93 the form of the file', () => {
  const YAML = `# a comment
listeners:
  - address: 127.0.0.1:18080
admin: {address: 127.0.0.1:19090}
workers: 2
credentials:
  - accessKeyId: AKIDEXAMPLE
    secretAccessKey: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
    policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "execute-api:*", Resource: "*"}]}
functions:
  app: {endpoint: "http://127.0.0.1:3002"}
apis:
  - apiId: chat
    name: chat
    protocolType: WEBSOCKET
    routeSelectionExpression: $request.body.action
    integrations:
      - integrationId: app
        integrationType: AWS_PROXY
        integrationMethod: POST
        integrationUri: ${lambdaUri('app')}
    routes:
      - {routeKey: $connect, target: integrations/app}
      - {routeKey: $default, target: integrations/app}
    stages:
      - stageName: prod
`;

  test('C93 YAML', (t) => assertGood(t, YAML, 'tidegate.yaml'));

  test('C93 the message names file, line and path', async (t) => {
    const lines = YAML.split('\n');
    const at = lines.findIndex((line) => line.includes('integrationType'));
    lines[at] = lines[at].replace('AWS_PROXY', 'FTP');
    const result = await assertBad(t, lines.join('\n'), /integrationType/, { name: 'tidegate.yaml' });
    assert.match(result.output, new RegExp(`tidegate\\.yaml:${at + 1}: .*apis.*integrations.*integrationType`));
  });

  test('C93 all errors of a file are told at once', async (t) => {
    const result = await assertBad(t, edited((c, api) => { api.protocolType = 'MQTT'; api.integrations[0].timeoutInMillis = 'soon'; c.nonsense = 1; }), [/protocolType/, /timeoutInMillis/, /nonsense/]);
    assert.ok(result.output.split('\n').filter((line) => line.includes('tidegate.json:')).length >= 3);
    await assertBad(t, edited((c, api) => { api.routes[0].target = 'integrations/nobody'; api.routes[1].target = 'integrations/noone'; api.stages.push({ stageName: 'prod' }); }), [/nobody/, /noone/, /prod/]);
  });

  const broken = {
    'broken YAML': ['listeners: [\n  - }', 'x.yaml'],
    'broken JSON': ['{"listeners": [}', 'x.json'],
    'an empty file': ['', 'x.yaml'],
    'a list at the top': ['[]', 'x.json'],
    'a key twice': ['workers: 1\nworkers: 2\n', 'x.yaml'],
    'an anchor that is not defined': ['workers: *nobody\n', 'x.yaml'],
    'a billion laughs': [`a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 9 }, (_, i) => `${'bcdefghij'[i]}: &${'bcdefghij'[i]} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]`).join('\n')}\n`, 'x.yaml'],
    'deep nesting': ['['.repeat(100000), 'x.json'],
  };
  for (const [name, [content, file]] of Object.entries(broken)) {
    test(`C93 refused: ${name}`, async (t) => {
      const result = await check(t, content, file);
      assert.equal(result.signal, null, result.output.slice(0, 2000));
      assert.ok(result.code > 0 && result.code < 100, `exit status ${result.code}`);
      assert.match(result.output, new RegExp(`${file.replace('.', '\\.')}:\\d+`));
    });
  }

  test('C93 a file that does not exist', async () => {
    for (const args of [['check', '/nonexistent/tidegate.yaml'], ['serve', '--config', '/nonexistent/tidegate.yaml']]) {
      const result = await run(args);
      assert.ok(result.code > 0 && result.code < 100);
      assert.match(result.output, /\/nonexistent\/tidegate\.yaml/);
    }
  });

  test('C93 serve refuses a bad file with the same words', async (t) => {
    const file = write(t, edited((c, api) => (api.protocolType = 'MQTT')));
    const result = await run(['serve', '--config', file]);
    assert.ok(result.code > 0 && result.code < 100);
    assert.match(result.output, /tidegate\.json:\d+: .*protocolType/);
  });

  test('C93 ${ENV} is substituted, a variable that is missing is an error; ${stageVariables.x} stays', async (t) => {
    const fn = await startLambda(t, { app: echo });
    const config = (gateway) => ({
      listeners: [{ address: '127.0.0.1:${TG_TEST_PORT}' }],
      functions: { app: { endpoint: '${TG_TEST_ENDPOINT}' } },
      credentials: [{ ...ADMIN_KEY, secretAccessKey: '${TG_TEST_SECRET}', policy: ALLOW_ALL }],
      apis: [appApi({ integrations: [httpProxy('be', 'http://${stageVariables.x}/')], stages: [{ stageName: 'prod', stageVariables: { x: '127.0.0.1:9' } }] })],
      admin: { address: `127.0.0.1:${gateway.adminPort}` },
    });
    const port = 12000 + Math.floor(Math.random() * 19000);
    const gw = await startGateway(t, config, { port, env: { TG_TEST_PORT: String(port), TG_TEST_ENDPOINT: fn.endpoint, TG_TEST_SECRET: ADMIN_KEY.secretAccessKey } });
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, 'x')).status, 200);
    await assertBad(t, edited((c) => (c.region = '${TG_TEST_MISSING}')), /TG_TEST_MISSING/);
  });

  test('C93 a secret from a file', async (t) => {
    const fn = await startLambda(t, { app: echo });
    const secret = path.join(tempDir(t), 'secret');
    fs.writeFileSync(secret, `${ADMIN_KEY.secretAccessKey}\n`);
    const credentials = [{ accessKeyId: ADMIN_KEY.accessKeyId, secretAccessKeyFile: secret, policy: ALLOW_ALL }];
    const gw = await startGateway(t, { functions: fn.table('app'), credentials, apis: [appApi()] });
    const client = await join(t, gw, fn);
    assert.equal((await gw.post(client.id, 'x')).status, 200);
    assert.equal(await client.next(), 'x');
    const missing = await check(t, edited((c) => (c.credentials = [{ accessKeyId: 'A', secretAccessKeyFile: '/nonexistent/secret', policy: ALLOW_ALL }])));
    assert.notEqual(missing.code, 0);
    assert.match(missing.output, /\/nonexistent\/secret/);
  });

  test('C93 no secret is printed', async (t) => {
    const result = await check(t, edited((c) => { c.credentials[0].secretAccessKey = 'TOPSECRETVALUE'; c.credentials[0].extra = 1; }));
    assert.notEqual(result.code, 0);
    assert.ok(!result.output.includes('TOPSECRETVALUE'));
  });

  test('C93 an API served from YAML', async (t) => {
    const fn = await startLambda(t, { app: echo });
    const gw = await startGateway(t, (gateway) => YAML.replace('127.0.0.1:18080', `127.0.0.1:${gateway.port}`).replace('127.0.0.1:19090', `127.0.0.1:${gateway.adminPort}`).replace('http://127.0.0.1:3002', fn.endpoint), { file: 'tidegate.yaml' });
    await dial(t, gw.url());
  });
});

describe('command line', () => {
  test('command line: version', async () => {
    const result = await run(['version']);
    assert.equal(result.code, 0);
    assert.match(result.stdout, /tidegate.*\d+\.\d+\.\d+/);
    assert.equal(result.stderr, '');
    assert.equal((await run(['--version'])).code, 0);
  });

  test('command line: --help names the commands', async () => {
    for (const args of [['--help'], ['help'], ['serve', '--help']]) {
      const result = await run(args);
      assert.equal(result.code, 0, args.join(' '));
      assert.match(result.stdout, /serve/);
    }
    const { stdout } = await run(['--help']);
    for (const word of ['serve', 'check', 'version', '--config']) assert.ok(stdout.includes(word), word);
  });

  test('command line: what is not understood is an error on stderr', async () => {
    for (const args of [['dance'], ['serve', '--nonsense'], ['check'], ['serve', '--config']]) {
      const result = await run(args);
      assert.ok(result.code > 0 && result.code < 100, `${args.join(' ')}: ${result.code}`);
      assert.notEqual(result.stderr, '', args.join(' '));
    }
  });

  test('command line: check of a good file says so and starts nothing', async (t) => {
    const result = await assertGood(t, base());
    assert.ok(result.output.length < 2000);
  });

  test('command line: warnings do not fail a check', async (t) => {
    const result = await assertGood(t, base({ apis: [wsApi({ integrations: [lambda('app')], routes: [twoWay('x', 'app'), route('y', 'app', { routeResponseSelectionExpression: '$default' })] })] }));
    assert.match(result.output, /warning/i);
  });
});
