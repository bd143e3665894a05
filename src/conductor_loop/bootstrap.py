"""Config → App: the only place that picks adapters."""

from collections.abc import Callable

from conductor_loop.app import App, Measured
from conductor_loop.config import Config
from conductor_loop.porch import Limits, Porch


def build(config: Config, observe: Callable[[Measured], None], worker: str) -> App:
    """Put the real parts together.

    Args:
        config: The configuration in force.
        observe: Called once for each decision.
        worker: Name of this execution environment; its log stream, on Lambda.

    """
    porch = Porch(
        path=config.porch_path,
        mode=config.mode,
        work_root=config.work_root,
        limits=Limits(memory_bytes=config.porch_memory_bytes),
    )
