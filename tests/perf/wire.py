"""The few lines of WebSocket, HTTP and Signature Version 4 that tests/perf/check drives the gateway with. They take care that the
gateway sees the same bytes in the same pieces every time, and trust it otherwise: the other tests judge what it answers."""
import hashlib
import hmac
import socket
import struct
import threading
import time

MASK = b"\x37\xfa\x21\x3d"
SHA256 = hashlib.sha256


class Ended(Exception):
    pass


class Stream:
    """A connection over TCP. Nothing is sent before the gateway has come to rest."""

    def __init__(self, gateway, accepted=None, limit=60):
        self.gateway, self.buffer = gateway, b""
        self.socket = accepted or socket.create_connection(("127.0.0.1", gateway.port), timeout=limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.gateway.settle()
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Ended(f"the gateway closed; read so far: {self.buffer[:200]!r}")
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1").split("\r\n")

    def close(self):
        self.socket.close()


def content_length(lines):
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


class Http(Stream):
    """Requests over one kept connection."""

    def __init__(self, gateway):
        super().__init__(gateway)
        self.host = f"127.0.0.1:{gateway.port}"

    def call(self, method, path, body=b"", headers=None):
        """The status; anything but 2xx is an error."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.host}"]
        lines += [f"content-length: {len(body)}"] if body or method == "POST" else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = self.head()
        answer = self.take(content_length(head))
        if head[0].split(" ")[1][0] != "2":
            raise Ended(f"{method} {path}: {head[0]} {answer[:300]!r}")
        return answer


class WebSocket(Stream):
    """A WebSocket, open when it has been made."""

    def __init__(self, gateway, path="/prod"):
        super().__init__(gateway)
        self.send((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        head = self.head()
        if " 101 " not in head[0]:
            raise Ended(f"handshake: {head[0]}")

    def receive(self):
        """The payload of the next frame."""
        first, length = self.take(2)
        if length == 126:
            length, = struct.unpack(">H", self.take(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.take(8))
        return first & 15, self.take(length)

    def exchange(self, frames, count):
        """Sends frames in one piece and reads as many answers."""
        self.send(frames)
        for _ in range(count):
            self.receive()

    def end(self):
        """The closing handshake, until the gateway has closed."""
        self.send(frame(8, struct.pack(">H", 1000)))
        self.receive()
        while self.socket.recv(4096):
            pass
        self.gateway.settle()
        self.close()


def frame(opcode, payload):
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 65536:
        head = bytes([0x80 | opcode, 0xFE]) + struct.pack(">H", length)
    else:
        head = bytes([0x80 | opcode, 0xFF]) + struct.pack(">Q", length)
    pad = MASK * (length // 4 + 1)
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad[:length], "big")).to_bytes(length, "big")
    return head + MASK + masked


def text(payload):
    return frame(1, payload)


def sign(method, path, host, body, access_key, secret, region="us-east-1"):
    """Headers that sign a request for execute-api. The path is encoded once more than on the wire."""
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{when[:8]}/{region}/execute-api/aws4_request"
    canonical = "\n".join([method, path.replace("%", "%25").replace("=", "%3D").replace("@", "%40"), "", f"host:{host}",
                           f"x-amz-date:{when}", "", "host;x-amz-date", SHA256(body).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", when, scope, SHA256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), SHA256).digest()
    signature = hmac.new(key, to_sign.encode(), SHA256).hexdigest()
    return {"x-amz-date": when, "authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, "
            f"SignedHeaders=host;x-amz-date, Signature={signature}"}


class BackEnd:
    """An HTTP server that answers every request with the same body, on connections that are kept."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            accepted, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted):
        stream = Stream(self.gateway, accepted)
        try:
            while True:
                stream.take(content_length(stream.head()))
                stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 20\r\n\r\n" + b"a" * 20)
        except (Ended, OSError):
            stream.close()
