"""A registry in a hundred lines: list, unverify and restore on SQLite. usage: registry.py FILE, listens on loopback.

The token comes from REGISTRY_TOKEN; the port (REGISTRY_PORT, or any) is printed. For tests: it speaks HTTP without TLS.
"""
import json
import os
import re
import sqlite3
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import parse_qs, unquote, urlsplit

PROBLEM = "urn:lapseguard:problem:"
LATE = ("redemption", "pending delete", "released")  # nobody can have verified since: an unknown time counts as older
db, lock = sqlite3.connect(sys.argv[1], check_same_thread=False, isolation_level=None), Lock()
db.executescript("""
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS addresses (id INTEGER PRIMARY KEY, address TEXT, host TEXT, verified INTEGER, at TEXT, key TEXT);
CREATE TABLE IF NOT EXISTS work (key TEXT PRIMARY KEY, request TEXT, answer TEXT, restored TEXT);
CREATE TABLE IF NOT EXISTS calls (n INTEGER PRIMARY KEY, key TEXT, changed INTEGER);
""")


class Refused(Exception):
    def __init__(self, status, kind, title):
        self.status, self.body = status, {"type": PROBLEM + kind, "title": title, "status": status}


def when(s):
    return datetime.fromisoformat(s.replace("Z", "+00:00"))


def now():
    if path := os.environ.get("REGISTRY_CLOCK"):  # a simulated one
        with open(path, encoding="ascii") as f:
            return f.read().strip()
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def listing(query):
    after, limit = query.get("after", [""])[0], int(query.get("limit", ["10000"])[0])
    rows = db.execute("""SELECT host, count(*), CASE WHEN count(at) = count(*) THEN min(at) END, max(at) FROM addresses
        WHERE verified AND host > ? GROUP BY host ORDER BY host LIMIT ?""", (after, limit + 1)).fetchall()
    page = rows[:limit]
    more = len(rows) > limit
    hosts = [{"host": h, "addresses": n, "oldest": o, "newest": w} for h, n, o, w in page]
    return {"as_of": now(), "hosts": hosts, "next": page[-1][0] if more else None, "complete": not more}


def unverify(domain, body):
    request, key = json.dumps([domain, body], sort_keys=True), body.get("key")
    done = db.execute("SELECT request, answer, restored FROM work WHERE key = ?", (key,)).fetchone()
    if done and not body.get("dry_run"):
        if done[0] != request:
            raise Refused(409, "key-reused", "the key belongs to another request")
        if done[2]:
            raise Refused(409, "restored", "it was taken back")
        return json.loads(done[1])
    rows = db.execute("SELECT id, verified, at FROM addresses WHERE host = ? OR substr(host, -length(?)) = ?", (domain, "." + domain, "." + domain)).fetchall()
    before, late = when(body["verified_before"]), body["phase"] in LATE
    older = [i for i, v, at in rows if v and (late if at is None else when(at) < before)]
    if len(older) > body["max_addresses"]:
        raise Refused(422, "too-many-addresses", "more would change than max_addresses allows")
    verified = sum(1 for _, v, _ in rows if v)
    answer = {"changed": len(older), "already_unverified": len(rows) - verified, "kept_verified_later": verified - len(older), "recovery": "closed"}
    if not body.get("dry_run"):
        db.executemany("UPDATE addresses SET verified = 0, key = ? WHERE id = ?", [(key, i) for i in older])
        db.execute("INSERT INTO work VALUES (?, ?, ?, NULL)", (key, request, json.dumps(answer)))
        db.execute("INSERT INTO calls (key, changed) VALUES (?, ?)", (key, len(older)))
    return answer


def restore(key):
    done = db.execute("SELECT answer, restored FROM work WHERE key = ?", (key,)).fetchone()
    if not done:
        raise Refused(404, "unknown-key", "nothing was done under this key")
    if done[1]:
        return json.loads(done[1])
    n = db.execute("UPDATE addresses SET verified = 1, key = NULL WHERE key = ? AND NOT verified", (key,)).rowcount
    answer = {"restored": n, "kept": json.loads(done[0])["changed"] - n}
    db.execute("UPDATE work SET restored = ? WHERE key = ?", (json.dumps(answer), key))
    return answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url, status = urlsplit(self.path), 200
        try:
            if self.headers.get("Authorization") != "Bearer " + os.environ["REGISTRY_TOKEN"]:
                raise Refused(401, "unauthorized", "no valid token")
            with lock, db:  # one transaction for the key and the work
                db.execute("BEGIN IMMEDIATE")
                if self.command == "GET" and url.path == "/v1/email-domains":
                    out = listing(parse_qs(url.query))
                elif m := re.fullmatch(r"/v1/email-domains/([^/]+)/unverify", url.path):
                    out = unverify(unquote(m[1]), json.loads(body))
                elif m := re.fullmatch(r"/v1/unverifications/([^/]+)/restore", url.path):
                    out = restore(unquote(m[1]))
                else:
                    status, out = 404, {"type": "about:blank", "title": "not found", "status": 404}
        except Refused as e:
            status, out = e.status, e.body
        raw = json.dumps(out).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("REGISTRY_PORT", "0"))), Handler)
print(server.server_port, flush=True)
server.serve_forever()
