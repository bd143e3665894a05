"""The HTTP API: health, metrics, and intents over HTTPS, behind API Gateway's proxy integration.

handler    the Lambda's entry point      bootstrap  configuration → Parts
dispatch   one request, top to bottom    routes     everything that can be asked for
health, exposition, sending, looking     what is answered
"""
