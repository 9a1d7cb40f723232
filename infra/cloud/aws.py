"""Calls AWS for the tests beside it: boto3 is there with ministack, so the product's go.mod need not name a
dozen service clients that nothing deployed uses.

Standard input has one call a line, {"service": "lambda", "operation": "get_function", "in": {...}}; standard
output one answer a line, {"out": {...}} or {"error": "..."}. Answers of many pages are whole. The service
"sam" translates a template to what CloudFormation makes of it: {"operation": "translate", "in": {"text": ...}}.
"""

import datetime
import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.response import StreamingBody
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 2})
clients = {}


def call(service, operation, arguments):
    if service == "sam":
        session = boto3.session.Session(region_name=os.environ["AWS_DEFAULT_REGION"])
        template = yaml_parse(arguments["text"])
        return Translator({}, Parser(), boto_session=session).translate(sam_template=template, parameter_values={})
    client = clients.setdefault(service, boto3.client(service, config=CONFIG))
    if operation in client.meta.method_to_api_mapping and client.can_paginate(operation):
        return client.get_paginator(operation).paginate(**arguments).build_full_result()
    out = getattr(client, operation)(**arguments)
    if isinstance(out, dict):
        out.pop("ResponseMetadata", None)
    return out


def plain(value):
    """What JSON has no form for."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, StreamingBody):
        value = value.read()
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(type(value).__name__)


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"out": call(request["service"], request["operation"], request["in"])}
    except Exception as e:  # whatever it is, the test says it
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer, default=plain), flush=True)
