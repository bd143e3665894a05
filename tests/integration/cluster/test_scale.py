"""Delivery scale: the Deployment's replicas are set, and the answer is the cluster's."""

import json
import time
from typing import Any

import pytest

from tests.integration.cluster.world import Result, World, report

PATH = "/apis/apps/v1/namespaces/oran-sim/deployments/cnf-simulator"
SCALE = {"PORCH_DELIVERY": "scale"}


def scaled(world: World, *flags: str, **environment: Any) -> Result:
    return world.porch(*flags, **SCALE, **environment)


def patches(world: World) -> list[Any]:
    asked = zip(world.api.requests, world.api.bodies, strict=True)
    return [json.loads(body) for request, body in asked if request == f"PATCH {PATH}/scale"]


def replicas(world: World) -> int:
    wanted: int = world.api.deployment()["spec"]["replicas"]
    return wanted


def quota(world: World, pods: int, used: int = 1) -> None:
    hard = {"pods": str(pods)}
    status = {"hard": hard, "used": {"pods": str(used)}}
    world.api.add("resourcequotas", "small", spec={"hard": hard}, status=status)


# ------------------------------------------------------------------ 0
def test_the_replicas_are_set_and_the_answer_says_what_the_cluster_has(world: World) -> None:
    result = scaled(world)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Package successfully created: cnf-simulator-v1.0.0\n"
        "Deployment target: oran-sim/cnf-simulator\n"
        "Replicas updated: 1 -> 3\n"
        "Delivery: scale\n"
        "Replicas observed: 3\n"
    )
    assert (replicas(world), world.wrote()) == (3, ["cnf-simulator-v1.0.0"])


def test_structured_output_has_the_replicas_that_were_observed(world: World) -> None:
    document = report(scaled(world, "-structured"))
    assert document["status"] == "success"
    assert document["delivery"] == "scale"
    assert document["deployment"] == {
        "namespace": "oran-sim",
        "name": "cnf-simulator",
        "previous_replicas": 1,
        "new_replicas": 3,
        "observed_replicas": 3,
    }


def test_the_patch_is_conditional_on_what_was_seen_and_names_its_manager(world: World) -> None:
    seen = world.api.deployment()["metadata"]["resourceVersion"]
    scaled(world)
    assert patches(world) == [{"metadata": {"resourceVersion": seen}, "spec": {"replicas": 3}}]
    asked = dict(zip(world.api.requests, zip(world.api.queries, world.api.headers, strict=True), strict=True))
    query, headers = asked[f"PATCH {PATH}/scale"]
    assert (query, headers["Content-Type"]) == ("fieldManager=conductor-loop", "application/merge-patch+json")


@pytest.mark.parametrize("wanted", [0, 1])
def test_scaling_down_is_observed_too(world: World, wanted: int) -> None:
    world.api.scale(5)
    world.api.changed["oran-sim/cnf-simulator"] -= 10
    document = report(scaled(world, "-structured", intent={"replicas": wanted}))
    assert (replicas(world), document["deployment"]["observed_replicas"]) == (wanted, wanted)


def test_replicas_that_are_as_wanted_are_a_success_and_nothing_is_patched(world: World) -> None:
    result = scaled(world, intent={"replicas": 1})
    assert (result.returncode, patches(world)) == (0, [])
    assert "Replicas updated: 1 -> 1\n" in result.stdout


def test_a_cluster_that_says_nothing_in_time_is_a_success_with_a_note(world: World) -> None:
    world.api.controller.stuck = True
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert (result.returncode, replicas(world)) == (0, 3)
    assert result.stderr == "Note: no controller has looked at the Deployment after 1 s\n"
    assert "Replicas observed: " not in result.stdout  # what the status says is about the wish before


def test_as_many_pods_as_wanted_are_not_believed_before_a_controller_has_looked(world: World) -> None:
    world.api.scale(5)
    world.api.deployment()["status"] |= {"replicas": 3, "observedGeneration": 0}
    world.api.controller.stuck = True
    document = report(scaled(world, "-structured", PORCH_OBSERVE_SECONDS="1"))
    assert "observed_replicas" not in document["deployment"]


def test_pods_that_are_still_there_after_the_time_to_observe_are_a_note(world: World) -> None:
    world.api.scale(5)
    world.api.deployment()["status"] |= {"replicas": 5, "observedGeneration": 99}
    world.api.controller.stuck = True
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert (result.returncode, replicas(world)) == (0, 3)
    assert result.stderr == "Note: 5 pods, not 3, are still there after 1 s, and the cluster gives no reason\n"


def test_a_run_with_less_time_than_it_may_observe_says_what_it_saw_before_its_deadline(world: World) -> None:
    world.api.controller.stuck = True
    result = scaled(world, PORCH_CLUSTER_SECONDS="6", PORCH_OBSERVE_SECONDS="900")
    assert (result.returncode, replicas(world)) == (0, 3), result.stderr
    assert "Note: no controller has looked at the Deployment after " in result.stderr


def test_another_client_that_sets_other_replicas_afterwards_is_a_note(world: World) -> None:
    def meddle(method: str, _path: str) -> None:
        if method == "PATCH":
            world.api.scale(7)

    world.api.faults.after = meddle
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (0, 7)
    assert result.stderr == "Note: 3 replicas were set, and others have set 7 since\n"


def test_ready_waits_for_available_pods(world: World) -> None:
    world.api.controller.available = False

    def start(_method: str, _path: str) -> None:
        world.api.controller.available = len(world.api.requests) > 6

    world.api.faults.before = start
    result = scaled(world, PORCH_READY="true")
    assert result.returncode == 0, result.stderr
    assert world.api.deployment()["status"]["availableReplicas"] == 3


def test_pods_that_do_not_become_available_are_exit_124_at_the_deadline(world: World) -> None:
    world.api.controller.available = False
    result = scaled(world, PORCH_READY="true", PORCH_DEADLINE=str(time.time() + 6))
    assert (result.returncode, replicas(world)) == (124, 3)
    assert "0 of 3 pods are available so far" in result.stderr


@pytest.mark.parametrize(("variable", "value"), [("PORCH_OBSERVE_SECONDS", "0"), ("PORCH_READY", "soon")])
def test_terms_that_are_none_are_wrong_usage_and_nothing_is_asked(world: World, variable: str, value: str) -> None:
    result = scaled(world, **{variable: value})
    assert (result.returncode, world.api.requests) == (64, [])
    assert variable in result.stderr


# ------------------------------------------------------------------ 2
def test_a_deployment_that_is_missing_is_exit_2(world: World) -> None:
    world.api.objects.clear()
    assert (scaled(world).returncode, patches(world)) == (2, [])


def test_a_deployment_that_is_being_deleted_is_exit_2_and_is_left_alone(world: World) -> None:
    world.api.deployment()["metadata"]["deletionTimestamp"] = "2026-11-23T03:00:00Z"
    result = scaled(world)
    assert (result.returncode, patches(world), world.wrote()) == (2, [], [])
    assert "Deployment oran-sim/cnf-simulator is being deleted" in result.stderr


def test_a_namespace_that_is_being_deleted_is_exit_2_in_the_words_of_the_cluster(world: World) -> None:
    world.api.controller.dying = {"oran-sim"}
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert result.returncode == 2
    assert "unable to create new content in namespace oran-sim because it is being terminated" in result.stderr


@pytest.mark.parametrize("request_number", [3, 4])
def test_a_deployment_that_goes_meanwhile_is_exit_2(world: World, request_number: int) -> None:
    def delete(_method: str, _path: str) -> None:
        if len(world.api.requests) == request_number:  # the patch, and the first look after it
            world.api.objects["deployments"].clear()

    world.api.faults.before = delete
    result = scaled(world)
    assert result.returncode == 2
    assert "Deployment oran-sim/cnf-simulator is not found" in result.stderr


# ------------------------------------------------------------------ 3
def test_a_scale_that_porch_may_not_patch_is_exit_3(world: World) -> None:
    world.api.faults.forbidden = {"deployments/scale"}
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (3, 1)
    assert 'cannot patch resource "deployments/scale"' in result.stderr
    assert "docs/porch.md has the Role" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        'admission webhook "validate.example.com" denied the request: at most 2 replicas',
        "deployments is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: at most 2 replicas",
    ],
)
def test_a_scale_that_a_policy_of_the_cluster_denies_is_no_missing_right(world: World, words: str) -> None:
    document = {"kind": "Status", "reason": "Forbidden", "message": words, "code": 403}
    world.api.faults.answers["/scale"] = (403, {"Content-Type": "application/json"}, json.dumps(document).encode())
    result = scaled(world)
    assert (result.returncode, replicas(world)) == (76, 1)
    assert "at most 2 replicas" in result.stderr
    assert "the Role" not in result.stderr


# ------------------------------------------------------------------ 5 and 76
def test_an_exceeded_quota_is_exit_5_with_the_clusters_words_and_how_many_pods_there_are(world: World) -> None:
    quota(world, 2)
    result = scaled(world, "-structured", intent={"replicas": 5})
    assert (result.returncode, replicas(world)) == (5, 5)
    assert result.stderr.startswith("Error: 2 of 5 pods are there, and the cluster goes on trying: pods ")
    assert "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2: raise" in result.stderr
    document = json.loads(result.stdout)
    assert (document["status"], document["delivery"]) == ("failed", "scale")
    assert document["deployment"]["previous_replicas"] == 1
    assert document["deployment"]["new_replicas"] == 5
    assert document["deployment"]["observed_replicas"] == 2


def test_a_failure_says_how_far_it_got_without_structured_too(world: World) -> None:
    quota(world, 2)
    result = scaled(world, intent={"replicas": 5})
    assert result.stdout == (
        "Package not delivered: cnf-simulator-v1.0.0\n"
        "Deployment target: oran-sim/cnf-simulator\n"
        "Replicas updated: 1 -> 5\n"
        "Delivery: scale\n"
        "Replicas observed: 2\n"
    )


def test_an_attempt_after_an_exceeded_quota_goes_on_waiting_and_succeeds_once_there_is_room(world: World) -> None:
    quota(world, 2)
    assert scaled(world, intent={"replicas": 5}).returncode == 5
    again = scaled(world, intent={"replicas": 5}, PORCH_OBSERVE_SECONDS="1")
    assert (again.returncode, len(patches(world))) == (5, 1)
    quota(world, 9, used=2)
    document = report(scaled(world, "-structured", intent={"replicas": 5}, PORCH_PREVIOUS_REPLICAS="1"))
    assert len(patches(world)) == 1
    assert document["deployment"]["previous_replicas"] == 1
    assert document["deployment"]["observed_replicas"] == 5


def test_a_failure_of_the_wish_before_is_not_taken_for_one_of_this_wish(world: World) -> None:
    quota(world, 2)
    assert scaled(world, intent={"replicas": 5}).returncode == 5
    assert scaled(world, intent={"replicas": 2}).returncode == 0


def test_an_invalid_pod_is_exit_76_with_the_clusters_words(world: World) -> None:
    world.api.controller.cpu_limit = {"oran-sim": 50}
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert (result.returncode, replicas(world)) == (76, 3)
    assert 'Invalid value: "100m": must be less than or equal to cpu limit of 50m' in result.stderr


def test_what_would_end_the_intent_counts_only_if_it_stays(world: World) -> None:
    world.api.controller.refuse = 'pods "a" is forbidden: error looking up service account: "default" not found'
    asked = len(["deployment", "autoscalers", "patch", "observed", "refused"])

    def fix(_method: str, _path: str) -> None:
        if len(world.api.requests) == asked + 2:
            world.api.controller.refuse = ""
            world.api.changed["oran-sim/cnf-simulator"] -= 10

    world.api.faults.before = fix
    result = scaled(world)
    assert (result.returncode, result.stderr, len(patches(world))) == (0, "", 1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ('pods "a" is forbidden: failed quota: small: must specify limits.cpu for: c', 5),
        ('pods "a" is forbidden: maximum cpu usage per Container is 500m, but limit is 1', 5),
        ('pods "a" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.0', 5),
        ('pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false', 76),
        ('admission webhook "x" denied the request: no', 76),
        ('pods "a" is forbidden: status unknown for quota: small, resources: pods', 5),
        ('pods "a" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [high]}]', 5),
        ('Internal error occurred: failed calling webhook "x": connection refused', 4),
        ('Operation cannot be fulfilled on resourcequotas "small": the object has been modified; please apply', 4),
        ("Timeout: request did not complete within requested timeout - context deadline exceeded", 4),
        ("etcdserver: request timed out", 4),
    ],
)
def test_what_keeps_pods_out_says_whether_to_try_again(world: World, words: str, code: int) -> None:
    world.api.controller.refuse = words
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert result.returncode == code
    assert words.partition('"')[0] in result.stderr


def test_a_token_that_the_cluster_says_back_in_a_condition_is_not_shown(world: World) -> None:
    world.api.controller.refuse = f"pods are forbidden: {world.api.token}\n\x1b[31m"
    result = scaled(world, PORCH_OBSERVE_SECONDS="1")
    assert result.returncode == 76
    assert world.api.token not in result.stdout + result.stderr
    assert "\x1b" not in result.stderr
