import uuid
from typing import Any

from tests.e2e.conftest import Deployed, until


def test_a_pushed_configuration_is_in_force_without_a_deploy_and_a_broken_one_never(deployed: Deployed) -> None:
    deployed.push(mode="direct")
    until(lambda: _mode(deployed, "direct") == "direct", 60)

    parameter = deployed.outputs["ConfigParameter"]
    ssm = deployed.stack.session().client("ssm", endpoint_url=deployed.stack.endpoint)
    assert _alarm(deployed)["StateValue"] != "ALARM"
    ssm.put_parameter(Name=parameter, Value='{"mode": "fast"}', Overwrite=True)
    until(lambda: bool(_mode(deployed, "broken")) and deployed.logged("ConfigurationsRefused", about="_aws"), 60)
    until(lambda: _alarm(deployed)["StateValue"] == "ALARM", 60)
    assert _mode(deployed, "after") == "direct"

    deployed.push()


def _alarm(deployed: Deployed) -> dict[str, Any]:
    """Look at the alarm; it watches the very dimensions of the metric, which the embedded AWS does not compare."""
    cloudwatch: Any = deployed.stack.session().client("cloudwatch", endpoint_url=deployed.stack.endpoint)
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    (alarm,) = [one for one in alarms if one["MetricName"] == "ConfigurationsRefused"]
    if alarm["StateValue"] == "ALARM":
        metrics = cloudwatch.list_metrics(Namespace=alarm["Namespace"], MetricName=alarm["MetricName"])["Metrics"]
        assert alarm["Dimensions"] in [metric["Dimensions"] for metric in metrics]
    return {**alarm}


def _mode(deployed: Deployed, name: str) -> str:
    """Send an intent, and see how porch was run for it."""
    file = f"intent-mode-{name}-{uuid.uuid4().hex}.json"
    deployed.put(file, priority="critical")
    deployed.wait_for(file)
    return str(deployed.status(file)["mode"])
