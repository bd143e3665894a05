"""The HTTP API: health, metrics, and intents over HTTPS, behind API Gateway's proxy integration.

handler    the Lambda's entry point, which builds the Services    dispatch   one request, top to bottom
routes     every route, as schemas/openapi.json describes them    the rest   what each of them returns
"""
