"""Logs what it gets."""

import json


def handler(event, context):
    print("got", json.dumps(event.get("detail", event)))
