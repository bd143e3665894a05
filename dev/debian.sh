#!/bin/sh
# debian.sh FOLDER PACKAGE…: unpacks the first of these packages that the distribution has into FOLDER, and installs nothing.
# It needs no root and changes nothing of the system; apt checks the package's signature chain.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$1
shift
command -v apt-get >/dev/null || { echo "no apt-get here" >&2 && exit 1; }
mkdir -p "$folder" "$root/.local/apt/lists/partial" "$root/.local/apt/archives/partial"
cd "$folder"
# APT::Sandbox::User="": root's apt would give up its rights, and not get into a folder that is root's alone.
apt() {
  apt-get -qq -o "Dir::State::Lists=$root/.local/apt/lists" -o "Dir::Cache=$root/.local/apt" \
    -o "Dir::Cache::Archives=$root/.local/apt/archives" -o APT::Sandbox::User= -o Acquire::Retries=0 -o Acquire::http::Timeout=15 "$@"
}
apt update
for package in "$@"; do
  if apt download "$package"; then
    dpkg-deb -x "$package"_*.deb .
    rm -- "$package"_*.deb
    exit
  fi
done
exit 1
