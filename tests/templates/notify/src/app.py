"""Logs each message."""


def handler(event, context):
    for record in event["Records"]:
        print("got", record["Sns"]["Message"])
