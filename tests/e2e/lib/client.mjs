// A WebSocket client on the package ws whose messages and end can be awaited.
import WebSocket from 'ws';
import { onEnd } from './scope.mjs';
import { DEADLINE, deferred, within } from './wait.mjs';

// The handshake was answered with something else than 101.
export class Refused extends Error {
  constructor(answer) {
    super(`handshake refused: ${answer.status} ${answer.text}`);
    Object.assign(this, answer);
  }

  json() {
    return JSON.parse(this.text);
  }
}

export class Client {
  constructor(ws) {
    this.ws = ws;
    this.messages = [];
    this.waiting = [];
    this.pings = [];
    this.end = deferred();
    this.closed = this.end.promise;
    ws.on('message', (data, binary) => this.take(binary ? data : data.toString()));
    ws.on('ping', (data) => this.pings.push(data));
    ws.on('close', (code, reason) => {
      this.over = new Error(`connection closed: ${code} ${reason}`);
      this.end.resolve({ code, reason: reason.toString() });
      for (const waiter of this.waiting.splice(0)) waiter.reject(this.over);
    });
  }

  take(message) {
    const waiter = this.waiting.shift();
    if (waiter) waiter.resolve(message);
    else this.messages.push(message);
  }

  // The next message, in order of arrival.
  next(timeout = DEADLINE) {
    if (this.messages.length) return Promise.resolve(this.messages.shift());
    if (this.over) return Promise.reject(this.over);
    const waiter = deferred();
    this.waiting.push(waiter);
    return within(waiter.promise, 'a message', timeout);
  }

  async nextJson(timeout) {
    return JSON.parse(await this.next(timeout));
  }

  send(data, options) {
    const text = typeof data === 'string' || Buffer.isBuffer(data) ? data : JSON.stringify(data);
    this.ws.send(text, options);
  }

  // Sends on a two-way route and returns the reply.
  async ask(data, timeout) {
    this.send(data);
    return this.next(timeout);
  }

  ping(data = '') {
    const answer = deferred();
    this.ws.once('pong', answer.resolve);
    this.ws.ping(data);
    return within(answer.promise, 'a pong');
  }

  // Closes from this side and waits for the end: {code, reason} of the gateway's close frame.
  close(code, reason) {
    this.ws.close(code, reason);
    return this.ended();
  }

  // Waits for the end, whoever closes.
  ended(timeout) {
    return within(this.closed, 'the connection to close', timeout);
  }

  // Cuts TCP without a close frame.
  cut() {
    this.ws.terminate();
  }
}

// Opens a connection. Throws Refused when the answer is not 101. Options as for ws, and `protocols`.
export async function dial(owner, url, { protocols = [], timeout = DEADLINE, ...options } = {}) {
  const ws = new WebSocket(url, protocols, { perMessageDeflate: false, handshakeTimeout: timeout, ...options });
  const opened = deferred();
  const client = new Client(ws);
  ws.on('upgrade', (res) => {
    client.response = res;
  });
  ws.on('open', () => opened.resolve());
  ws.on('error', (error) => {
    client.error = error;
    opened.reject(error);
  });
  ws.on('unexpected-response', (req, res) => {
    const chunks = [];
    res.on('data', (chunk) => chunks.push(chunk));
    res.on('end', () => {
      const body = Buffer.concat(chunks);
      opened.reject(new Refused({ status: res.statusCode, headers: res.headers, rawHeaders: res.rawHeaders, body, text: body.toString() }));
      req.destroy();
    });
  });
  onEnd(owner, () => ws.terminate());
  await within(opened.promise, `the handshake with ${url}`, timeout);
  return client;
}

// The refusal of a handshake; a connection that opens is an error.
export async function refused(owner, url, options) {
  let client;
  try {
    client = await dial(owner, url, options);
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  client.cut();
  throw new Error(`handshake with ${url} was accepted`);
}

let serial = 0;

// Opens a connection through an API whose $connect is a function, and finds its CONNECT event by a query parameter of
// its own: the result has id and connectEvent.
export async function join(owner, gateway, lambda, { stage = 'prod', query = '', ...options } = {}) {
  const tag = `t${++serial}-${process.pid}`;
  const client = await dial(owner, gateway.url(`/${stage}?tag=${tag}${query ? `&${query}` : ''}`), options);
  const call = await lambda.call((c) => c.event?.type !== 'REQUEST' && c.event?.queryStringParameters?.tag === tag);
  client.tag = tag;
  client.connectEvent = call.event;
  client.connectCall = call;
  client.id = call.event.requestContext.connectionId;
  return client;
}
