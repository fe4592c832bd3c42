"""Amazon API Gateway's REST APIs: what configures them. Requests to them are execute_api's."""
