// The unmodified SDKs against the management API: row C59.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { ApiGatewayManagementApiClient, DeleteConnectionCommand, ForbiddenException, GetConnectionCommand, GoneException, LimitExceededException, PostToConnectionCommand } from '@aws-sdk/client-apigatewaymanagementapi';
import { join } from './lib/client.mjs';
import { ADMIN_KEY, REGION, appApi } from './lib/config.mjs';
import { startGateway, tempDir } from './lib/gateway.mjs';
import { echo, startLambda } from './lib/lambda.mjs';
import { fileScope } from './lib/scope.mjs';
import { AWS, PYTHON, awsEnv, exec, script, startLines } from './lib/tools.mjs';

const file = fileScope();
let fn;
let gw;
let endpoint;

before(async () => {
  fn = await startLambda(file, { app: echo });
  gw = await startGateway(file, { functions: fn.table('app'), management: { auth: 'sigv4', pushTimeoutMillis: 300 }, apis: [appApi({ settings: { maxQueuedBytes: 262144 } })] });
  endpoint = `http://${gw.host}/prod`;
});

// A connection whose client does not read and whose buffer is full.
async function stuck(t) {
  const client = await join(t, gw, fn);
  client.ws.pause();
  const body = 'm'.repeat(131072);
  for (let i = 0; i < 300; i++) {
    if ((await gw.post(client.id, body)).status === 429) return client;
  }
  throw new Error('the buffer never filled');
}

async function closed(t) {
  const client = await join(t, gw, fn);
  await client.close();
  await fn.call({ eventType: 'DISCONNECT', connectionId: client.id });
  return client.id;
}

describe('C59 JavaScript SDK v3', () => {
  const sdk = (credentials = ADMIN_KEY) => new ApiGatewayManagementApiClient({ endpoint, region: REGION, credentials, maxAttempts: 1 });

  test('C59 JavaScript: post, get, delete', async (t) => {
    const api = sdk();
    const client = await join(t, gw, fn, { headers: { 'User-Agent': 'agent/5' } });
    await api.send(new PostToConnectionCommand({ ConnectionId: client.id, Data: 'from the SDK ä' }));
    assert.equal(await client.next(), 'from the SDK ä');
    await api.send(new PostToConnectionCommand({ ConnectionId: client.id, Data: new Uint8Array(Buffer.from('bytes')) }));
    assert.equal(await client.next(), 'bytes');
    const info = await api.send(new GetConnectionCommand({ ConnectionId: client.id }));
    assert.equal(info.ConnectedAt.getTime(), client.connectEvent.requestContext.connectedAt);
    assert.ok(info.LastActiveAt instanceof Date);
    assert.equal(info.Identity.SourceIp, '127.0.0.1');
    assert.equal(info.Identity.UserAgent, 'agent/5');
    await api.send(new DeleteConnectionCommand({ ConnectionId: client.id }));
    assert.deepEqual(await client.ended(), { code: 1000, reason: 'Connection Closed Normally' });
  });

  test('C59 JavaScript: 410 is GoneException, 429 LimitExceededException, 403 an error that says so', async (t) => {
    const api = sdk();
    const id = await closed(t);
    for (const command of [new PostToConnectionCommand({ ConnectionId: id, Data: 'x' }), new GetConnectionCommand({ ConnectionId: id }), new DeleteConnectionCommand({ ConnectionId: id })]) {
      await assert.rejects(api.send(command), (error) => error instanceof GoneException && error.$metadata.httpStatusCode === 410);
    }
    const slow = await stuck(t);
    await assert.rejects(api.send(new PostToConnectionCommand({ ConnectionId: slow.id, Data: 'x'.repeat(131072) })), (error) => error instanceof LimitExceededException);
    slow.cut();
    const other = await join(t, gw, fn);
    await assert.rejects(sdk({ accessKeyId: 'AKWRONG', secretAccessKey: 'x' }).send(new PostToConnectionCommand({ ConnectionId: other.id, Data: 'x' })), (error) => error.$metadata.httpStatusCode === 403);
    await assert.rejects(new ApiGatewayManagementApiClient({ endpoint: `http://${gw.host}/nostage`, region: REGION, credentials: ADMIN_KEY, maxAttempts: 1 }).send(new PostToConnectionCommand({ ConnectionId: other.id, Data: 'x' })), (error) => error instanceof ForbiddenException);
  });

  test('C59 JavaScript: a call from the handler of a message', async (t) => {
    const api = sdk();
    const client = await join(t, gw, fn);
    fn.on('app', async (event) => {
      if (event.requestContext.eventType === 'MESSAGE') await api.send(new PostToConnectionCommand({ ConnectionId: event.requestContext.connectionId, Data: `pushed ${event.body}` }));
      return { statusCode: 200 };
    });
    t.after(() => fn.on('app', echo));
    client.send('x');
    assert.equal(await client.next(), 'pushed x');
  });
});

describe('C59 Python', () => {
  test('C59 boto3: post, get, delete, GoneException, LimitExceededException', async (t) => {
    const call = startLines(t, PYTHON, [script('management.py'), endpoint], { env: awsEnv });
    const client = await join(t, gw, fn);
    assert.deepEqual(await call({ op: 'post', id: client.id, data: 'from boto3 ä' }), { ok: true });
    assert.equal(await client.next(), 'from boto3 ä');
    const info = await call({ op: 'get', id: client.id });
    assert.equal(info.ok, true, JSON.stringify(info));
    assert.equal(Date.parse(info.connectedAt), client.connectEvent.requestContext.connectedAt);
    assert.equal(info.identity.SourceIp, '127.0.0.1');
    assert.deepEqual(await call({ op: 'delete', id: client.id }), { ok: true });
    assert.equal((await client.ended()).code, 1000);
    for (const op of ['post', 'get', 'delete']) {
      const answer = await call({ op, id: client.id, data: 'x' });
      assert.equal(answer.gone, true, JSON.stringify(answer));
      assert.equal(answer.status, 410);
    }
    const slow = await stuck(t);
    const answer = await call({ op: 'post', id: slow.id, data: 'x'.repeat(131072) });
    assert.equal(answer.limit, true, JSON.stringify(answer));
    slow.cut();
  });
});

describe('C59 AWS CLI', () => {
  // An id may begin with a dash, hence the form with "=".
  const aws = (command, id, ...more) => exec(AWS, ['apigatewaymanagementapi', command, '--endpoint-url', endpoint, `--connection-id=${id}`, ...more], { env: awsEnv });

  test('C59 AWS CLI: post-to-connection, get-connection, delete-connection, GoneException', { timeout: 120000 }, async (t) => {
    const client = await join(t, gw, fn);
    const data = path.join(tempDir(t), 'data');
    fs.writeFileSync(data, 'from the command line ä');
    const post = await aws('post-to-connection', client.id, '--data', `fileb://${data}`);
    assert.equal(post.code, 0, post.stderr);
    assert.equal(await client.next(), 'from the command line ä');
    const get = await aws('get-connection', client.id, '--output', 'json');
    assert.equal(get.code, 0, get.stderr);
    const info = JSON.parse(get.stdout);
    assert.equal(info.identity?.sourceIp ?? info.Identity?.SourceIp, '127.0.0.1');
    const remove = await aws('delete-connection', client.id);
    assert.equal(remove.code, 0, remove.stderr);
    assert.equal((await client.ended()).code, 1000);
    const gone = await aws('get-connection', client.id);
    assert.notEqual(gone.code, 0);
    assert.match(gone.stderr, /GoneException/);
  });
});
