"""Run MiniStack with one gap closed: at its limit of running functions AWS lets events wait, MiniStack drops them.

Runs in MiniStack's own environment (.local/ministack), not in the project's.
"""

import sys
import threading
from typing import Any

from ministack.app import main
from ministack.services import lambda_svc

# Each is a process. Ten batches may run from the queues; two more take the events of S3 and the sweeper.
_slots = threading.Semaphore(12)
_acquire = lambda_svc._acquire_execution_slot
_release = lambda_svc._release_execution_slot


def _wait_for_slot(func: dict[str, Any], config: dict[str, Any]) -> tuple[str | None, str | None]:
    _slots.acquire()
    key, limit = _acquire(func, config)
    if key is None:  # the function's own reserved concurrency
        _slots.release()
    return key, limit


def _give_slot_back(key: str | None) -> None:
    _release(key)
    if key is not None:
        _slots.release()


lambda_svc._acquire_execution_slot = _wait_for_slot
lambda_svc._release_execution_slot = _give_slot_back

if __name__ == "__main__":
    sys.exit(main())
