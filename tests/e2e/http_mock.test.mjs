// MOCK integrations of HTTP APIs: answers without a back end, by templates as in WebSocket APIs (websocket-api.md 2.5).
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { httpApi, mock, route } from './lib/config.mjs';
import { startGateway } from './lib/gateway.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
let gw;

before(async () => {
  const respond = (...responses) => responses.map(([integrationResponseKey, responseTemplates]) => ({ integrationResponseKey, responseTemplates }));
  gw = await startGateway(file, {
    apis: [
      httpApi({
        integrations: [
          mock('text', { template: '$context.httpMethod $context.path of $context.apiId, $stageVariables.mood: $input.body' }),
          { integrationId: 'typed', integrationType: 'MOCK', requestTemplates: { 'application/json': '{"statusCode": 418}' }, integrationResponses: respond(['/4\\d\\d/', { 'application/json': '{"short":"and stout"}' }]), responseParameters: { 418: { 'overwrite:header.x-pot': 'tea' } } },
          { integrationId: 'typeset', integrationType: 'MOCK', requestTemplates: { $default: '{"statusCode": 200}' }, integrationResponses: respond(['$default', { $default: '<p>' }]), responseParameters: { 200: { 'overwrite:header.content-type': 'text/html' } } },
          { integrationId: 'chosen', integrationType: 'MOCK', integrationResponses: respond(['/404/', { $default: 'none' }], ['$default', { $default: 'some' }]) },
          mock('empty', { status: 204 }),
          ...[100, 101, 199, 204, 304, 600, 999].map((status) => mock(`s${status}`, { status, template: 'a body' })),
          { integrationId: 'broken', integrationType: 'MOCK', requestTemplates: { $default: '{"statusCode": "abc"}' } },
        ],
        routes: [
          route('ANY /text/{rest+}', 'text'),
          route('ANY /typed', 'typed'),
          route('ANY /typeset', 'typeset'),
          route('ANY /chosen', 'chosen'),
          route('ANY /empty', 'empty'),
          route('ANY /broken', 'broken'),
          ...[100, 101, 199, 204, 304, 600, 999].map((status) => route(`GET /${status}`, `s${status}`)),
          route('GET /signed', 'text', { authorizationType: 'AWS_IAM' }),
        ],
        corsConfiguration: { allowOrigins: ['*'] },
        stages: [{ stageName: '$default', stageVariables: { mood: 'calm' } }],
      }),
    ],
  });
});

const get = (where, options) => gw.get(where, options);
const post = (where, body) => gw.get(where, { method: 'POST', headers: { 'Content-Type': 'application/json', 'Content-Length': body.length }, body });

describe('MOCK in HTTP APIs', () => {
  test('a template with context, stage variables and the body', async () => {
    const answer = await post('/text/ab', '{"x":1}');
    assert.deepEqual([answer.status, answer.text], [200, 'POST /text/ab of web, calm: {"x":1}']);
    assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
    assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
  });

  test('a template whose key is a media type gives the answer that type; response mapping applies', async () => {
    const answer = await get('/typed');
    assert.deepEqual([answer.status, answer.text, answer.headers['content-type'], answer.headers['x-pot']], [418, '{"short":"and stout"}', 'application/json', 'tea']);
    assert.equal((await get('/typeset')).headers['content-type'], 'text/html');
  });

  test('without a request template the body says the status, which chooses the response', async () => {
    const none = await post('/chosen', '{"statusCode":404}');
    assert.deepEqual([none.status, none.text], [404, 'none']);
    const some = await post('/chosen', '{"statusCode":"202"}');
    assert.deepEqual([some.status, some.text], [202, 'some']);
  });

  test('an answer without a body, and HEAD', async () => {
    const empty = await get('/empty');
    assert.deepEqual([empty.status, empty.text, empty.headers['content-type']], [204, '', undefined]);
    const head = await get('/typed', { method: 'HEAD' });
    assert.deepEqual([head.status, head.headers['content-length'], head.text], [418, '21', '']);
  });

  test('a template that yields no status: 500', async () => {
    for (const answer of [await get('/broken'), await get('/chosen')]) {
      assert.deepEqual([answer.status, answer.text], [500, '{"message":"Internal Server Error"}']);
    }
  });

  test('a status that is none of an answer, 200 to 599: 500', async () => {
    for (const status of [100, 101, 199, 600, 999]) {
      const answer = await get(`/${status}`);
      assert.deepEqual([answer.status, answer.text], [500, '{"message":"Internal Server Error"}'], String(status));
    }
  });

  test('204 and 304 have no body, whatever the template says, and the connection goes on', async (t) => {
    const peer = await connectRaw(t, { port: gw.port });
    for (const status of [204, 304]) {
      peer.write(`GET /${status} HTTP/1.1\r\nHost: x\r\n\r\nGET /typed HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.equal((await peer.response()).status, status);
      assert.equal((await peer.response()).text, '{"short":"and stout"}');
    }
  });

  test('CORS and authorisation hold for mocks as for the rest', async () => {
    const answer = await get('/typed', { headers: { Origin: 'https://app.test' } });
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.equal((await get('/signed')).status, 403);
  });
});
