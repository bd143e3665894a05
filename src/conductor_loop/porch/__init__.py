"""Runs porch, the program that makes a package of an intent. The only part that starts processes."""

from conductor_loop.porch.kubeconfig import Credentials, Kubeconfig, read_kubeconfig, with_token
from conductor_loop.porch.process import Limits
from conductor_loop.porch.report import DELIVERIES, PACKAGE, REPOSITORY, SCALE, Delivered
from conductor_loop.porch.runner import RESERVED, Mode, NoDryRun, Porch, PorchFailed, PorchRequest, Result, Run, Slots
from conductor_loop.porch.workspace import COMPONENT, Package
