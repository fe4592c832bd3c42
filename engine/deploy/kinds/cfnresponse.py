"""What code of custom resources in a template imports as `cfnresponse`, as on AWS: it sends the response."""

import json
import urllib.request

SUCCESS = "SUCCESS"
FAILED = "FAILED"


def send(  # type: ignore[no-untyped-def]
    event, context, responseStatus, responseData, physicalResourceId=None, noEcho=False, reason=None
):
    """To the URL that the event names. Raises urllib.error.URLError."""
    log = f"See the details in CloudWatch Log Stream: {context.log_stream_name}"
    document = {
        "Status": responseStatus,
        "Reason": reason or log,
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }
    request = urllib.request.Request(
        event["ResponseURL"], json.dumps(document).encode(), {"Content-Type": ""}, method="PUT"
    )
    urllib.request.urlopen(request).close()
