#!/usr/bin/env bash
# Checks template.yaml three ways, offline and without credentials. None of the three is a superset of
# another: `sam validate` runs SAM's translator, `--lint` knows the schemas, expand_lint.py follows
# references through the translated template.
#   infra/template/check.sh [TOOLS]      TOOLS: folder for the Python environment, default .tools
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=${1:-.tools}
sam_cli=1.170.0 cfn_lint=1.58.0
venv=$tools/sam
stamp=$venv/installed-$sam_cli-$cfn_lint

if [ ! -e "$stamp" ]; then
  command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or later (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
  echo "installing SAM CLI $sam_cli and cfn-lint $cfn_lint into $venv (about 45 s, 340 MB) ..."
  rm -rf "$venv"
  python3 -m venv "$venv" || { echo "python3 cannot make a virtual environment: install python3-venv" >&2; exit 1; }
  # Exactly what the list has, wheels alone: building one would run what has no hash.
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r infra/template/hashes.txt
  touch "$stamp"
fi
if [ "${2:-}" = install ]; then exit 0; fi

# SAM wants a region, must not find anybody's credentials, and should tell nobody.
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE
export AWS_DEFAULT_REGION=eu-west-1 AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_EC2_METADATA_DISABLED=true SAM_CLI_TELEMETRY=0

"$venv/bin/sam" validate
"$venv/bin/sam" validate --lint
"$venv/bin/python" infra/template/expand_lint.py template.yaml
echo "template.yaml: clean as SAM, by cfn-lint, and as translated CloudFormation"
