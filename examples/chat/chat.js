// The back end of a chat. The gateway holds the WebSocket connections and calls this plain HTTP server for each event of
// them; to speak to a connection, the server posts to the gateway with the AWS SDK, which is the unmodified one.
'use strict';
const http = require('node:http');
const { ApiGatewayManagementApiClient, PostToConnectionCommand } = require('@aws-sdk/client-apigatewaymanagementapi');

const HOST = process.env.BACKEND_HOST || '127.0.0.1'; // 0.0.0.0 in a container
const port = Number(process.env.BACKEND_PORT || 9000);
const gateway = process.env.GATEWAY || `ws://127.0.0.1:${process.env.GATEWAY_PORT || 8080}/prod`;

// The credentials are those of tidegate.yaml.
const management = new ApiGatewayManagementApiClient({
  endpoint: gateway.replace(/^ws/, 'http'),
  region: 'us-east-1',
  credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
});

const people = new Map(); // connection id -> { name, sent: the last push, so that pushes keep their order }
const history = []; // the last messages, for who joins later

function push(id, event) {
  const person = people.get(id);
  const command = new PostToConnectionCommand({ ConnectionId: id, Data: JSON.stringify(event) });
  person.sent = person.sent.then(() => management.send(command)).catch((error) => {
    if (error.name === 'GoneException') {
      leave(id); // it went away and its $disconnect was lost
    } else {
      console.error(`cannot push to ${id}: ${error.name}: ${error.message}`);
    }
  });
}

function pushToAll(event) {
  for (const [id, person] of people) {
    if (person.name) push(id, event);
  }
}

const names = () => [...people.values()].map((person) => person.name).filter(Boolean).sort();

function leave(id) {
  const person = people.get(id);
  if (people.delete(id) && person.name) pushToAll({ type: 'left', name: person.name, people: names() });
}

const text = (value, limit) => (typeof value === 'string' ? value.trim().slice(0, limit) : '');

// The name that the person gets: the one asked for, with a number when somebody else has it.
function take(person, wanted) {
  const base = text(wanted, 40) || person.name || 'Somebody';
  const others = [...people.values()].filter((other) => other !== person).map((other) => other.name);
  person.name = base;
  for (let number = 2; others.includes(person.name); number++) person.name = `${base} ${number}`;
  return person.name;
}

// One function a route. What it returns answers the route's own caller, if tidegate.yaml makes the route two-way.
const routes = {
  $connect() {}, // nothing can be pushed before this has answered
  $disconnect: leave,
  join(id, message) {
    const name = take(people.get(id), message.name);
    pushToAll({ type: 'joined', name, people: names() });
    return { type: 'welcome', name, people: names(), history };
  },
  setName(id, message) {
    const person = people.get(id);
    const before = person.name;
    const name = take(person, message.name);
    if (name !== before) pushToAll({ type: 'renamed', before, name, people: names() });
  },
  sendMessage(id, message) {
    const person = people.get(id);
    const said = { type: 'message', name: person.name || take(person), text: text(message.text, 2000), at: Date.now() };
    if (!said.text) return;
    history.push(said);
    history.splice(0, history.length - 50);
    pushToAll(said);
  },
  $default(id) {
    push(id, { type: 'error', text: 'Unknown action' });
  },
};

// HTTP_PROXY hands on the bare message. Which connection, route and event it belongs to stand in the headers that
// tidegate.yaml maps.
const backEnd = http.createServer(async (request, response) => {
  const { connectionid: id, routekey: route, eventtype: event } = request.headers;
  const reply = (status, body) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
  try {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    if (!id || !Object.hasOwn(routes, route)) return reply(400, '{"message":"no connectionId or routeKey header"}');
    // After a restart of this server its connections live on in the gateway: whoever speaks is there.
    if (event !== 'DISCONNECT' && !people.has(id)) people.set(id, { name: '', sent: Promise.resolve() });
    const message = event === 'MESSAGE' && route !== '$default' ? JSON.parse(body) : {};
    const result = routes[route](id, message);
    reply(200, result ? JSON.stringify(result) : '');
  } catch (error) {
    console.error(`${route} of ${id}: ${error.message}`);
    reply(500, '{"message":"failed"}');
  }
});

function start() {
  return new Promise((resolve, reject) => {
    const taken = `Port ${port}, for the chat's back end, is taken: end what has it, or choose another with BACKEND_PORT=PORT.`;
    backEnd.once('error', (error) => reject(error.code === 'EADDRINUSE' ? new Error(taken) : error));
    backEnd.listen(port, HOST, resolve);
  });
}

function stop() {
  backEnd.close();
  backEnd.closeAllConnections();
  management.destroy();
}

module.exports = { start, stop };

if (require.main === module) {
  start().then(
    () => console.log(`The back end of ${gateway} listens on port ${port}.`),
    (error) => { console.error(error.message); process.exit(1); },
  );
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { stop(); process.exit(0); });
}
