"""Logs what its schedule says."""


def handler(event, context):
    print("got", event["why"])
