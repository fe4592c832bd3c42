import json
import os

import boto3


def handler(event, context):
    if "Records" in event:
        print("got", event["Records"][0]["body"])
        return None
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=event["body"])
    return {"statusCode": 202, "body": json.dumps({"queued": event["body"]})}
