// A load on a cluster, and the record of it: clients on every node that send messages and note what they receive, and callers
// that push to all of them through every node. Raw sockets, so that one process keeps up with three gateways. What is done when
// and to whom comes from a seed; lib/verdict.mjs says what may be in the record.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { closeFrame, frame, upgradeRequest } from './raw.mjs';
import { onEnd } from './scope.mjs';
import { seeded } from './seeded.mjs';
import { waitFor } from './wait.mjs';

export const now = () => performance.now();

// Records events, and answers a message with itself. events: [{type, id, at}], with address and node where these are sent along.
export async function startEvents(owner) {
  const events = [];
  const byTag = new Map();
  const server = http.createServer({ keepAliveTimeout: 60000 }, (req, res) => {
    const { 'x-type': type, 'x-id': id, 'x-tag': tag, 'x-address': address, 'x-node': node } = req.headers;
    let body = '';
    req.setEncoding('utf8');
    req.on('data', (text) => (body += text));
    req.on('error', () => {});
    req.on('end', () => {
      if (type !== 'MESSAGE') events.push({ type, id, at: now(), address, node });
      if (type === 'CONNECT') byTag.set(tag, id);
      const answer = type === 'MESSAGE' ? body : '';
      res.writeHead(200, ['Content-Type', 'text/plain', 'Content-Length', String(Buffer.byteLength(answer))]).end(answer);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
  onEnd(owner, () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    }),
  );
  return { url: `http://127.0.0.1:${server.address().port}/`, events, byTag };
}

// One connection of a client, from its handshake to its end.
export class Connection {
  constructor(load, slot, gateway) {
    Object.assign(this, { load, slot, gateway, tag: randomBytes(9).toString('hex'), receipts: [], sent: 0, answered: 0, buffer: Buffer.alloc(0) });
    this.socket = net.connect({ port: gateway.port, host: '127.0.0.1', localAddress: slot.address });
    this.socket.setNoDelay(true);
    this.socket.on('connect', () => this.socket.write(upgradeRequest({ path: `/prod?tag=${this.tag}` })));
    this.socket.on('data', (data) => {
      this.buffer = this.buffer.length ? Buffer.concat([this.buffer, data]) : data;
      this.read();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.end());
  }

  get open() {
    return this.openedAt !== undefined && this.endedAt === undefined;
  }

  read() {
    if (this.openedAt === undefined) {
      const end = this.buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!this.buffer.toString('latin1', 0, 12).endsWith(' 101')) {
        this.refused = Number(this.buffer.toString('latin1', 9, 12));
        this.socket.destroy();
        return;
      }
      this.buffer = this.buffer.subarray(end + 4);
      this.id = this.load.events.byTag.get(this.tag);
      this.openedAt = now();
      this.load.opened(this);
    }
    let at = 0;
    for (;;) {
      const left = this.buffer.length - at;
      const size = left > 1 ? this.buffer[at + 1] : 0;
      if (left < 2 || size > 125 || left < 2 + size) break;
      this.take(this.buffer[at] & 15, this.buffer.subarray(at + 2, at + 2 + size));
      at += 2 + size;
    }
    this.buffer = this.buffer.subarray(at);
  }

  take(opcode, payload) {
    if (opcode === 8) {
      this.code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.closedAt = now();
      if (!this.byUs) this.socket.end(closeFrame(this.code));
    } else if (opcode === 1) {
      const [kind, ...words] = payload.toString('latin1').split(' ');
      if (kind === 'push') this.receipts.push({ stream: words[0], seq: Number(words[1]) });
      else if (kind === 'message') this.replied(Number(words[0]));
      else this.oddities = (this.oddities ?? 0) + 1; // an error frame among them
    }
  }

  // One message at a time, the next when it has been answered.
  say() {
    if (!this.open || this.byUs || this.closedAt !== undefined || this.sent > this.answered) return;
    this.sent += 1;
    this.socket.write(frame({ payload: `message ${this.sent}` }));
  }

  replied(number) {
    if (number !== this.sent) this.oddities = (this.oddities ?? 0) + 1;
    this.answered = number;
  }

  // The client's own end of it: a close frame, or none.
  leave(politely) {
    if (this.closedAt !== undefined) return; // by the gateway
    this.byUs = true;
    this.leftAt = now();
    if (politely) this.socket.end(closeFrame(1000));
    else this.socket.destroy();
  }

  end() {
    if (this.endedAt !== undefined) return;
    this.endedAt = now();
    this.load.ended(this);
  }
}

// A keep-alive connection of a caller to one gateway.
class Wire {
  constructor(gateway) {
    this.gateway = gateway;
    this.gone = false; // a new one is needed
    this.text = '';
    this.socket = net.connect(gateway.port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.setEncoding('latin1');
    this.socket.on('data', (data) => this.read(data));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.gone = true;
      this.done?.('none');
    });
  }

  // The status, or 'none' where the connection ended, or said nothing, instead.
  post(id, body, timeout) {
    const head = `POST /prod/@connections/${encodeURIComponent(id)} HTTP/1.1\r\nHost: ${this.gateway.host}\r\nContent-Length: ${body.length}\r\n\r\n`;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.socket.destroy(), timeout);
      this.done = (status) => {
        this.done = undefined;
        clearTimeout(timer);
        resolve(status);
      };
      if (this.gone) this.done('none');
      else this.socket.write(head + body);
    });
  }

  read(data) {
    this.text += data;
    const end = this.text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(this.text)?.[1] ?? 0);
    if (this.text.length < end + 4 + length) return;
    const status = Number(this.text.slice(9, 12));
    this.text = this.text.slice(end + 4 + length);
    if (/^connection: *close/im.test(data)) this.gone = true;
    this.done?.(status);
  }
}

const COMES_BACK_MS = 500; // a client that went by itself
const REDIAL_MS = 50; // a client that was refused, and a gateway that does not answer a caller

export class Load {
  // leavers: how many of the slots' clients go by themselves, each `stay` ms after it came, [least, most], for the next to come.
  // gateways: an array that may change; each has host and port. slots: clients. callers: every second one goes to the node that has
  // the connection, so that there are pushes when nodes do not reach one another; the others to any. pace: ms between the pushes of
  // a caller, on the average; a client sends a message in the time of four.
  constructor(owner, { seed, gateways, events, slots = 24, callers = 8, pace = 20, timeout = 8000, leavers = 0, stay = [100, 1000] }) {
    Object.assign(this, { seed, gateways, events, pace, timeout, leavers, stay });
    this.connections = []; // every one that there was
    this.pushes = []; // {stream, seq, connection, gateway, startedAt, endedAt, status}
    this.slots = Array.from({ length: slots }, (_, number) => ({ number, random: seeded(seed, `slot ${number}`), redials: 0 }));
    this.callers = Array.from({ length: callers }, (_, number) => ({ number, random: seeded(seed, `caller ${number}`), epoch: 0, seqs: new Map(), wires: new Map(), away: new Map() }));
    onEnd(owner, () => this.cut());
  }

  start() {
    this.running = true;
    for (const slot of this.slots) this.dial(slot);
    this.lanes = Promise.all([...this.callers.map((caller) => this.call(caller)), ...this.slots.map((slot) => this.talk(slot))]);
  }

  // Clients.

  dial(slot) {
    const gateway = this.gateways[(slot.number + slot.redials++) % this.gateways.length];
    slot.dialled = new Connection(this, slot, gateway);
    this.connections.push(slot.dialled);
  }

  opened(connection) {
    const { slot } = connection;
    slot.current = connection; // until the next is open, callers push to the one that has ended
    if (slot.number >= this.leavers) return;
    const politely = slot.random.below(2) === 0;
    setTimeout(() => this.running && connection.endedAt === undefined && connection.leave(politely), slot.random.between(...this.stay));
  }

  ended(connection) {
    if (this.running && connection.slot.dialled === connection) setTimeout(() => this.running && this.dial(connection.slot), REDIAL_MS);
  }

  async talk(slot) {
    while (this.running) {
      await pause(slot.random.between(0, 8 * this.pace));
      if (this.running) slot.current?.say();
    }
  }

  allOpen() {
    const comesBack = ({ leftAt }) => leftAt !== undefined && now() - leftAt < COMES_BACK_MS;
    return this.slots.every(({ current }) => current?.open || (current && comesBack(current)));
  }

  // Callers.

  async call(caller) {
    while (this.running) {
      await pause(caller.random.between(0, 2 * this.pace));
      const slot = caller.random.pick(this.slots);
      const first = caller.random.below(this.gateways.length);
      const { current } = slot;
      if (!this.running || !current) continue;
      const wire = caller.number % 2 ? this.wire(caller, first) : this.wire(caller, this.gateways.findIndex(({ port }) => port === current.gateway.port));
      if (wire) await this.push(caller, current, wire);
    }
  }

  // To this gateway, or the next one that is not known to be away.
  wire(caller, first) {
    for (let i = 0; i < this.gateways.length; i++) {
      const gateway = this.gateways[(first + i) % this.gateways.length];
      if ((caller.away.get(gateway.port) ?? 0) > now()) continue;
      if (caller.wires.get(gateway.port)?.gone ?? true) caller.wires.set(gateway.port, new Wire(gateway));
      return caller.wires.get(gateway.port);
    }
    return undefined;
  }

  // What one caller sends to one connection is a stream, as long as each push is answered: who was not answered cannot know what
  // came of it, and begins another.
  async push(caller, connection, wire) {
    const stream = `${caller.number}.${caller.epoch}`;
    const key = `${stream} ${connection.id}`;
    const seq = (caller.seqs.get(key) ?? 0) + 1;
    caller.seqs.set(key, seq);
    const push = { stream, seq, connection, gateway: wire.gateway, startedAt: now() };
    this.pushes.push(push);
    push.status = await wire.post(connection.id, `push ${stream} ${seq}`, this.timeout);
    push.endedAt = now();
    if (push.status === 'none') {
      caller.epoch += 1;
      caller.away.set(wire.gateway.port, now() + REDIAL_MS);
    }
  }

  // When the last push began that was answered neither 200 nor 410; -Infinity: there was none.
  lastTrouble() {
    return this.pushes.reduce((last, { status, startedAt }) => (status === 200 || status === 410 || status === undefined ? last : Math.max(last, startedAt)), -Infinity);
  }

  // No more pushes, messages and dials; what is under way is waited for.
  async stop() {
    this.running = false;
    await this.lanes;
    const answered = () => this.slots.every(({ current }) => !current?.open || current.answered === current.sent);
    const received = () => this.pushes.every(({ status, connection, stream, seq }) => status !== 200 || !connection.open || connection.receipts.some((r) => r.stream === stream && r.seq === seq));
    await waitFor(() => answered() && received(), { timeout: 20000, interval: 50, what: 'what is on its way to clients' }).catch(() => {}); // a verdict follows
    this.stoppedAt = now();
    for (const { dialled, current } of this.slots) if (dialled !== current) dialled.socket.destroy();
  }

  // The clients that are still there go, one half with a close frame.
  leave() {
    for (const { number, current } of this.slots) if (current?.open) current.leave(number % 2 === 0);
  }

  cut() {
    this.running = false;
    for (const { socket } of this.connections) socket.destroy();
    for (const { wires } of this.callers) for (const { socket } of wires.values()) socket.destroy();
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
