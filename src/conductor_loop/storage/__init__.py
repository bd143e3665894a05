"""DynamoDB, S3 and SQS: the calls of the SDK that several parts use."""
