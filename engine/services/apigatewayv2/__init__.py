"""Amazon API Gateway's HTTP APIs: what configures them. Requests to them are execute_api's."""
