#!/usr/bin/env bash
# Puts Prometheus's promtool into .local/promtool: the one on the PATH, or the one in Debian's package `prometheus`, unpacked and
# not installed. It needs no root and changes nothing of the system; apt checks the package's signature chain.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$PWD/.local/promtool
mkdir -p "$folder"/{lists,archives}/partial
if found=$(command -v promtool); then
  ln -sf "$found" "$folder/promtool"
  exit
fi
# APT::Sandbox::User="": root's apt would give up its rights, and not get into a folder that is root's alone.
apt=(apt-get -qq -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o "Dir::Cache::Archives=$folder/archives" -o APT::Sandbox::User=)
if ! { command -v apt-get && "${apt[@]}" update && (cd "$folder" && "${apt[@]}" download prometheus); } >"$folder/log" 2>&1; then
  echo "promtool: not on the PATH, nor to be had from apt-get ($folder/log); the tests that need it are skipped until you install Prometheus" >&2
  exit
fi
dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -xOf - ./usr/bin/promtool >"$folder/new"
chmod +x "$folder/new"
"$folder/new" --version >/dev/null
mv "$folder/new" "$folder/promtool"
rm -r "$folder"/{lists,archives,*.deb}
