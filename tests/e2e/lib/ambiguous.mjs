// Requests that two readers may read in two ways. In `bytes`, ~ stands for the path of the case, which only that case uses.
//
// `us`: what the gateway makes of the bytes: the `status` of its first answer (one of a list), and what the back end has `seen` in
// the end, in order, as 'METHOD ~/path body'. `gone`: fields that must not arrive there.
const refused = (...status) => ({ status, seen: [] });
const REFUSED = refused(400);
const NOT_DONE = refused(501);
const CODING = refused(400, 501);
const seen = (...requests) => ({ status: [200], seen: requests });
const NO_PATH = { status: [400, 404], seen: ['GET ~/end'] }; // the framing is right: the connection goes on

const SMUGGLED = 'GET ~/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const END = 'GET ~/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
const SEEN_END = 'GET ~/end';

const post = (fields, body, line = 'POST ~/a HTTP/1.1') => `${line}\r\nHost: x\r\n${fields}\r\n\r\n${body}`;
const get = (fields, line = 'GET ~/a HTTP/1.1') => `${line}\r\nHost: x\r\n${fields}${fields ? '\r\n' : ''}\r\n`;

// The path of a case is put in later, and is as long as this says.
export const PATH_LEN = 6;
const long = (text) => text.replaceAll('~', '~'.repeat(PATH_LEN));
const length = (text) => long(text).length;

// By Content-Length one request with a body, by Transfer-Encoding a second one behind an empty body.
const LENGTH_HIDES = `0\r\n\r\n${SMUGGLED}`;
const both = (coding) => post(`Content-Length: ${length(LENGTH_HIDES)}\r\n${coding}`, LENGTH_HIDES + END);
// By Transfer-Encoding one request whose body is the second, by Content-Length a short body and the second one.
const CHUNK_HIDES = `${length(SMUGGLED).toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
const other = (coding) => post(`${coding}\r\nContent-Length: ${length(SMUGGLED).toString(16).length + 2}`, CHUNK_HIDES + END);

const cases = [];
const add = (name, bytes, us, gone) => cases.push({ name, bytes, us, gone });
const show = (text) => JSON.stringify(text).slice(1, -1);

// ---- Content-Length against Transfer-Encoding ----
for (const value of ['chunked', 'Chunked', ' \tchunked ', 'xchunked', 'chunked, identity', 'identity, chunked', 'identity', 'gzip, chunked', 'chunked, chunked', '"chunked"', 'chunked;q=1', 'chunked\x0b', '\x0bchunked', 'chunk', '', ',chunked', 'chunked,', 'chunked\x00', 'chunked\xa0']) {
  add(`Content-Length, then Transfer-Encoding: ${show(value)}`, both(`Transfer-Encoding: ${value}`), CODING);
}
for (const value of ['chunked', 'CHUNKED', 'cow']) add(`Transfer-Encoding: ${value}, then Content-Length`, other(`Transfer-Encoding: ${value}`), CODING);
for (const [name, lines] of Object.entries({
  'a blank before the colon': 'Transfer-Encoding : chunked',
  'a tab before the colon': 'Transfer-Encoding\t: chunked',
  'a blank before the name': ' Transfer-Encoding: chunked',
  'a folded value': 'Transfer-Encoding:\r\n chunked',
  'a bare LF before it': 'X: y\nTransfer-Encoding: chunked',
  'a bare CR before it': 'X: y\rTransfer-Encoding: chunked',
  'NUL in its name': 'Transfer-Encoding\x00: chunked',
  'a blank in its name': 'Transfer Encoding: chunked',
  'two of it': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow',
  'two of it, the other way round': 'Transfer-Encoding: cow\r\nTransfer-Encoding: chunked',
  'a lower-case name': 'transfer-encoding: chunked',
})) {
  add(`Content-Length and Transfer-Encoding: ${name}`, both(lines), CODING);
}
add('Content-Length and Transfer_Encoding', both('Transfer_Encoding: chunked'), seen(`POST ~/a ${LENGTH_HIDES}`, SEEN_END), ['transfer_encoding']);
add('Transfer-Encoding in HTTP/1.0', post('Transfer-Encoding: chunked', `0\r\n\r\n${SMUGGLED}`, 'POST ~/a HTTP/1.0'), REFUSED);
add('Transfer-Encoding: gzip, chunked', post('Transfer-Encoding: gzip, chunked', `0\r\n\r\n${END}`), NOT_DONE);
add('Transfer-Encoding: identity', post('Transfer-Encoding: identity', SMUGGLED), NOT_DONE);
add('Transfer-Encoding: chunked, cow', post('Transfer-Encoding: chunked, cow', `0\r\n\r\n${SMUGGLED}`), REFUSED);
add('Transfer-Encoding with GET', `GET ~/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNK_HIDES}${END}`, seen(`GET ~/a ${SMUGGLED}`, SEEN_END));

// ---- Content-Length ----
for (const value of ['+5', '-5', '0x5', '5 5', '', '5, 5', '5,6', '5;', '5\x0b', '99999999999999999999', '18446744073709551621', '5.0', '1e1', '5_0', "'5'", '\xb5']) {
  add(`Content-Length: ${show(value)}`, post(`Content-Length: ${value}`, `hello${SMUGGLED}`), REFUSED);
}
add('two equal Content-Lengths', post('Content-Length: 5\r\nContent-Length: 5', `hello${END}`), REFUSED);
add('two different Content-Lengths', post(`Content-Length: 5\r\nContent-Length: ${5 + length(SMUGGLED)}`, `hello${SMUGGLED}${END}`), REFUSED);
add('two different Content-Lengths, the longer first', post(`Content-Length: ${5 + length(SMUGGLED)}\r\nContent-Length: 5`, `hello${SMUGGLED}${END}`), REFUSED);
add('a blank before the colon of Content-Length', post(`Content-Length : ${length(SMUGGLED)}`, SMUGGLED + END), REFUSED);
add('Content_Length', get(`Content_Length: ${length(SMUGGLED)}`) + SMUGGLED + END, seen('GET ~/a', 'GET ~/smuggled', SEEN_END), ['content_length']);
add('Content-Length with blanks around', post(`Content-Length: \t ${length(SMUGGLED)} `, SMUGGLED + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END));
add('Content-Length with GET', get(`Content-Length: ${length(SMUGGLED)}`) + SMUGGLED + END, seen(`GET ~/a ${SMUGGLED}`, SEEN_END));
add('Content-Length with HEAD', get(`Content-Length: ${length(SMUGGLED)}`, 'HEAD ~/a HTTP/1.1') + SMUGGLED + END, seen(`HEAD ~/a ${SMUGGLED}`, SEEN_END));
add('Content-Length with OPTIONS', get(`Content-Length: ${length(SMUGGLED)}`, 'OPTIONS ~/a HTTP/1.1') + SMUGGLED + END, seen(`OPTIONS ~/a ${SMUGGLED}`, SEEN_END));
add('a body longer than its Content-Length', post('Content-Length: 3', `hello${END}`), seen('POST ~/a hel', `loGET ~/end`));

// ---- chunks ----
const chunked = (body) => post('Transfer-Encoding: chunked', body);
for (const size of ['0x5', '+5', '-5', ' 5', '', 'g', '5\x00', '5\x0b', '5,', '10000000000000005', '00000000000000005', '5\r', '5;a="\x01"', '5 ']) {
  add(`chunk size ${show(size)}`, chunked(`${size}\r\nhello\r\n0\r\n\r\n${SMUGGLED}`), REFUSED);
}
add('chunk size before a bare LF', chunked(`5\nhello\r\n0\r\n\r\n${SMUGGLED}`), REFUSED);
add('a chunk extension before a bare LF', chunked(`5;x\nhello\r\n0\r\n\r\n${SMUGGLED}`), REFUSED);
add('a chunk without a line end', chunked(`5\r\nhello0\r\n\r\n${SMUGGLED}`), REFUSED);
add('a chunk before a bare LF', chunked(`5\r\nhello\n0\r\n\r\n${SMUGGLED}`), REFUSED);
add('a chunk before two other bytes', chunked(`5\r\nhelloXX0\r\n\r\n${SMUGGLED}`), REFUSED);
add('a last chunk before a bare LF', chunked(`5\r\nhello\r\n0\n\n${SMUGGLED}`), REFUSED);
add('chunk extensions', chunked(`5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n${END}`), seen('POST ~/a hello', SEEN_END));
add('a last chunk of many zeros', chunked(`5\r\nhello\r\n0000\r\n\r\n${END}`), seen('POST ~/a hello', SEEN_END));
add('a trailer Content-Length', chunked(`5\r\nhello\r\n0\r\nContent-Length: ${length(END)}\r\n\r\n${END}`), seen('POST ~/a hello', SEEN_END));
add('trailers Transfer-Encoding, Host and X-Real', chunked(`5\r\nhello\r\n0\r\nTransfer-Encoding: cow\r\nHost: y\r\nX-Real: 1\r\n\r\n${END}`), seen('POST ~/a hello', SEEN_END), ['x-real']);
add('a trailer without a colon', chunked(`5\r\nhello\r\n0\r\n${SMUGGLED}`), REFUSED);
add('a trailer before a bare LF', chunked(`5\r\nhello\r\n0\r\nX: y\n\r\n${SMUGGLED}`), REFUSED);
add('a folded trailer', chunked(`5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n${SMUGGLED}`), REFUSED);
add('requests as data of chunks', chunked(CHUNK_HIDES + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END));

// ---- lines and fields ----
for (const [name, bytes] of Object.entries({
  'bare LF everywhere': 'GET ~/a HTTP/1.1\nHost: x\n\n',
  'a bare LF as empty line': 'GET ~/a HTTP/1.1\r\nHost: x\r\n\n',
  'a bare CR as line end': 'GET ~/a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n',
  'a folded field': get('X: y\r\n\tz'),
  'a folded first field': 'GET ~/a HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n',
  'a blank before the colon': get('X : y'),
  'NUL in a value': get('X: y\x00z'),
  'NUL in a name': get('X\x00Y: z'),
  'a line without a colon': get('GET ~/smuggled HTTP/1.1'),
  'an empty name': get(': y'),
  'a name in UTF-8': get('X\xc3\xa9: y'),
  'brackets in a name': get('X[1]: y'),
  'two Hosts': get('Host: y'),
  'no Host': 'GET ~/a HTTP/1.1\r\nX: y\r\n\r\n',
  'a Host with a path': 'GET ~/a HTTP/1.1\r\nHost: x/~/smuggled\r\n\r\n',
  'a Host with a user': 'GET ~/a HTTP/1.1\r\nHost: a@b\r\n\r\n',
  'a Host of two': 'GET ~/a HTTP/1.1\r\nHost: a, b\r\n\r\n',
  'a blank before Host': 'GET ~/a HTTP/1.1\r\n Host: y\r\nHost: x\r\n\r\n',
  'two blanks in the request line': get('', 'GET  ~/a HTTP/1.1'),
  'a tab in the request line': get('', 'GET\t~/a HTTP/1.1'),
  'a blank in the target': get('', 'GET ~/a b HTTP/1.1'),
  'a blank behind the version': get('', 'GET ~/a HTTP/1.1 '),
  'a lower-case version': get('', 'GET ~/a http/1.1'),
  'a version of three parts': get('', 'GET ~/a HTTP/1.1.1'),
  'no version': 'GET ~/a\r\n\r\n',
  'a fragment': get('', 'GET ~/a#b HTTP/1.1'),
  'bytes beyond ASCII in the target': get('', 'GET ~/\xc3\xa9 HTTP/1.1'),
  'NUL in the target': get('', 'GET ~/a\x00b HTTP/1.1'),
  'a control character in the method': get('', 'G\x01T ~/a HTTP/1.1'),
  'two empty lines first': `\r\n\r\n${get('')}`,
  'a bare LF first': `\n${get('')}`,
  'an absolute target with a user': get('', 'GET http://u@y~/a HTTP/1.1'),
  'an absolute target of another scheme': get('', 'GET ftp://y~/a HTTP/1.1'),
  'an absolute target without a host': get('', 'GET http://~/a HTTP/1.1'),
  'a target without a slash': get('', 'GET a~ HTTP/1.1'),
})) {
  add(name, `${bytes}${SMUGGLED}${END}`, REFUSED);
}
add('HTTP/2.0 in the line', get('', 'GET ~/a HTTP/2.0') + END, refused(505));
add('one empty line first', `\r\n${get('')}${END}`, seen('GET ~/a', SEEN_END));
add('an absolute target and another Host', get('', 'GET http://y~/a?q HTTP/1.1') + END, seen('GET ~/a?q', SEEN_END));
add('an absolute target of https', get('', 'GET HTTPS://y:1~/a HTTP/1.1') + END, seen('GET ~/a', SEEN_END));
add('underscores in names', get('X_Real: 1\r\nX_Forwarded_For: 6.6.6.6\r\nContent_Type: a') + END, seen('GET ~/a', SEEN_END), ['x_forwarded_for']);
add('an unknown method', get('', 'SMUGGLE ~/a HTTP/1.1') + END, seen('SMUGGLE ~/a', SEEN_END));
add('a method in lower case', get('', 'get ~/a HTTP/1.1') + END, seen('get ~/a', SEEN_END));

// ---- paths ----
for (const path of ['..', '../b', 'b/../c', '%2e%2e/b', '.%2E/b', '..;/b', '%2e%2e%2fb', '..%2fb', '..%5cb', '..\\b', 'a%00b']) add(`path ~/${path}`, get('', `GET ~/${path} HTTP/1.1`) + END, NO_PATH);
for (const path of ['b//c', './b', 'a%2fb', 'a%5cb', 'a;b=c/d', 'a%3fb', 'a%23b', 'a%0d%0aX:%20y', 'a%25%32%66b', 'a\\b', 'a+b?c=%zz&d', '%41']) add(`path ~/${path}`, get('', `GET ~/${path} HTTP/1.1`) + END, seen(`GET ~/${path}`, SEEN_END));
add('%-encoding that is none in the path', get('', 'GET ~/a%zzb HTTP/1.1') + END, seen('GET ~/a%zzb', SEEN_END));

// ---- Connection, Upgrade, Expect, pipelines ----
for (const name of ['X-Real', 'Cookie', 'Authorization']) add(`Connection names ${name}`, get(`${name}: 1\r\nConnection: keep-alive, ${name.toLowerCase()}`) + END, seen('GET ~/a', SEEN_END), [name.toLowerCase()]);
for (const name of ['Host', 'Via', 'X-Mark', 'X-Amzn-Trace-Id']) add(`Connection names ${name}`, get(`Connection: ${name}`) + END, seen('GET ~/a', SEEN_END));
add('Connection names Content-Length', post(`Content-Length: ${length(SMUGGLED)}\r\nConnection: content-length`, SMUGGLED + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END));
add('Connection names Transfer-Encoding', post('Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding', CHUNK_HIDES + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END));
add('hop-by-hop fields', get('Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nTE: trailers\r\nTrailer: x') + END, seen('GET ~/a', SEEN_END), ['keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer']);
add('Upgrade: h2c', get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA') + SMUGGLED + END, seen('GET ~/a', 'GET ~/smuggled', SEEN_END), ['upgrade', 'http2-settings', 'connection']);
add('Upgrade: h2c with a body', post(`Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: ${length(SMUGGLED)}`, SMUGGLED + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END), ['upgrade', 'connection']);
add('Upgrade: websocket where none is served', get('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==') + SMUGGLED + END, seen('GET ~/a', 'GET ~/smuggled', SEEN_END), ['upgrade', 'connection']);
add('the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${SMUGGLED}`, refused(505));
add('CONNECT', `CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n${END}`, NO_PATH);
add('OPTIONS *', `OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n${END}`, NO_PATH);
add('Expect: 100-continue and the body at once', post(`Expect: 100-continue\r\nContent-Length: ${length(SMUGGLED)}`, SMUGGLED + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END), ['expect']);
add('Expect: 100-continue without a body', get('Expect: 100-continue') + END, seen('GET ~/a', SEEN_END), ['expect']);
add('Expect of something else', post(`Expect: cow\r\nContent-Length: ${length(SMUGGLED)}`, SMUGGLED + END), seen(`POST ~/a ${SMUGGLED}`, SEEN_END), ['expect']);
add('a pipeline', post('Content-Length: 2', 'hi') + chunked('2\r\nho\r\n0\r\n\r\n') + get('') + END, seen('POST ~/a hi', 'POST ~/a ho', 'GET ~/a', SEEN_END));
add('a request behind Connection: close', get('Connection: close') + SMUGGLED, seen('GET ~/a'));
add('a request behind one of HTTP/1.0', get('', 'GET ~/a HTTP/1.0') + SMUGGLED, seen('GET ~/a'));

// The bytes of a case whose path is `path` ('/' and PATH_LEN - 1 more).
export const fill = (text, path) => text.replaceAll('~', path);
export default cases;
