def handler(event, context):
    return ["plain", event]
