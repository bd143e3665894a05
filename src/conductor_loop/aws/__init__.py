"""The adapters: boto3 lives here and nowhere else, and its errors are translated here."""
