#!/usr/bin/python3
"""Two Lambda functions and the least runtime that serves them: the Invoke API, POST /2015-03-31/functions/NAME/invocations."""
import http.server
import json
import os
import re


def app(event, context):
    about = event["requestContext"]
    print(about["eventType"], about["connectionId"], about.get("authorizer"), event.get("body", ""), flush=True)
    return {"statusCode": 200, "body": f"{about['authorizer']['name']}, you said: {event.get('body', '')}"}


def doorkeeper(event, context):
    names = {"s3cret": "Ann", "pa55": "Bob"}
    name = names.get(event["queryStringParameters"]["token"])
    if name is None:
        raise PermissionError("Unauthorized")  # this very text: 401; any other failure: 500
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": name, "policyDocument": policy, "context": {"name": name}}


class Runtime(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept and used again

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        called = re.fullmatch(r"/2015-03-31/functions/(app|doorkeeper)/invocations", self.path)
        status, error = (200, None) if called else (404, "Function not found")
        try:
            result = globals()[called[1]](event, None) if called else {"Message": error}
        except Exception as failure:
            error, result = "Unhandled", {"errorMessage": str(failure), "errorType": type(failure).__name__}
        body = json.dumps(result).encode()
        self.send_response(status)
        if called and error:
            self.send_header("X-Amz-Function-Error", error)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("RUNTIME_PORT", 3002))), Runtime).serve_forever()
