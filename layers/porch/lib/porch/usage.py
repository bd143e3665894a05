"""What ``porch -help`` prints; apart, so that a run which needs no help does not load it."""

USAGE = """\
Write a KRM package (Kptfile, kustomization.yaml, Deployment patch, README.md) for one scaling intent.

usage:
  porch -intent FILE -out DIRECTORY [-structured]

flags (one dash or two; -flag value or -flag=value):
  -intent FILE      the intent, JSON; a name such as intent-<id>.json gives the package its intent id
  -out DIRECTORY    where to write <package>/; made if missing, and nothing outside it is touched
  -structured       print one JSON document instead of three lines of text
  -version          print the version
  -help, -h         print this

environment:
  PORCH_PREVIOUS_VERSION    version of the target's last package, such as v1.0.3; the new one is v1.0.4.
                            Without it the package is v1.0.0
  PORCH_PREVIOUS_REPLICAS   replicas before this intent; without it they are "unknown", in JSON null

exit codes:
  0    the package is written
  1    the intent is invalid or cannot be read: correct it
  64   wrong flags or environment: correct the call
  70   porch itself failed: report it
  71   out of memory
  74   the package or the answer cannot be written: make room, or correct -out
  127  porch cannot start: Python 3.13 is not first on PATH, or lib/ is not beside bin/
  130  interrupted

example:
  printf '{"intent_type":"scaling","target":"cnf-simulator","namespace":"oran-sim","replicas":3}' > intent-demo.json
  porch -intent intent-demo.json -out packages
"""
