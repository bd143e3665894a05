#!/bin/sh
# Puts Prometheus's promtool into .local/promtool: the one on the PATH, or Debian's, which is in a package of its own in
# Debian 13 and newer Ubuntus, and in `prometheus` before. Setup goes on without it; the tests that need it say so.
set -eu
cd "$(dirname -- "$0")/.."
folder=.local/promtool
rm -rf "$folder"
mkdir -p "$folder"
if found=$(command -v promtool); then
  ln -s "$found" "$folder/promtool"
  exit
fi
fetch() {
  dev/debian.sh "$folder/package" promtool prometheus && "$folder/package/usr/bin/promtool" --version &&
    mv "$folder/package/usr/bin/promtool" "$folder/promtool"
}
if fetch >"$folder/log" 2>&1; then
  rm -r "$folder/package"
  exit
fi
echo "promtool: not on the PATH, and apt-get cannot fetch it ($folder/log). Everything else works; the tests that need it
  are skipped, and fail in CI, until Prometheus is installed (macOS: brew install prometheus) and \`make setup\` is run again" >&2
