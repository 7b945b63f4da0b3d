// Routes of HTTP APIs: which one a request takes, and what back ends see of its path. http-api.md 1.1-1.3.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { forward, httpApi, lambda, mock, route } from './lib/config.mjs';
import { startBackend } from './lib/backend.mjs';
import { run, startGateway, tempDir } from './lib/gateway.mjs';
import { startLambda } from './lib/lambda.mjs';
import { connectRaw } from './lib/raw.mjs';
import { fileScope } from './lib/scope.mjs';

const file = fileScope();
let gw;
let backend;
let fn;

// Answers with the key of the route that was chosen.
const which = mock('which', { template: '$context.routeKey' });
const routes = (...keys) => keys.map((key) => route(key, 'which'));
// An API of its own host, so that one gateway serves them all.
const api = (name, keys, more = {}) => httpApi({ apiId: name, integrations: [which, ...(more.integrations ?? [])], routes: [...routes(...keys), ...(more.routes ?? [])], hosts: [`${name}.test`], ...(more.settings ? { settings: more.settings } : {}), ...(more.stages ? { stages: more.stages } : {}) });

const ask = (name, where, method = 'GET') => gw.get(where, { method, headers: { host: `${name}.test` } });

// The key of the route, or the status where there is none.
async function key(name, where, method) {
  const answer = await ask(name, where, method);
  return answer.status === 200 ? answer.text : answer.status;
}

// Bytes on the wire, whatever they are.
async function wire(name, target, method = 'GET') {
  const peer = await connectRaw(file, { port: gw.port });
  peer.write(Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: ${name}.test\r\nConnection: close\r\n\r\n`, 'latin1'));
  return peer.response({ bodyless: method === 'HEAD' });
}

const DOCUMENTED = ['GET /pets/dog/1', 'GET /pets/dog/{id}', 'GET /pets/{proxy+}', 'ANY /{proxy+}', '$default'];
const STAGES = [{ stageName: '$default' }, { stageName: 'prod' }, { stageName: 'pr-od' }];

before(async () => {
  backend = await startBackend(file);
  fn = await startLambda(file, { two: () => ({ statusCode: 200 }), one: () => ({ statusCode: 200 }) });
  const seen = {
    integrations: [
      forward('greedy', `${backend.url}/below/{proxy}`),
      forward('one', `${backend.url}/item/{id}?from=uri`),
      forward('asis', `${backend.url}/fixed`),
      forward('whole', backend.url),
      lambda('two', { payloadFormatVersion: '2.0' }),
      lambda('one-point-oh', { integrationUri: lambda('one').integrationUri, payloadFormatVersion: '1.0' }),
    ],
    routes: [
      route('ANY /g/{proxy+}', 'greedy'),
      route('GET /i/{id}', 'one'),
      route('GET /fixed/{proxy+}', 'asis'),
      route('ANY /two/{proxy+}', 'two'),
      route('ANY /one/{proxy+}', 'one-point-oh'),
      route('GET /two-slash', 'two'),
      route('$default', 'whole'),
    ],
    stages: STAGES,
  };
  gw = await startGateway(file, {
    functions: fn.table('two', 'one'),
    apis: [
      api('pets', DOCUMENTED),
      api('reversed', [...DOCUMENTED].reverse()),
      api('bare', ['GET /hello', 'POST /hello', 'GET /a/{x}/c', 'GET /a/b/{y}', 'GET /head', 'GET /Case']),
      api('any', ['ANY /x', 'GET /x', 'GET /y/{id}', 'ANY /y/{other}', 'POST /y/z', 'GET /m/{p+}', 'ANY /m/{q+}']),
      api('greedy', ['GET /a/{p+}', 'GET /a/b/{p+}', 'GET /a/{x}/c/{p+}', 'POST /a/b/c/{p+}', 'GET /{x}/b']),
      api('root', ['GET /']),
      api('default', ['GET /only', '$default']),
      api('lax', ['GET /hello', 'GET /v/{id}', 'GET /deep/{p+}'], { ...seen, routes: [route('GET /event/{id}', 'two'), route('GET /all/{proxy+}', 'greedy')], stages: [{ stageName: '$default' }], settings: { trailingSlash: 'ignore' } }),
      api('staged', ['GET /prod', 'GET /x', 'GET /', 'GET /prod/x'], { stages: STAGES }),
      api('named', ['GET /x', 'GET /', '$default'], { stages: [{ stageName: 'prod' }, { stageName: 'dev' }] }),
      api('params', ['GET /v/{id}', 'GET /w/{id}/end']),
      api('seen', [], seen),
      api('raw', [], { ...seen, settings: { pathDecoding: 'preserve' }, stages: [{ stageName: '$default' }] }),
    ],
  });
});

describe('1.1 route keys', () => {
  const check = async (t, keys) => {
    const name = path.join(tempDir(t), 'x.json');
    fs.writeFileSync(name, JSON.stringify({ listeners: [{ address: '127.0.0.1:1' }], apis: [httpApi({ integrations: [which], routes: routes(...keys) })] }));
    return run(['check', name]);
  };
  const BAD = {
    'GET /hello/': /routeKey/,
    'get /hello': /routeKey/,
    'TRACE /hello': /routeKey/,
    'GET hello': /routeKey/,
    'GET /{a+}/b': /routeKey/,
    'GET /{}': /routeKey/,
    'GET /x{a}': /routeKey/,
    '/hello': /routeKey/,
  };
  for (const [bad, expected] of Object.entries(BAD)) {
    test(`1.1 refused: ${bad}`, async (t) => {
      const result = await check(t, [bad]);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, expected);
    });
  }
  for (const pair of [['GET /a', 'GET /a'], ['GET /a/{x}', 'GET /a/{y}'], ['ANY /{p+}', 'ANY /{q+}'], ['$default', '$default']]) {
    test(`1.1 refused as ambiguous: ${pair.join(' beside ')}`, async (t) => {
      const result = await check(t, pair);
      assert.equal(result.code, 1, result.output);
      assert.match(result.output, /routeKey/);
    });
  }
  test('1.1 every method, `/`, parameters and $default are accepted', async (t) => {
    const methods = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'ANY'];
    const result = await check(t, [...methods.map((m) => `${m} /m`), 'GET /', 'GET /a/{x}', 'POST /a/{y}', 'GET /b/{x}/{p+}', '$default']);
    assert.equal(result.code, 0, result.output);
  });
});

describe('1.2 the documented example', () => {
  const ROWS = [
    ['GET', '/pets/dog/1', 'GET /pets/dog/1'],
    ['GET', '/pets/dog/2', 'GET /pets/dog/{id}'],
    ['GET', '/pets/cat/1', 'GET /pets/{proxy+}'],
    ['POST', '/test/5', 'ANY /{proxy+}'],
    ['GET', '/', '$default'],
    ['PROPFIND', '/test', '$default'],
    ['POST', '/pets/dog/1', 'ANY /{proxy+}'],
    ['GET', '/pets', 'ANY /{proxy+}'],
    ['GET', '/pets/dog/1/2', 'GET /pets/{proxy+}'],
    ['GET', '/PETS/dog/1', 'ANY /{proxy+}'],
  ];
  for (const [method, where, expected] of ROWS) {
    test(`1.2 ${method} ${where} -> ${expected}, whatever the order of creation`, async () => {
      assert.equal(await key('pets', where, method), expected);
      assert.equal(await key('reversed', where, method), expected);
    });
  }
});

describe('1.2 precedence', () => {
  const ROWS = [
    ['a literal beats {name}, from left to right', 'bare', 'GET', '/a/b/c', 'GET /a/b/{y}'],
    ['{name} where the literal does not go on', 'bare', 'GET', '/a/x/c', 'GET /a/{x}/c'],
    ['the method itself beats ANY', 'any', 'GET', '/x', 'GET /x'],
    ['ANY for the others', 'any', 'PUT', '/x', 'ANY /x'],
    ['the method itself beats ANY on {name}', 'any', 'GET', '/y/1', 'GET /y/{id}'],
    ['a literal whose method does not fit is no candidate', 'any', 'GET', '/y/z', 'GET /y/{id}'],
    ['ANY of a less specific path serves the rest', 'any', 'PUT', '/y/z', 'ANY /y/{other}'],
    ['the literal with its method', 'any', 'POST', '/y/z', 'POST /y/z'],
    ['the method itself beats ANY on {name+}', 'any', 'GET', '/m/1/2', 'GET /m/{p+}'],
    ['ANY on {name+}', 'any', 'POST', '/m/1/2', 'ANY /m/{q+}'],
    ['ANY does not stand for other methods', 'any', 'PROPFIND', '/x', 404],
    ['the longer literal prefix wins among greedy routes', 'greedy', 'GET', '/a/b/c/d', 'GET /a/b/{p+}'],
    ['a greedy route of another method is no candidate', 'greedy', 'POST', '/a/b/c/d', 'POST /a/b/c/{p+}'],
    ['a greedy route behind a parameter', 'greedy', 'GET', '/a/z/c/d', 'GET /a/{x}/c/{p+}'],
    ['the shortest greedy route', 'greedy', 'GET', '/a/z/y', 'GET /a/{p+}'],
    ['a full match beats greedy ones', 'greedy', 'GET', '/a/b', 'GET /{x}/b'],
    ['a greedy variable needs a segment', 'greedy', 'GET', '/a', 404],
    ['HEAD is not derived from GET', 'bare', 'HEAD', '/head', 404],
    ['OPTIONS needs a route', 'bare', 'OPTIONS', '/hello', 404],
    ['paths are compared with case', 'bare', 'GET', '/case', 404],
    ['paths are compared with case, as written', 'bare', 'GET', '/Case', 'GET /Case'],
    ['$default takes a method that a path has not', 'default', 'POST', '/only', '$default'],
    ['$default takes OPTIONS', 'default', 'OPTIONS', '/only', '$default'],
    ['$default takes /', 'default', 'GET', '/', '$default'],
    ['a parameter is never empty', 'params', 'GET', '/v/', 404],
    ['a parameter in the middle is never empty', 'params', 'GET', '/w//end', 404],
    ['`/` alone', 'root', 'GET', '/', 'GET /'],
    ['`//` is not `/`', 'root', 'GET', '//', 404],
  ];
  for (const [title, name, method, where, expected] of ROWS) {
    test(`1.2 ${title}: ${method} ${where}`, async () => assert.equal(await key(name, where, method), expected));
  }

  test('1.2 methods are upper-case on the wire', async () => {
    assert.equal((await wire('bare', '/hello', 'get')).status, 404);
    assert.equal((await wire('default', '/only', 'get')).text, '$default');
  });

  test('1.2 HEAD through $default: the head of the answer, no body', async () => {
    const answer = await wire('default', '/only', 'HEAD');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-length'], '8');
    assert.equal(answer.text, '');
  });

  test('vector 3: an unknown path is 404 with CL 23 and an id', async () => {
    const answer = await ask('bare', '/unknown');
    assert.equal(answer.status, 404);
    assert.equal(answer.text, '{"message":"Not Found"}');
    assert.equal(answer.headers['content-length'], '23');
    assert.match(answer.headers['apigw-requestid'], /^[A-Za-z0-9_-]{15}=$/);
  });
});

describe('1.2 trailing slash', () => {
  const ROWS = [
    ['strict', 'bare', '/hello/', 404],
    ['ignore', 'lax', '/hello/', 'GET /hello'],
    ['ignore', 'lax', '/hello', 'GET /hello'],
    ['ignore, after a parameter', 'lax', '/v/1/', 'GET /v/{id}'],
    ['ignore, no second slash', 'lax', '/hello//', 404],
    ['ignore, a parameter is still never empty', 'lax', '/v/', 404],
    ['ignore, a greedy variable keeps it', 'lax', '/deep/a/', 'GET /deep/{p+}'],
  ];
  for (const [title, name, where, expected] of ROWS) {
    test(`1.2 trailing slash ${title}: ${where}`, async () => assert.equal(await key(name, where), expected));
  }
});

describe('1.2 trailing slash, delivered', () => {
  test('1.2 ignore: the path that is delivered keeps the slash, the parameter does not', async () => {
    fn.reset();
    await ask('lax', '/event/1/');
    assert.equal(fn.calls[0].event.rawPath, '/event/1/');
    assert.deepEqual(fn.calls[0].event.pathParameters, { id: '1' });
    await ask('lax', '/all/a/');
    assert.equal(backend.requests.at(-1).url, '/below/a/');
  });
});

describe('1.2 stages', () => {
  const ROWS = [
    ['the first segment names a stage', 'staged', '/prod/x', 'GET /x'],
    ['a stage beats a route of its name', 'staged', '/prod', 'GET /'],
    ['so the route below it needs the name twice', 'staged', '/prod/prod', 'GET /prod'],
    ['without a stage: $default', 'staged', '/x', 'GET /x'],
    ['`/` is $default', 'staged', '/', 'GET /'],
    ['a stage whose name has a dash', 'staged', '/pr-od/x', 'GET /x'],
    ['a stage with a slash behind it', 'staged', '/prod/', 'GET /'],
    ['stages are compared with case', 'staged', '/PROD/x', 404],
    ['no path names $default', 'staged', '/$default/x', 404],
    ['a stage, percent-encoded', 'staged', '/p%72od/x', 'GET /x'],
    ['two named stages', 'named', '/dev/x', 'GET /x'],
    ['no stage and no $default stage: 404, although there is a $default route', 'named', '/x', 404],
    ['no stage at `/`', 'named', '/', 404],
    ['an unknown stage', 'named', '/test/x', 404],
  ];
  for (const [title, name, where, expected] of ROWS) {
    test(`1.2 ${title}: ${where}`, async () => assert.equal(await key(name, where), expected));
  }

  test('vector 48, as section 12 decides it for v2: nothing is normalised, //prod/x names no stage', async () => {
    assert.equal(await key('staged', '//prod/x'), 404);
    const answer = await ask('seen', '//prod/x');
    assert.equal(answer.status, 200);
    assert.equal(backend.requests.at(-1).url, '//prod/x');
  });
});

describe('1.3 paths', () => {
  const REFUSED = ['/..', '/../x', '/a/../hello', '/hello/..', '/%2e%2e/x', '/.%2E/x', '/a/..%2fhello', '/a%2f..%2fhello', '/x%00y', '/a/%2e%2e'];
  for (const where of REFUSED) {
    for (const name of ['bare', 'default', 'seen', 'raw']) {
      test(`1.3 refused with 400 by "${name}": ${where}`, async () => {
        const before = backend.requests.length;
        const answer = await ask(name, where);
        assert.equal(answer.status, 400);
        assert.equal(answer.text, '{"message":"Bad Request"}');
        assert.equal(backend.requests.length, before);
      });
    }
  }

  const PASSED = ['/...', '/..a', '/a..', '/.', '/./x', '/a//b', '//', '/a/', '/a%2Fb', '/%zz', '/%', '/%4', '/a;b=c', '/a%3Fb', '/a%23b', '/a%25b', '/%E2%98%95', '/a+b', '/a%20b', "/!$&'()*,:@~-._"];
  for (const where of PASSED) {
    test(`1.3 not normalised, passed on as received: ${where}`, async () => {
      const answer = await ask('seen', `${where}?q=%20`);
      assert.equal(answer.status, 200);
      assert.equal(backend.requests.at(-1).url, `${where}?q=%20`);
    });
    if (where !== '//' && where !== '/.') {
      test(`1.3 in a greedy variable as received: ${where}`, async () => {
        await ask('seen', `/g${where}`);
        assert.equal(backend.requests.at(-1).url, `/below${where}`);
      });
    }
  }

  test('1.3 a parameter in the URI, and the query behind that of the URI', async () => {
    await ask('seen', '/i/a%2Fb%20c?x=1&x=2');
    assert.equal(backend.requests.at(-1).url, '/item/a%2Fb%20c?from=uri&x=1&x=2');
  });

  test('1.9 a greedy route whose variable is not in the URI: the URI as written, and the query', async () => {
    await ask('seen', '/fixed/a/b?x=1');
    assert.equal(backend.requests.at(-1).url, '/fixed?x=1');
  });

  test('1.3 a stage in the path is not part of a parameter', async () => {
    await ask('seen', '/prod/g/x/y');
    assert.equal(backend.requests.at(-1).url, '/below/x/y');
  });

  test('1.9 $default sends the whole path', async () => {
    await ask('seen', '/some/where?x');
    assert.equal(backend.requests.at(-1).url, '/some/where?x');
  });

  const UNREADABLE = { 'bytes beyond ASCII': '/caf\xc3\xa9', 'a control character': '/a\x01b', 'a fragment': '/hello#x', 'a target without a slash': 'hello' };
  for (const [what, target] of Object.entries(UNREADABLE)) {
    test(`1.3 refused with 400: ${what}`, async () => {
      const before = backend.requests.length;
      const answer = await wire('seen', target);
      assert.equal(answer.status, 400);
      assert.equal(answer.text, '{"message":"Bad Request"}');
      assert.equal(backend.requests.length, before);
    });
  }

  test('1.3 an absolute target is taken by its path', async () => {
    const answer = await wire('bare', 'http://bare.test/hello?x');
    assert.equal(answer.text, 'GET /hello');
  });

  test('1.3 `*` is no path: 400', async () => {
    const answer = await wire('default', '*', 'OPTIONS');
    assert.equal(answer.status, 400);
    assert.equal(answer.text, '{"message":"Bad Request"}');
  });
});

describe('1.3 what events show', () => {
  const event = async (name, where) => {
    fn.reset();
    const answer = await ask(name, where);
    assert.equal(answer.status, 200, answer.text);
    return fn.calls[0].event;
  };

  const DECODED = [
    ['/users/J%20D', '/users/J D'],
    ['/%E2%98%95', '/☕'],
    ['/a%2Fb', '/a/b'],
    ['/a%23b', '/a#b'],
    ['/a%25b', '/a%b'],
    ['/a%3Fb', '/a?b'],
    ['/test%2Balias@x', '/test+alias@x'],
    ['/a+b', '/a+b'],
    ['/a//b/', '/a//b/'],
  ];
  for (const [where, decoded] of DECODED) {
    test(`1.3 2.0: rawPath and http.path of ${where}`, async () => {
      const e = await event('seen', `/two${where}`);
      assert.equal(e.rawPath, `/two${decoded}`);
      assert.equal(e.requestContext.http.path, `/two${decoded}`);
      assert.equal(e.pathParameters.proxy, decoded.slice(1));
      assert.equal(e.routeKey, 'ANY /two/{proxy+}');
    });
    test(`1.3 1.0: path as received, requestContext.path decoded: ${where}`, async () => {
      const e = await event('seen', `/one${where}`);
      assert.equal(e.path, `/one${where}`);
      assert.equal(e.requestContext.path, `/one${decoded}`);
      assert.equal(e.pathParameters.proxy, decoded.slice(1));
    });
    test(`1.3 pathDecoding preserve: ${where}`, async () => {
      const e = await event('raw', `/two${where}`);
      assert.equal(e.rawPath, `/two${where}`);
    });
  }

  test('vector 8: a parameter is decoded, and so is rawPath', async () => {
    const e = await event('seen', '/two/p/test%2Balias@x');
    assert.equal(e.pathParameters.proxy, 'p/test+alias@x');
    assert.equal(e.rawPath, '/two/p/test+alias@x');
  });

  test('vector 9: ?tag=a&tag=b is a,b in 2.0; in 1.0 the last value, and all of them', async () => {
    const two = await event('seen', '/two/x?tag=a&tag=b');
    assert.equal(two.rawQueryString, 'tag=a&tag=b');
    assert.deepEqual(two.queryStringParameters, { tag: 'a,b' });
    const one = await event('seen', '/one/x?tag=a&tag=b');
    assert.deepEqual(one.queryStringParameters, { tag: 'b' });
    assert.deepEqual(one.multiValueQueryStringParameters, { tag: ['a', 'b'] });
  });

  test('1.3 rawQueryString is what came behind `?`; the parameters are decoded', async () => {
    const e = await event('seen', '/two/x?a=%20b+c&%C3%BC=1&flag&e=&x=%zz');
    assert.equal(e.rawQueryString, 'a=%20b+c&%C3%BC=1&flag&e=&x=%zz');
    assert.deepEqual(e.queryStringParameters, { a: ' b c', ü: '1', flag: '', e: '', x: '%zz' });
  });

  test('1.3 no query: rawQueryString is empty, no parameters', async () => {
    for (const where of ['/two/x', '/two/x?']) {
      const e = await event('seen', where);
      assert.equal(e.rawQueryString, '');
      assert.equal('queryStringParameters' in e, false);
    }
  });

  test('1.3 a named stage stands in rawPath, http.path and 1.0 path', async () => {
    const two = await event('seen', '/prod/two/x%20y');
    assert.equal(two.rawPath, '/prod/two/x y');
    assert.equal(two.requestContext.http.path, '/prod/two/x y');
    assert.equal(two.requestContext.stage, 'prod');
    assert.equal(two.pathParameters.proxy, 'x y');
    const one = await event('seen', '/prod/one/x%20y');
    assert.equal(one.path, '/prod/one/x%20y');
    assert.equal(one.requestContext.stage, 'prod');
  });

  test('1.3 in the $default stage the path is the path', async () => {
    const e = await event('seen', '/two/x');
    assert.equal(e.rawPath, '/two/x');
    assert.equal(e.requestContext.stage, '$default');
  });
});

describe('10,000 routes', () => {
  test('10,000 routes load and answer, each its own', async (t) => {
    const keys = [];
    for (let i = 0; i < 2500; i++) keys.push(`GET /lit/${i}`, `POST /lit/${i}`, `GET /par/${i}/{id}/x`, `ANY /greedy/${i}/{proxy+}`);
    const big = await startGateway(t, { apis: [httpApi({ integrations: [which], routes: routes(...keys) })] }, { readyTimeout: 60000 });
    const get = async (where, method = 'GET') => (await big.get(where, { method })).text;
    for (let i = 0; i < 2500; i += 83) {
      assert.equal(await get(`/lit/${i}`), `GET /lit/${i}`);
      assert.equal(await get(`/lit/${i}`, 'POST'), `POST /lit/${i}`);
      assert.equal(await get(`/par/${i}/7/x`), `GET /par/${i}/{id}/x`);
      assert.equal(await get(`/greedy/${i}/a/b`, 'PUT'), `ANY /greedy/${i}/{proxy+}`);
    }
    assert.equal(await get('/lit/2500'), '{"message":"Not Found"}');
    assert.equal(await get('/par/2499/7/y'), '{"message":"Not Found"}');
  });
});
