#!/usr/bin/env bash
# Finds the base image for `sam local invoke` and prints its name: Amazon's where it is here or can be pulled,
# else a stand-in under an honest name, announced loudly. The stand-in is busybox alone: sh, mv and chmod, which
# is all that SAM's own step needs to put the runtime interface emulator beside the function.
#   infra/samlocal/base-image.sh x86_64|arm64
set -euo pipefail
arch=$1
amazon=public.ecr.aws/lambda/provided:al2023-$arch
standin=local-standin/lambda-provided-al2023:$arch

if docker image inspect "$amazon" >/dev/null 2>&1; then
  echo "$amazon"
  exit 0
fi
if said=$(timeout 240 docker pull --quiet "$amazon" 2>&1); then
  echo "$amazon"
  exit 0
fi

busybox=$(command -v busybox) || { echo "Amazon's image cannot be pulled ($said), and the stand-in needs busybox (Debian: apt-get install busybox-static)" >&2; exit 1; }
cat >&2 <<words
********************************************************************************
* Amazon's image $amazon cannot be pulled here:
*   $(tail -n 1 <<<"$said" | cut -c1-150)
* USING A STAND-IN, $standin:
* busybox and nothing else, NOT Amazon Linux. The functions run in containers
* under Lambda's runtime interface emulator; that they run on Amazon's own image
* is not shown by this.
********************************************************************************
words
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,tmp,var/task,var/runtime,opt}
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for name in sh mv chmod; do ln -s busybox "$root/bin/$name"; done
printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
printf 'NAME="stand-in, not Amazon Linux"\n' >"$root/etc/os-release"
tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c . | docker import \
  -c 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime' \
  -c 'WORKDIR /var/task' - "$standin" >/dev/null
# SAM derives an image with the emulator in it, and does not make it anew when only its base changed.
docker image rm -f "${standin%%:*}:rapid-$arch" >/dev/null 2>&1 || true
echo "$standin"
