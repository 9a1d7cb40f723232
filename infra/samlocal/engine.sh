#!/usr/bin/env bash
# Tells whether a Docker engine answers. Where none does: exit 1, and in words what to start.
#   infra/samlocal/engine.sh
set -euo pipefail

if command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1; then
  exit 0
fi
cat >&2 <<'words'
NOT RUN: sam local invoke, the three functions in real containers. No Docker engine answers here.
    Start one, then repeat with `make test-sam`:
      Debian, Ubuntu:  sudo apt-get install docker.io busybox-static && sudo systemctl start docker
      macOS, Windows:  start Docker Desktop
    If one runs, the socket may be closed to you: see what `docker info` says.
words
exit 1
