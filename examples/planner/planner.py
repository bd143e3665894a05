#!/usr/bin/env python3
"""A planner: computes how many replicas a Deployment needs, sends an intent, and waits for its status.

    HANDOFF_BUCKET=… examples/planner/planner.py oran-sim cnf-simulator --load 740 --per-replica 100

Needs boto3, and permission to put ``intent-*.json`` into the bucket and to read ``status/``. Exit codes: 0 done, or
superseded by a newer intent; 1 failed; 3 no final status in time: call again.
"""

import argparse
import json
import math
import os
import sys
import time
import uuid

import boto3

POLL_SECONDS = 0.5
GOOD = {"success", "skipped"}


def main():
    arguments = read_arguments()
    replicas = max(math.ceil(arguments.load / arguments.per_replica), arguments.least)
    intent = {
        "intent_type": "scaling",
        "target": arguments.target,
        "namespace": arguments.namespace,
        "replicas": replicas,
        "reason": f"load {arguments.load:g}, {arguments.per_replica:g} for each replica",
        "source": "planner",
        "correlation_id": f"planner-{uuid.uuid4().hex}",
    }
    bucket = os.environ["HANDOFF_BUCKET"]
    name, version = send(bucket, intent)
    status = final_status(bucket, name, version, arguments.wait)
    if status is None:
        print(f"{name}: no final status within {arguments.wait:g} s", file=sys.stderr)
        return 3
    print(f"{name}: {status['status']}: {status['message']}")
    return 0 if status["status"] in GOOD else 1


def send(bucket, intent):
    """Put an intent under a unique name; return the name and its version."""
    name = f"intent-{intent['correlation_id']}.json"
    put = boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=json.dumps(intent).encode())
    return name, put["VersionId"]


def final_status(bucket, name, version, seconds):
    """Wait for the final status of a version; None if there is none in time."""
    s3, deadline = boto3.client("s3"), time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = json.load(s3.get_object(Bucket=bucket, Key=f"status/{name}.status")["Body"])
        except s3.exceptions.NoSuchKey:
            status = {}
        # A status with next_retry is not final: another attempt follows.
        if status.get("version_id") == version and "next_retry" not in status:
            return status
        time.sleep(POLL_SECONDS)
    return None


def read_arguments():
    parser = argparse.ArgumentParser(description="Send an intent for the replicas that a load needs.")
    parser.add_argument("namespace")
    parser.add_argument("target")
    parser.add_argument("--load", type=float, required=True, help="current load, e.g. in requests a second")
    parser.add_argument("--per-replica", type=float, required=True, help="load that one replica serves")
    parser.add_argument("--least", type=int, default=1, help="minimum of replicas")
    parser.add_argument("--wait", type=float, default=60, help="seconds to wait for the status")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
