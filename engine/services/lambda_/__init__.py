"""AWS Lambda: functions, versions, aliases, layers and all that is configured of them."""
