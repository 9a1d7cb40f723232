#!/usr/bin/env python3
"""Translate template.yaml to plain CloudFormation offline, then lint what comes out.

`sam validate --lint` holds SAM resources against a schema only: it neither runs the SAM transform nor
looks deeply into Globals, so a !Ref or !GetAtt to nothing can pass. This runs the translator
(aws-sam-translator) and lints what CloudFormation would really get. It also refuses what neither looks
at: a policy statement with a wildcard, and a managed policy brought in by the translator.

Usage: expand_lint.py TEMPLATE [OUT.json]      exit 0 clean, 1 not translatable, 2 findings
"""

import json
import os
import sys

REGION = os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

import boto3
from cfnlint.api import ManualArgs, lint
from samtranslator.parser.parser import Parser
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def expand(path):
    with open(path) as f:
        template = yaml_parse(f.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The translator wants S3 addresses, as `sam package` leaves them.
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    session = boto3.session.Session(region_name=REGION)
    # No managed policy is looked up: the template names none.
    return Translator({}, Parser(), boto_session=session).translate(sam_template=template, parameter_values={})


def policies(cfn):
    """Wildcards and managed policies, in the template's roles and in those the translator adds."""
    for name, resource in cfn["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        properties = resource["Properties"]
        if properties.get("ManagedPolicyArns"):
            yield f"X0002 Resources/{name}: managed policies {properties['ManagedPolicyArns']}"
        for policy in properties.get("Policies", []):
            for key, text in strings(policy["PolicyDocument"]["Statement"]):
                if "*" in text and key != "Condition":  # one narrows; what it may say the Go checks see to
                    yield f"X0003 Resources/{name}/{policy['PolicyName']}: wildcard in {text!r}"


def strings(value, key=None):
    """Every text below value, with the member of its statement that it is in."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from strings(v, k if key in (None, "Fn::If") else key)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v, key)


def main(path, out=None):
    try:
        cfn = expand(path)
    except InvalidDocumentException as e:
        for cause in e.causes:
            print(f"{path}: SAM translator: {cause.message}")
        return 1
    cfn.pop("Transform", None)
    text = json.dumps(cfn, indent=1)
    if out:
        with open(out, "w") as f:
            f.write(text)
    found = list(policies(cfn))
    for match in lint(text, config=ManualArgs(regions=[REGION])):
        if match.rule.id[0] in "EW":
            found.append(f"{match.rule.id} {'/'.join(map(str, match.path or []))}: {match.message[:200]}")
    for line in found:
        print(f"{path}: {line}")
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
