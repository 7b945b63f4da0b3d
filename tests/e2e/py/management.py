"""Calls the management API by boto3 as a back end would: one JSON command a line in, one JSON answer a line out.

Usage: management.py ENDPOINT_URL
"""
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client(
    "apigatewaymanagementapi",
    endpoint_url=sys.argv[1],
    config=Config(retries={"max_attempts": 0}),
)


def run(command):
    op, connection = command["op"], command["id"]
    try:
        if op == "post":
            client.post_to_connection(ConnectionId=connection, Data=command["data"].encode())
            return {"ok": True}
        if op == "get":
            answer = client.get_connection(ConnectionId=connection)
            return {
                "ok": True,
                "connectedAt": answer["ConnectedAt"].isoformat(),
                "lastActiveAt": answer["LastActiveAt"].isoformat(),
                "identity": answer["Identity"],
            }
        client.delete_connection(ConnectionId=connection)
        return {"ok": True}
    except ClientError as error:
        return {
            "error": type(error).__name__,
            "code": error.response["Error"]["Code"],
            "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
            "gone": isinstance(error, client.exceptions.GoneException),
            "limit": isinstance(error, client.exceptions.LimitExceededException),
        }


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
