// A runtime that speaks the Lambda Invoke API, with handlers given by the test and a record of every call.
import http from 'node:http';
import https from 'node:https';
import { onEnd } from './scope.mjs';
import { DEADLINE, waitFor } from './wait.mjs';

const INVOKE = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(\?.*)?$/;

// Returned by a handler: the invoke response itself, for results that no runtime would produce.
export function raw({ status = 200, headers = {}, body = '' }) {
  return { rawInvoke: { status, headers, body } };
}

// Thrown by a handler: what a runtime reports for an exception with this message.
export function functionError(errorMessage, errorType = 'Error') {
  return raw({ headers: { 'X-Amz-Function-Error': 'Unhandled', 'Content-Type': 'application/json' }, body: JSON.stringify({ errorMessage, errorType }) });
}

// Returned by a handler: the connection is cut without an answer.
export const CUT = { cut: true };

class Lambda {
  constructor() {
    this.calls = [];
    this.handlers = new Map();
    this.bad = [];
  }

  // handler(event, call) -> result (or a promise of it). An exception becomes a function error.
  on(name, handler) {
    this.handlers.set(name, handler);
    return this;
  }

  get endpoint() {
    return `${this.tls ? 'https://localhost' : 'http://127.0.0.1'}:${this.port}`;
  }

  // The `functions` table of the configuration.
  table(...names) {
    return Object.fromEntries(names.map((name) => [name, { endpoint: this.endpoint }]));
  }

  filter(match) {
    return this.calls.filter(toPredicate(match));
  }

  count(match) {
    return this.filter(match).length;
  }

  // The first call that matches, waiting for it when it has not come yet. `match`: a predicate on {name, event}, an
  // eventType, or an object of requestContext members.
  async call(match, { timeout = DEADLINE } = {}) {
    const predicate = toPredicate(match);
    return waitFor(() => this.calls.find(predicate), { timeout, what: `a function call ${describe(match)}` });
  }

  async event(match, options) {
    return (await this.call(match, options)).event;
  }

  reset() {
    this.calls.length = 0;
  }

  async answer(req, res, body) {
    const found = INVOKE.exec(req.url);
    if (req.method !== 'POST' || !found) {
      this.bad.push(`${req.method} ${req.url}`);
      res.writeHead(404, { 'Content-Type': 'application/json' }).end('{"Message":"not an invoke call"}');
      return;
    }
    const name = decodeURIComponent(found[1]).replace(/^arn:aws:lambda:[^:]*:[^:]*:function:/, '');
    const call = { name, headers: req.headers, rawHeaders: req.rawHeaders, url: req.url, body, at: Date.now(), done: false };
    call.event = body.length ? JSON.parse(body.toString()) : undefined;
    call.closed = new Promise((resolve) => res.once('close', resolve));
    this.calls.push(call);
    const handler = this.handlers.get(name) ?? (() => ({ statusCode: 200 }));
    let result;
    try {
      result = await handler(call.event, call);
    } catch (error) {
      result = functionError(error.message, error.name);
    }
    call.done = true;
    call.doneAt = Date.now();
    if (res.destroyed) return;
    if (result === CUT) {
      req.socket.destroy();
      return;
    }
    const out = result?.rawInvoke ?? { status: 200, headers: { 'Content-Type': 'application/json' }, body: result === undefined ? 'null' : JSON.stringify(result) };
    const bytes = Buffer.from(out.body);
    res.writeHead(out.status, { 'X-Amzn-RequestId': '00000000-0000-4000-8000-000000000000', 'Content-Length': bytes.length, ...out.headers });
    res.end(bytes);
  }
}

function toPredicate(match) {
  if (typeof match === 'function') return match;
  if (typeof match === 'string') return (call) => call.event?.requestContext?.eventType === match;
  return (call) => Object.entries(match).every(([key, value]) => (key === 'name' ? call.name === value : call.event?.requestContext?.[key] === value));
}

function describe(match) {
  return typeof match === 'function' ? String(match) : JSON.stringify(match);
}

export async function startLambda(owner, handlers = {}, { port = 0, tls } = {}) {
  const fake = new Lambda();
  fake.tls = tls;
  for (const [name, handler] of Object.entries(handlers)) fake.on(name, handler);
  const server = (tls ? https : http).createServer({ keepAliveTimeout: 60000, ...tls }, (req, res) => {
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('error', () => {});
    req.on('end', () => fake.answer(req, res, Buffer.concat(chunks)));
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', 4096, resolve));
  fake.port = server.address().port;
  fake.close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  onEnd(owner, fake.close);
  return fake;
}

// The function of appApi(): accepts everything, and answers on two-way routes with the message itself.
export const echo = (event) => ({ statusCode: 200, body: event.body ?? '' });
