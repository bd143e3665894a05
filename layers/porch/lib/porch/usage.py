"""What ``porch -help`` prints; apart, so that a run which needs no help does not load it."""

USAGE = """\
Write a KRM package (a Kptfile and a kustomize Component) for one scaling intent.

usage:
  porch -intent FILE -out DIRECTORY [-structured] [-kubeconfig FILE]

flags (one dash or two; -flag value or -flag=value):
  -intent FILE      the intent, JSON; a name such as intent-<id>.json gives the package its intent id
  -out DIRECTORY    where to write <package>/; made if missing, and nothing outside it is touched
  -kubeconfig FILE  check the Deployment and its autoscalers in this cluster first; -kubeconfig= works offline
  -structured       print one JSON document instead of lines of text
  -version          print the version
  -help, -h         print this

environment:
  PORCH_PREVIOUS_VERSION    version of the target's last package, such as v1.0.3; the new one is v1.0.4.
                            Without it the package is v1.0.0
  PORCH_PREVIOUS_REPLICAS   replicas before this intent; without it they are "unknown", in JSON null;
                            a cluster knows better
  KUBECONFIG                the kubeconfig, where there is no -kubeconfig; without either porch works offline
  PORCH_CLUSTER_SECONDS     how long all talk with the cluster may take, 1 to 900; 25 without it
  PORCH_REPOSITORY          bring the package to this repository of Porch in the cluster, and propose it
  PORCH_NAMESPACE           namespace of the repository; without it the one of the kubeconfig
  PORCH_PUBLISH             true: approve it, too

exit codes:
  0    the package is written
  1    the intent is invalid or cannot be read: correct it
  2    the cluster has no such namespace or Deployment
  3    the cluster does not let porch look or write: grant it, or renew the credentials
  4    the cluster cannot be reached, or does not answer as it should: try again later
  5    a HorizontalPodAutoscaler rules the replicas out
  64   wrong flags or environment: correct the call
  70   porch itself failed: report it
  71   out of memory
  74   the package or the answer cannot be written: make room, or correct -out
  76   the cluster refuses the request for good: see what it says
  78   the kubeconfig or the repository is not usable: correct it
  127  porch cannot start: Python 3.13 is not first on PATH, lib/ is not beside bin/, or lib/vendor/ is missing
  130  interrupted

example:
  printf '{"intent_type":"scaling","target":"cnf-simulator","namespace":"oran-sim","replicas":3}' > intent-demo.json
  porch -intent intent-demo.json -out packages
"""
