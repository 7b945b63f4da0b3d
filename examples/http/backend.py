#!/usr/bin/python3
"""A back end that keeps notes (GET, POST /notes; DELETE /notes/NUMBER), and the function `greet`, by the Lambda Invoke API."""
import http.server
import itertools
import json
import os

INVOKE = "/2015-03-31/functions/greet/invocations"
notes, numbers = {}, itertools.count(1)


def greet(event, context):
    """A Lambda handler, payload format 2.0: what it returns without a statusCode is the body of a 200, as JSON."""
    word = {"de": "Hallo", "fr": "Bonjour"}.get(event.get("queryStringParameters", {}).get("lang"), "Hello")
    return {"greeting": f"{word}, {event['pathParameters']['name']}!", "from": event["requestContext"]["http"]["sourceIp"]}


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept and used again

    def answer(self, status, result):
        body = json.dumps(result).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()

    def do_GET(self):
        self.body()
        print("request", self.headers["X-Request-Id"], "for", self.headers["Forwarded"], flush=True)
        self.answer(200, notes) if self.path == "/notes" else self.answer(404, {"error": "no such page"})

    def do_POST(self):
        text = self.body()
        if self.path == INVOKE:
            self.answer(200, greet(json.loads(text), None))
        elif self.path == "/notes":
            number = next(numbers)
            notes[number] = text
            self.answer(201, {"number": number})
        else:
            self.answer(404, {"error": "no such page"})

    def do_DELETE(self):
        self.body()
        number = self.path.removeprefix("/notes/")
        gone = notes.pop(int(number), None) if number.isdecimal() else None
        self.answer(404, {"error": "no such note"}) if gone is None else self.answer(200, {"deleted": gone})

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("BACKEND_PORT", 9000))), Backend).serve_forever()
