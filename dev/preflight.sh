#!/bin/sh
# What `make setup` begins with: provides uv (.local/uv/bin/uv) and Python 3.13, and names everything that is missing in one
# message, each with what to do. POSIX sh, since nothing else is certain to be there.
set -u
cd "$(dirname -- "$0")/.." || exit
SPACE_MB=2000 # for the environments, the caches and a stack
UV=.local/uv/bin/uv
log=.local/setup.log
missing=

report_missing() {
  missing="$missing
  * $1"
}

# install_command DEBIAN FEDORA MACOS: the command of this machine that installs something.
install_command() {
  if command -v apt-get >/dev/null; then echo "sudo apt-get install $1"
  elif command -v dnf >/dev/null; then echo "sudo dnf install $2"
  elif command -v brew >/dev/null; then echo "brew install $3"
  else echo "install $1 (Debian's name), $2 (Fedora's) or $3 (Homebrew's)"; fi
}

# The one on the PATH, if it is new enough: `uv 0.5.0 (…)` is the first that knows every option that the Makefile uses.
use_uv_from_path() {
  found=$(command -v uv) && uv --version | awk '{split($2, v, "."); exit !(v[1] > 0 || v[2] >= 5)}' && ln -sf "$found" "$UV"
}

install_uv() {
  "$@" install --quiet --disable-pip-version-check --require-hashes --upgrade --target .local/uv -r requirements/uv.txt
}

# Any version will do for fetching uv; pyenv's python3 fails in this folder, which asks for 3.13, until pyenv has one.
find_python() {
  for python in python3 python3.13; do "$python" --version && return; done
  python=python3 PYENV_VERSION=system
  export PYENV_VERSION
  python3 --version
}

# Debian's python3 has neither pip nor venv; its pip, as a wheel, can be unpacked and run without being installed.
find_pip() {
  if "$python" -m pip --version; then pip=python
  elif rm -rf .local/pip && "$python" -m venv .local/pip; then pip=venv
  elif rm -rf .local/pip && dev/debian.sh .local/pip python3-pip-whl; then pip=wheel
  else return 1; fi
}

get_uv() {
  rm -rf .local/uv
  mkdir -p .local/uv/bin
  if use_uv_from_path; then return; fi
  if ! find_python; then
    report_missing "python3, or uv: $(install_command python3 python3 uv)"
  elif ! find_pip; then
    report_missing "a pip or a venv for python3, or uv: $(install_command python3-venv python3-pip uv)"
  else
    case $pip in
      python) install_uv "$python" -m pip ;;
      venv) install_uv .local/pip/bin/python -m pip ;;
      wheel) install_uv "$python" "$(echo .local/pip/usr/share/python-wheels/pip-*.whl)/pip" ;;
    esac || report_missing "uv: the Python package index does not give it (the end of $log says why).
    Behind a firewall: PIP_INDEX_URL and UV_DEFAULT_INDEX name a mirror, HTTPS_PROXY a proxy, SSL_CERT_FILE its certificate"
  fi
}

get_python() {
  if [ -x "$UV" ]; then "$UV" python find 3.13 || UV_PYTHON_INSTALL_BIN=0 "$UV" python install 3.13
  else python3.13 --version; fi
}

if ! mkdir -p .local 2>/dev/null || ! (: >"$log") 2>/dev/null; then
  echo "make setup writes to $PWD, and may not: clone into a folder of yours" >&2
  exit 1
fi
echo "setup fetches about 400 MB into .venv and .local and takes a minute or more; it needs the Python package index, the
distribution's packages (apt), and GitHub where no Python 3.13 is on the PATH" >&2
echo "setup 1/7: uv and Python 3.13" >&2
free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1024)}')
[ "$free" -ge "$SPACE_MB" ] || report_missing "disk: $free MB are free in $PWD, $SPACE_MB MB are needed"
get_uv >>"$log" 2>&1
get_python >>"$log" 2>&1 || report_missing "Python 3.13: not on the PATH, and not fetched by uv, whose builds are on GitHub.
    Put a python3.13 on the PATH, or name a mirror of these builds in UV_PYTHON_INSTALL_MIRROR"
if [ -n "$missing" ]; then
  echo "This is missing; then \`make setup\` again:$missing" >&2
  exit 1
fi
