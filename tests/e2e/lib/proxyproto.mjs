// Headers of the PROXY protocol, as a load balancer writes them; also wrong ones.
import net from 'node:net';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

export const v1 = (source, destination, sourcePort = 1234, port = 443) => Buffer.from(`PROXY TCP${net.isIPv6(source) ? 6 : 4} ${source} ${destination} ${sourcePort} ${port}\r\n`);
export const V1_UNKNOWN = Buffer.from('PROXY UNKNOWN\r\n');

function crc32c(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

// The 16 bytes of an IPv6 address, the four of an IPv4 one.
function ip(text) {
  if (net.isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  const [head, tail] = text.split('::').map((part) => (part ? part.split(':') : []));
  const words = tail === undefined ? head : [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail];
  return Buffer.from(words.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

export const tlv = (type, value) => Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);

// tlvs: [[type, value]]. crc: one is added; 'wrong': that is not right.
export function v2(source, destination, { sourcePort = 1234, port = 443, tlvs = [], crc, command = 1, family, length } = {}) {
  let block = Buffer.alloc(0);
  let kind = 0;
  if (source?.startsWith('/')) {
    block = Buffer.alloc(216);
    block.write(source, 0);
    block.write(destination, 108);
    kind = 0x31;
  } else if (source) {
    const ports = Buffer.alloc(4);
    ports.writeUInt16BE(sourcePort, 0);
    ports.writeUInt16BE(port, 2);
    block = Buffer.concat([ip(source), ip(destination), ports]);
    kind = net.isIPv6(source) ? 0x21 : 0x11;
  }
  const more = [...tlvs.map(([type, value]) => tlv(type, Buffer.from(value))), ...(crc ? [tlv(3, Buffer.alloc(4))] : [])];
  const body = Buffer.concat([block, ...more]);
  const head = Buffer.from([0x20 | command, family ?? kind, 0, 0]);
  head.writeUInt16BE(length ?? body.length, 2);
  const all = Buffer.concat([SIGNATURE, head, body]);
  if (crc) all.writeUInt32BE((crc32c(all) ^ (crc === 'wrong' ? 1 : 0)) >>> 0, all.length - 4);
  return all;
}

export const V2_LOCAL = v2(undefined, undefined, { command: 0 });
