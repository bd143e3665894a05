"""``conductor-loop porch-check``: porches that keep the contract, and one that breaks each rule."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from conductor_loop.cli import main
from conductor_loop.porch import Limits
from conductor_loop.porch_check import RULES, CheckFinding, Subject, check

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "layers/porch/bin/porch"

# A porch that keeps every rule, with places to spoil it.
KEEPING = """\
#!{interpreter} -IS
import json, os, re, signal, subprocess, sys, time
intent_file, out, structured = sys.argv[2], sys.argv[4], "-structured" in sys.argv
def fail(code, why):
    print(why, file=sys.stderr)
    sys.exit(code)
# start
try:
    intent = json.load(open(intent_file))
    target, namespace, replicas = intent["target"], intent["namespace"], intent["replicas"]
    assert type(replicas) is int and replicas >= 0 and re.fullmatch("[a-z0-9-]+", target)
except Exception as error:
    fail(1, f"no intent: {{error!r}}")
name = target[:200] + "-v1.0.0"
text = f"kind: Deployment, {{namespace}}/{{target}}: {{replicas}}"
# checked
os.mkdir(f"{{out}}/{{name}}")
open(f"{{out}}/{{name}}/Kptfile", "w").write(text)
# written
deployment = dict(namespace=namespace, name=target, previous_replicas=None, new_replicas=replicas)
report = dict(status="success", package_name=name, deployment=deployment, timestamp="2026-11-23T10:30:45Z",
              duration="0.10s", cluster="offline")
said = json.dumps(report) if structured else f"Package successfully created: {{name}}\\nCluster: offline"
# saying
print(said)
# end
"""


class Folder:
    """Makes a porch of its own in a folder, and a subject of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.aside = path / "aside"
        self.aside.mkdir()

    def program(self, place: str = "end", spoiling: str = "") -> str:
        folder = self.path / "bin"
        folder.mkdir()
        text = KEEPING.format(interpreter=sys.executable)
        text = text.replace(f"# {place}\n", f"aside = {str(self.aside)!r}\n{dedent(spoiling)}\n")
        (folder / "porch").write_text(text)
        (folder / "porch").chmod(0o755)
        return str(folder / "porch")

    def subject(self, path: str, timeout_seconds: float = 20.0) -> Subject:
        return Subject(
            path,
            self.path / "work",
            timeout_seconds=timeout_seconds,
            limits=Limits(grace_seconds=0.1),
            wait=lambda _seconds: None,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    yield Folder(tmp_path)
    assert not any((tmp_path / "work").iterdir())


def broken(findings: Iterator[CheckFinding]) -> list[tuple[str, str]]:
    return [(finding.rule.name, finding.what) for finding in findings if finding.kept is False]


def test_the_bundled_porch_keeps_every_rule(folder: Folder) -> None:
    findings = list(check(folder.subject(str(BUNDLED))))
    assert [finding.line for finding in findings if not finding.kept] == []
    assert [finding.rule for finding in findings] == list(RULES)


def test_more_in_the_output_than_the_contract_asks_for_breaks_nothing(folder: Folder) -> None:
    assert broken(check(folder.subject(folder.program()))) == []


BAD = {
    "takes too long": ("time", "start", "time.sleep(60)", "was ended after"),
    "prints without end": ("output", "start", "while True: print('x' * 1000)", "printed more than"),
    "wants a terminal": ("succeeds", "start", "open('/dev/tty')", "/dev/tty"),
    "wants an answer": ("succeeds", "start", "input('Really? ')", "EOFError"),
    "wants a variable": ("succeeds", "start", "os.environ['USER']", "KeyError: 'USER'"),
    "takes a good intent for a bad one": ("succeeds", "checked", "fail(1, 'no')", "calls the intent invalid"),
    "writes outside -out": ("inside", "written", "open(out + '/../log', 'w')", "outside its directory: 'log'"),
    "changes the intent": ("inside", "written", "open(intent_file, 'a').write(' ')", "the intent's file was changed"),
    "makes no package": ("package", "checked", "print('done'); sys.exit()", "wrote no package"),
    "links out": (
        "package",
        "written",
        "os.symlink('/etc/passwd', out + '/passwd')",
        "'passwd', which is no plain file",
    ),
    "links twice": ("package", "written", "os.link(f'{out}/{name}/Kptfile', out + '/a')", "a second name elsewhere"),
    "makes a FIFO": ("package", "written", "os.mkfifo(out + '/fifo')", "'fifo', which is no plain file"),
    "says no name": ("name", "written", "open(out + '/a', 'w'); sys.exit()", "did not say what its package is called"),
    "says a wrong name": ("name", "saying", "said = 'Package successfully created: ../etc'", "'../etc'"),
    "prints text for JSON": ("structured", "saying", "said = f'Package successfully created: {name}'", "is not JSON"),
    "prints a note before the JSON": ("structured", "saying", "structured and print('Working…')", "is not JSON"),
    "says that it failed": ("structured", "saying", "said = said.replace('success\"', 'failed\"')", '"status"'),
    "speaks of another Deployment": ("structured", "saying", "said = said.replace(': 3', ': 4')", '"deployment"'),
    "says no time": (
        "structured",
        "saying",
        "said = said.replace('2026-11', 'Nov')",
        "\"timestamp\" is 'Nov-23T10:30:45Z'",
    ),
    "says no replicas": (
        "structured",
        "saying",
        "said = said.replace('null', '\"1\"')",
        "\"previous_replicas\" is '1'",
    ),
    "delivers in a way that there is not": (
        "structured",
        "written",
        "dumps = json.dumps; json.dumps = lambda d: dumps({**d, 'delivery': 'post'})",
        'has a "delivery" that is none of',
    ),
    "observes less than nothing": (
        "structured",
        "saying",
        "said = said.replace('\"previous', '\"observed_replicas\": -1, \"previous')",
        '"observed_replicas" is -1',
    ),
    "packs by its flags": ("modes", "checked", "text += str(structured)", "Kptfile' differs with -structured"),
    "trips over a version": ("previous", "start", "'PORCH_PREVIOUS_VERSION' in os.environ and fail(6, 'v?')", "'v?'"),
    "packs the time": ("repeatable", "checked", "text += str(time.time_ns())", "'Kptfile' differs in a later run"),
    "packs its directory": ("repeatable", "checked", "text += out", "'Kptfile' differs in a later run"),
    "packs by chance": ("repeatable", "checked", "name += '.' + os.urandom(4).hex()", "in a later run"),
    "keeps a lock": (
        "killed",
        "start",
        """
        try: os.mkdir(aside + "/lock")
        except OSError: fail(6, "another run holds the lock")
        time.sleep(0.3)
        os.rmdir(aside + "/lock")
        """,
        "another run holds the lock",
    ),
    "writes where it stands": ("paths", "start", "out = 'out'", "in another directory than the intent's"),
    "writes beside itself": ("layer", "end", "open(sys.argv[0] + '.log', 'a').write('ran\\n')", "'porch.log'"),
    "calls nonsense a success": ("refuses", "start", "fail = lambda *_: sys.exit(0)", "exit code 0 for an empty file"),
    "calls nonsense not found": ("refuses", "start", "fail = lambda *_: sys.exit(2)", "exit code 2 for an empty file"),
    "fails without a word": ("reason", "start", "fail = lambda code, why: sys.exit(code)", "nothing on stderr"),
    "takes zero for nothing": ("zero", "checked", "text = text.replace(': 0', ': 3')", "for 0 replicas is that for 3"),
    "makes names too long": ("long-target", "checked", "name = target[:251] + '-v1'", "cannot be used"),
    "shows its environment": ("secrets", "end", "print(dict(os.environ), file=sys.stderr)", "stderr shows the value"),
    "packs its environment": (
        "secrets",
        "checked",
        "text += os.environ.get('PORCH_CHECK_SECRET', '')",
        "Kptfile shows the value",
    ),
    "ignores SIGTERM": (
        "sigterm",
        "start",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(0.6)",
        "still running 0.1 s after SIGTERM",
    ),
    "leaves a child": ("alone", "end", "subprocess.Popen(['sleep', '60'])", "'sleep' was still running"),
    "leaves a daemon": (
        "alone",
        "end",
        "subprocess.Popen(['sleep', '60'], start_new_session=True)",
        "'sleep' was still running",
    ),
}


FIRST = {rule: name for name, (rule, *_) in reversed(BAD.items())}.values()  # that breaks a rule


@pytest.mark.parametrize(
    ("rule", "place", "spoiling", "what"),
    [pytest.param(*bad, id=name, marks=[] if name in FIRST else pytest.mark.long) for name, bad in BAD.items()],
)
def test_a_bad_porch_breaks_the_rule_that_it_breaks(
    folder: Folder, rule: str, place: str, spoiling: str, what: str
) -> None:
    subject = folder.subject(folder.program(place, spoiling), 0.5 if rule == "time" else 20.0)
    ((name, did),) = broken(check(subject, [rule]))
    assert name == rule
    assert what in did


def test_every_rule_has_a_porch_that_breaks_it() -> None:
    assert {rule for rule, *_ in BAD.values()} == {rule.name for rule in RULES}


def test_a_rule_that_rests_on_a_broken_one_is_not_checked(folder: Folder) -> None:
    findings = list(check(folder.subject(folder.program("checked", "fail(3, 'no')"))))
    assert [finding.kept for finding in findings][:4] == [True, True, False, None]
    assert {finding.kept for finding in findings[3:]} == {None}
    assert findings[-1].line.endswith("not checked while 'succeeds' is broken")


# ---------------------------------------------------------------- the command


def test_a_broken_rule_is_a_line_with_the_rule_and_the_next_step_and_exit_code_1(folder: Folder) -> None:
    path = folder.program("end", "print(dict(os.environ), file=sys.stderr)")
    (folder.path / "work").mkdir()
    result = CliRunner().invoke(main, ["porch-check", path, "--only", "secrets"])
    (line,) = [line for line in result.stdout.splitlines() if not line.startswith("ok ")]
    assert line.startswith("BROKEN  secrets      stderr shows the value of a variable it does not know. Rule: shows ")
    assert line.endswith("Next: print no environment, and no commands with their values (set -x).")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["/nowhere/porch"],
        [str(ROOT / "README.md")],
        [str(BUNDLED), "--only", "no-such-rule"],
        [str(BUNDLED), "--env", "HOME=/root"],
        [str(BUNDLED), "--env", "NAME"],
        [str(BUNDLED), "--intent", str(ROOT / "README.md")],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["porch-check", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.long
def test_every_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = CliRunner().invoke(main, ["porch-check", "--help"]).stdout.replace("\\\n", " ")
    examples = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("    conductor-loop ")]
    assert len(examples) == 3
    for example in examples:
        result = CliRunner().invoke(main, example)
        assert (result.exit_code, result.stderr) == (0, ""), result.stdout
        assert all(line.startswith("ok ") for line in result.stdout.splitlines())


def test_an_intent_of_ones_own_is_what_the_program_gets(folder: Folder) -> None:
    path = folder.program("checked", "replicas == 7 and namespace == 'edge' or fail(2, 'not found')")
    (folder.path / "work").mkdir()
    intent = folder.path / "intent.json"
    intent.write_text(json.dumps({"target": "a", "namespace": "edge", "replicas": 7}))
    result = CliRunner().invoke(main, ["porch-check", path, "--intent", str(intent), "--only", "succeeds"])
    assert result.exit_code == 0
