// AWS Signature Version 4 as section 5.5 describes it: the path is taken as it is on the wire and encoded once more.
import { createHash, createHmac } from 'node:crypto';

export const EMPTY_HASH = hash('');

function hash(data) {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key, data) {
  return createHmac('sha256', key).update(data).digest();
}

function encode(text, keep) {
  let out = '';
  for (const byte of Buffer.from(text)) {
    const char = String.fromCharCode(byte);
    out += keep.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

export const encodePath = (path) => encode(path, /[A-Za-z0-9\-._~/]/);
export const encodeQuery = (text) => encode(text, /[A-Za-z0-9\-._~]/);

export function amzDate(when = new Date()) {
  return when.toISOString().replace(/[-:]/g, '').replace(/\.\d+Z$/, 'Z');
}

export function canonicalRequest({ method, path, query = '', headers, signed, payloadHash }) {
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim().replace(/ +/g, ' ')}`);
  return [method, encodePath(path), query, ...lines, '', signed.join(';'), payloadHash].join('\n');
}

export function signature({ secret, date, region, service, canonical }) {
  const day = date.slice(0, 8);
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', date, scope, hash(canonical)].join('\n');
  const key = ['aws4_request', service, region, day].reduceRight((k, part) => hmac(k, part), `AWS4${secret}`);
  return { scope, signature: createHmac('sha256', key).update(text).digest('hex') };
}

// Headers of a signed request. `extra` headers are sent and signed too (lower-case names).
export function sign({ method, path, host, body = '', credentials, region = 'us-east-1', service = 'execute-api', when = new Date(), extra = {}, query = '', payloadHash = hash(body) }) {
  const date = amzDate(when);
  const headers = { host, 'x-amz-date': date, ...extra };
  if (credentials.sessionToken) headers['x-amz-security-token'] = credentials.sessionToken;
  const signed = Object.keys(headers).sort();
  const canonical = canonicalRequest({ method, path, query, headers, signed, payloadHash });
  const result = signature({ secret: credentials.secretAccessKey, date, region, service, canonical });
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${result.scope}, SignedHeaders=${signed.join(';')}, Signature=${result.signature}`;
  return headers;
}

// The query string of a presigned request (only `host` is signed).
export function presign({ method, path, host, credentials, region = 'us-east-1', service = 'execute-api', when = new Date(), expires = 60, query = {}, payloadHash = EMPTY_HASH }) {
  const date = amzDate(when);
  const all = {
    ...query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${credentials.accessKeyId}/${date.slice(0, 8)}/${region}/${service}/aws4_request`,
    'X-Amz-Date': date,
    'X-Amz-Expires': String(expires),
    'X-Amz-SignedHeaders': 'host',
  };
  const pairs = Object.entries(all).map(([name, value]) => [encodeQuery(name), encodeQuery(value)]);
  pairs.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  const canonicalQuery = pairs.map((pair) => pair.join('=')).join('&');
  const canonical = canonicalRequest({ method, path, query: canonicalQuery, headers: { host }, signed: ['host'], payloadHash });
  const result = signature({ secret: credentials.secretAccessKey, date, region, service, canonical });
  return `${canonicalQuery}&X-Amz-Signature=${result.signature}`;
}
