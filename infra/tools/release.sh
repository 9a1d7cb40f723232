#!/usr/bin/env bash
# Builds the command for the systems people have, static and without a path or time inside, with their checksums.
#     infra/tools/release.sh [FOLDER]          FOLDER: default bin/dist
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-bin/dist}
rm -rf "$out"
mkdir -p "$out"
for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64; do
  os=${target%/*} arch=${target#*/} suffix=
  [ "$os" != windows ] || suffix=.exe
  echo "building for $target ..." >&2
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOFLAGS='' go build -trimpath -ldflags '-s -w -buildid=' -o "$out/lapseguard_${os}_$arch$suffix" ./infra/lapseguard
done
(cd "$out" && sha256sum -- lapseguard_* >SHA256SUMS && sha256sum --check --quiet SHA256SUMS)
ls -l "$out"
