// TLS towards back ends: whom the gateway trusts, and what clients see when it does not. Sections 3.5, 9.4 (tlsConfig).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startBackend } from './lib/backend.mjs';
import { makeAuthority } from './lib/certificates.mjs';
import { dial, refused } from './lib/client.mjs';
import { appApi, httpProxy, lambda, lambdaUri, route, twoWay, wsApi } from './lib/config.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { waitFor } from './lib/wait.mjs';

const file = fileScope();
let authority;
let stranger;
let local; // has a certificate for localhost, be of other names, both of the same authority
let be;
let byAddress;
let plain;
let fn;

before(async () => {
  authority = makeAuthority(file);
  stranger = makeAuthority(file);
  const echo = (request) => ({ body: `over TLS: ${request.text}` });
  local = await startBackend(file, echo, { tls: authority.issue('DNS:localhost') });
  be = await startBackend(file, echo, { tls: authority.issue('DNS:be.example', 'DNS:*.wild.example') });
  byAddress = await startBackend(file, echo, { tls: authority.issue('IP:127.0.0.1') });
  plain = await startBackend(file, echo);
  const served = { app: (event) => ({ statusCode: 200, body: event.body ?? '' }), judge: () => ({ principalId: 'p', policyDocument: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] } }) };
  fn = await startLambda(file, served, { tls: authority.issue('DNS:localhost') });
});

// The integration behind "ask" of the API `NAME`, and behind $connect of `NAME-door`.
function apisOf(name, integration) {
  const integrations = [integration];
  const id = integration.integrationId;
  return [wsApi({ apiId: name, integrations, routes: [twoWay('ask', id)] }), wsApi({ apiId: `${name}-door`, integrations, routes: [route('$connect', id)] })];
}

const proxy = (uri, tlsConfig) => httpProxy('be', uri, tlsConfig ? { tlsConfig } : {});

const at = (name) => ({ headers: { Host: `${name}.test` } });

async function assertTrusted(t, gw, name, reply = 'over TLS: ') {
  const client = await dial(t, gw.url(), at(name));
  const body = JSON.stringify({ action: 'ask', name });
  assert.equal(await client.ask(body), reply === null ? body : `${reply}${body}`);
  await dial(t, gw.url(), at(`${name}-door`));
}

// The log tells TLS from other failures.
function loggedAsTls(gw, requestId) {
  return waitFor(() => gw.log().split('\n').some((line) => line.includes(requestId) && line.includes('"detail":"TLS failure"')), { what: `a line about TLS and ${requestId}` });
}

// 502 at $connect, the error frame on messages.
async function assertRefused(t, gw, name) {
  const client = await dial(t, gw.url(), at(name));
  const frame = await client.ask({ action: 'ask', name });
  const { connectionId, requestId } = JSON.parse(frame);
  assert.equal(frame, `{"message": "Internal server error", "connectionId":"${connectionId}", "requestId":"${requestId}"}`);
  await loggedAsTls(gw, requestId);
  assert.equal(JSON.parse(await client.ask({ action: 'ask', name })).message, 'Internal server error', 'the connection stays');
  const answer = await refused(t, gw.url(), at(`${name}-door`));
  assert.equal(answer.status, 502);
  assert.equal(answer.json().message, 'Internal server error');
  await loggedAsTls(gw, answer.json().requestId);
}

describe('TLS to HTTP_PROXY back ends', () => {
  let gw;
  const url = { local: () => local.url, be: () => be.url, byAddress: () => `https://127.0.0.1:${byAddress.port}`, nameless: () => `https://127.0.0.1:${local.port}`, plain: () => `https://localhost:${plain.port}` };
  const trusted = {
    known: [url.local, () => ({ caFile: authority.file })],
    othername: [url.be, () => ({ caFile: authority.file, serverNameToVerify: 'be.example' })],
    wildcard: [url.be, () => ({ caFile: authority.file, serverNameToVerify: 'a.wild.example' })],
    address: [url.byAddress, () => ({ caFile: authority.file })],
    insecure: [url.local, () => ({ insecureSkipVerification: true })],
    insecurename: [url.be, () => ({ insecureSkipVerification: true, caFile: stranger.file })],
  };
  const untrusted = {
    system: [url.local, () => undefined],
    emptyconfig: [url.local, () => ({ insecureSkipVerification: false })],
    stranger: [url.local, () => ({ caFile: stranger.file })],
    wrongname: [url.be, () => ({ caFile: authority.file })],
    wrongexpectation: [url.local, () => ({ caFile: authority.file, serverNameToVerify: 'be.example' })],
    partwildcard: [url.be, () => ({ caFile: authority.file, serverNameToVerify: 'a.b.wild.example' })],
    noaddress: [url.nameless, () => ({ caFile: authority.file })],
    notls: [url.plain, () => ({ caFile: authority.file })],
  };

  before(async () => {
    const apis = Object.entries({ ...trusted, ...untrusted }).flatMap(([name, [uri, tlsConfig]]) => apisOf(name, proxy(uri(), tlsConfig())));
    gw = await startGateway(file, { apis });
  });

  for (const name of Object.keys(trusted)) {
    test(`TLS trusted: ${name}`, (t) => assertTrusted(t, gw, name));
  }

  for (const name of Object.keys(untrusted)) {
    test(`TLS refused: ${name}`, async (t) => {
      const all = () => [local, be, byAddress, plain].reduce((sum, backend) => sum + backend.requests.length, 0);
      const before = all();
      await assertRefused(t, gw, name);
      assert.equal(all(), before, 'no request reaches a back end that is not trusted');
    });
  }

  test('TLS the name that is verified is the name that is announced', async (t) => {
    const asked = async (backend, name) => {
      await assertTrusted(t, gw, name);
      return backend.requests.findLast((r) => r.text.includes(`"${name}"`)).serverName;
    };
    assert.equal(await asked(local, 'known'), 'localhost');
    assert.equal(await asked(be, 'othername'), 'be.example');
    assert.ok(!(await asked(byAddress, 'address')), 'an address is not announced');
    assert.equal(be.requests.at(-1).headers.host, `localhost:${be.port}`, 'the Host field stays that of the URL');
  });

  test('TLS long messages, and one connection for many', async (t) => {
    const client = await dial(t, gw.url(), at('known'));
    const text = 'long '.repeat(6000);
    assert.equal(await client.ask({ action: 'ask', text }), `over TLS: ${JSON.stringify({ action: 'ask', text })}`);
    const seen = local.requests.length;
    for (let i = 0; i < 5; i++) await client.ask({ action: 'ask', i });
    assert.equal(new Set(local.requests.slice(seen).map((r) => r.port)).size, 1);
  });
});

describe('TLS to functions', () => {
  test('TLS function endpoints: trusted, unknown authority, wrong name, verified name', async (t) => {
    const remote = await startLambda(t, {}, { tls: authority.issue('DNS:functions.example') });
    const table = {
      app: { endpoint: fn.endpoint, tlsConfig: { caFile: authority.file } },
      unknown: { endpoint: fn.endpoint },
      wrongname: { endpoint: remote.endpoint, tlsConfig: { caFile: authority.file } },
      verified: { endpoint: remote.endpoint, tlsConfig: { caFile: authority.file, serverNameToVerify: 'functions.example' } },
    };
    remote.on('verified', (event) => ({ statusCode: 200, body: event.body ?? '' }));
    const gw = await startGateway(t, { functions: table, apis: Object.keys(table).flatMap((name) => apisOf(name, lambda(name))) });
    await assertTrusted(t, gw, 'app', null);
    await assertTrusted(t, gw, 'verified', null);
    await assertRefused(t, gw, 'unknown');
    await assertRefused(t, gw, 'wrongname');
    assert.equal(remote.count((c) => c.name === 'wrongname'), 0);
  });

  test('TLS authorisers: as function and by URL', async (t) => {
    const judge = await startBackend(t, { body: JSON.stringify({ principalId: 'p', policyDocument: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] } }) }, { tls: authority.issue('DNS:localhost') });
    const guarded = (apiId, authorizer) =>
      appApi({
        apiId,
        routes: [route('$connect', 'app', { authorizationType: 'CUSTOM', authorizerId: 'auth' })],
        authorizers: [{ authorizerId: 'auth', name: 'auth', authorizerType: 'REQUEST', identitySource: [], ...authorizer }],
      });
    const known = { endpoint: fn.endpoint, tlsConfig: { caFile: authority.file } };
    const gw = await startGateway(t, {
      functions: { app: known, judge: known, unknown: { endpoint: fn.endpoint } },
      apis: [
        guarded('function', { authorizerUri: lambdaUri('judge') }),
        guarded('unknownfunction', { authorizerUri: lambdaUri('unknown') }),
        guarded('url', { authorizerUri: `${judge.url}/judge`, tlsConfig: { caFile: authority.file } }),
        guarded('unknownurl', { authorizerUri: `${judge.url}/judge`, tlsConfig: { caFile: stranger.file } }),
      ],
    });
    for (const name of ['function', 'url']) await dial(t, gw.url(), at(name));
    assert.equal(judge.requests.length, 1);
    for (const name of ['unknownfunction', 'unknownurl']) {
      const answer = await refused(t, gw.url(), at(name));
      assert.equal(answer.status, 500, name);
      await loggedAsTls(gw, answer.json().requestId);
    }
    assert.equal(judge.requests.length, 1);
  });
});

describe('backendTls', () => {
  test('TLS backendTls holds where a tlsConfig says nothing', async (t) => {
    const foreign = await startBackend(t, (r) => ({ body: `over TLS: ${r.text}` }), { tls: stranger.issue('DNS:localhost') });
    const gw = await startGateway(t, {
      backendTls: { caFile: authority.file },
      functions: { app: { endpoint: fn.endpoint } },
      apis: [
        ...apisOf('inherits', proxy(local.url)),
        ...apisOf('names', proxy(be.url, { serverNameToVerify: 'be.example' })),
        ...apisOf('own', proxy(foreign.url, { caFile: stranger.file })),
        ...apisOf('foreign', proxy(foreign.url)),
        ...apisOf('replaces', proxy(local.url, { caFile: stranger.file })),
        ...apisOf('function', lambda('app')),
      ],
    });
    for (const name of ['inherits', 'names', 'own']) await assertTrusted(t, gw, name);
    await assertTrusted(t, gw, 'function', null);
    for (const name of ['foreign', 'replaces']) await assertRefused(t, gw, name);
  });

  test('TLS backendTls: serverNameToVerify, insecureSkipVerification and what says otherwise', async (t) => {
    const named = await startGateway(t, { backendTls: { caFile: authority.file, serverNameToVerify: 'be.example' }, apis: [...apisOf('inherits', proxy(be.url)), ...apisOf('own', proxy(local.url, { serverNameToVerify: 'localhost' })), ...apisOf('wrong', proxy(local.url))] });
    await assertTrusted(t, named, 'inherits');
    await assertTrusted(t, named, 'own');
    await assertRefused(t, named, 'wrong');
    const lax = await startGateway(t, { backendTls: { insecureSkipVerification: true }, apis: [...apisOf('inherits', proxy(local.url)), ...apisOf('strict', proxy(local.url, { insecureSkipVerification: false }))] });
    await assertTrusted(t, lax, 'inherits');
    await assertRefused(t, lax, 'strict');
  });
});

describe('TLS and reloads', () => {
  const config = (caFile) => ({ apis: apisOf('be', proxy(local.url, { caFile })) });
  const trusts = (gw) => async () => {
    for (let i = 0; i < 6; i++) {
      const client = await dial({ stack: [] }, gw.url(), at('be'));
      const reply = await client.ask({ action: 'ask' });
      client.cut();
      if (!reply.startsWith('over TLS')) return false;
    }
    return true;
  };
  const mistrusts = (gw) => async () => {
    for (let i = 0; i < 6; i++) {
      const client = await dial({ stack: [] }, gw.url(), at('be'));
      const reply = await client.ask({ action: 'ask' });
      client.cut();
      if (reply.startsWith('over TLS')) return false;
    }
    return true;
  };

  test('TLS a reload with another caFile: connections to back ends are made anew', async (t) => {
    const gw = await startGateway(t, config(stranger.file));
    await assertRefused(t, gw, 'be');
    const client = await dial(t, gw.url(), at('be'));
    await gw.reload(config(authority.file), trusts(gw));
    assert.equal(await client.ask({ action: 'ask' }), 'over TLS: {"action":"ask"}', 'on a connection of before');
    await gw.reload(config(stranger.file), mistrusts(gw));
    await assertRefused(t, gw, 'be');
  });

  test('TLS a reload takes the new content of the same caFile, and refuses what is no certificate', async (t) => {
    const caFile = path.join(tempDir(t), 'trusted.pem');
    fs.copyFileSync(stranger.file, caFile);
    const gw = await startGateway(t, config(caFile));
    await assertRefused(t, gw, 'be');
    fs.copyFileSync(authority.file, caFile);
    await gw.reload(config(caFile), trusts(gw));
    await assertTrusted(t, gw, 'be');
    fs.writeFileSync(caFile, 'no certificate');
    await gw.reload(config(caFile), () => /caFile .*trusted\.pem/.test(gw.log()));
    await assertTrusted(t, gw, 'be');
    const checked = await run(['check', gw.file]);
    assert.notEqual(checked.code, 0);
    assert.match(checked.output, /caFile .*trusted\.pem.* PEM/);
  });
});
