// What may be in the record of a load (lib/pushload.mjs) on a cluster with faults, whatever the faults were:
// - false 200: the client has not received the frame, though it stayed until the end, or until the gateway's close frame, behind
//   which nothing comes; or the push began when its client had already seen the connection end;
// - false 410: the connection was open, and was not closed within `fence` ms from the answer, or from the moment that its node, which
//   was stopped, could go on;
// - refused and yet received: the frame of a push that was answered 410 or 429;
// - order: of what one caller sent to one connection, one request after another, a later one was received before an earlier one,
//   or one twice; or a message was answered by another's answer;
// - missing and doubled $disconnects: not one for each connection that was open, more than one for whatever connected;
// - at home: 503 of a node that has the connection itself, where no gateway ended or was stopped: Redis has no part in these pushes;
// - exempt: $disconnects that are missing, where the gateway was killed no later than `window` ms after Redis had taken the row away:
//   the one thing that nobody can know of. They are counted, not passed over.
// - silent: messages without an answer on a connection that stayed;
// - other: statuses but 200, 410, 429, 503, or none where a gateway ended, or was stopped.
const EXPECTED = new Set([200, 410, 429, 503, 'none']);

// When the client can have known that the connection was over.
const over = (connection) => connection.closedAt ?? connection.endedAt ?? Infinity;
const leftBefore = ({ leftAt }, at) => leftAt !== undefined && leftAt < at;
// A client that goes without a word is known to be gone a little later than it knows itself.
const wordless = (connection) => connection.leftAt !== undefined && connection.closedAt === undefined;

function receiptsOf(connection) {
  connection.received ??= new Set(connection.receipts.map(({ stream, seq }) => `${stream} ${seq}`));
  return connection.received;
}

function outOfOrder(connection) {
  const last = new Map();
  let wrong = connection.oddities ?? 0;
  for (const { stream, seq } of connection.receipts) {
    wrong += seq <= (last.get(stream) ?? 0);
    last.set(stream, Math.max(seq, last.get(stream) ?? 0));
  }
  return wrong;
}

// wokeAt(gateway, at): when a gateway that was stopped at that time went on; `at` where it was not.
// lost(connection): whether its row went in that window.
export function judge({ connections, pushes, events, stoppedAt, fence, silent = false, wokeAt = (_, at) => at, lost = () => false }) {
  const exempt = [];
  const faults = { false200: [], false410: [], home: [], refused: [], order: [], missing: [], doubled: [], silent: [], other: [] };
  const counts = { pushes: pushes.length, 200: 0, 410: 0, 429: 0, 503: 0, none: 0 };
  for (const push of pushes) {
    const { status, connection, startedAt, endedAt } = push;
    counts[status] = (counts[status] ?? 0) + 1;
    const received = receiptsOf(connection).has(`${push.stream} ${push.seq}`);
    const stayed = (over(connection) >= stoppedAt && !leftBefore(connection, stoppedAt)) || connection.code !== undefined;
    if (!EXPECTED.has(status) || (status === 'none' && !silent)) faults.other.push(push);
    const known = wordless(connection) ? wokeAt(connection.gateway, connection.leftAt) + fence : over(connection);
    if (status === 200 && ((!received && stayed) || startedAt > known)) faults.false200.push(push);
    if (status === 410 && over(connection) > Math.max(endedAt, wokeAt(connection.gateway, endedAt)) + fence) faults.false410.push(push);
    if (status === 503 && !silent && push.gateway === connection.gateway) faults.home.push(push);
    if ((status === 410 || status === 429) && received) faults.refused.push(push);
  }
  const told = new Map();
  for (const { type, id } of events) if (type === 'DISCONNECT') told.set(id, (told.get(id) ?? 0) + 1);
  const byId = new Map(connections.map((connection) => [connection.id, connection]));
  for (const connection of connections) {
    if (connection.openedAt === undefined) continue;
    if (outOfOrder(connection)) faults.order.push(connection);
    if (!told.has(connection.id)) (lost(connection) ? exempt : faults.missing).push(connection);
    if (over(connection) >= stoppedAt && !leftBefore(connection, stoppedAt) && connection.answered < connection.sent) faults.silent.push(connection);
  }
  for (const [id, times] of told) if (times > 1) faults.doubled.push(byId.get(id) ?? { id });
  return { counts, faults, exempt };
}
