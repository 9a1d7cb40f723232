package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/source"
	"github.com/lapseguard/lapseguard/shared/telemetry"
)

// days of a month.
const days = 365.0 / 12

// gb is what AWS calls a gigabyte.
const gb = 1 << 30

// assume is what the product's own constants do not say. The text is printed with the bill.
type assume struct {
	text  string
	value float64
}

// model is the assumptions by name.
type model map[string]assume

func assumptions() model {
	return model{
		"near":       {"share of domains within 50 days of expiry or its anniversary: asked weekly where the zone is blind", float64(2*lifecycle.NearExpiry) / float64(365*24*time.Hour)},
		"blind":      {"share of domains in described TLDs whose zone need not show a lapse", 0.05},
		"undescr":    {"share of domains in TLDs whose rules are not described: asked weekly", 0.05},
		"trouble":    {"share of domains out of service or lapsing: asked daily, and written at each look", 0.005},
		"doubt":      {"share of domains whose recovery was closed within sixty days and is closed still (make simulate: 82 closings per 1,000 domain-years, each for 31 of these days)", 0.007},
		"looks":      {"looks a day at such a domain beside the daily one: 24 on the first day, then 4", 4.5},
		"changed":    {"share of hosts that the list reports as changed each day", 0.002},
		"acted":      {"share of domains that change their phase each day: a decision, a hold, history, an answer", 0.00005},
		"rate":       {"seconds for a question by RDAP where the server is Verisign's (half of all domains)", 1 / 10.0},
		"slow":       {"seconds for a question by RDAP elsewhere (RdapRate of 2 a second)", 1 / 2.0},
		"fast":       {"share of RDAP questions that go to Verisign", 0.5},
		"overlap":    {"messages answered at once by one invocation: its batch of ten holds messages of several upstreams, each waits for its own", 2},
		"delegation": {"seconds for a full message of questions to a zone, 32 at once: five rounds of 30 ms, and 10 ms of a whole core's work", 0.3},
		"mail":       {"MX questions a second", 200},
		"own":        {"seconds for a message of questions to domains' own name servers: 0.3, and 2 more for one in five, of which a server is silent", 0.7},
		"servers":    {"questions to DNS for a domain whose own name servers are asked: its zone, two or three servers, and now and then an address", 4},
		"tick":       {"seconds of a tick of applier on a quiet day", 1.5},
		"fanout":     {"seconds of fanout for a million domains (its benchmark takes 7 s on one core, at 0.3 of one here)", 60},
		"balance":    {"ticks that weigh what a run sent against what was answered, until it is complete (three hours)", 12},
		"resume":     {"seconds of fanout when there is nothing to resume", 0.1},
		"poll":       {"requests a minute with which Lambda polls the queue, empty or not", 15},
		"logline":    {"bytes of log for an answered message", 450},
		"logcall":    {"bytes of log of an invocation: Lambda's own lines, a tick's event, metrics", 1500},
		"months":     {"months for which logs are kept (LogRetentionDays)", 3},
		"kms":        {"requests to KMS a month: tokens are read once an environment, tables cache their key", 5000},
		"mails":      {"alarms and digests by e-mail a month", 80},
		"dashboard":  {"dashboards charged: the first three of an account are free, always; this is the only free allowance that is counted", 0},
		"kept":       {"history entries kept of a domain after a year: two first looks, and a change a year (they expire after two)", 3},
		"deps":       {"domains that a domain's mail depends on (its MX and its name servers')", 2},
		"dns":        {"bytes out of AWS for a question to DNS: 47 of the message, 28 of UDP and IP", 75},
		"rdapout":    {"bytes out of AWS for a question by RDAP, connections being kept: request, acknowledgements, a part of the handshake", 800},
	}
}

// line is one position of the bill.
type line struct {
	what     string
	price    string // key in prices
	quantity float64
}

// volumes are counts of one day for a number of domains, from the product's own code and constants.
type volumes struct {
	domains   float64
	messages  float64 // of delegation questions
	chunks    float64 // of 64 KB in them
	rdap      float64 // domains asked by RDAP
	mx        float64
	own       float64 // messages of questions to domains' own name servers, as many domains as mx
	raised    float64 // messages raised by answers
	looks     float64 // messages of looks at domains whose recovery is closed
	item      float64 // bytes of a domain's item
	scanBytes float64
	calls     float64 // invocations of Lambda; batches are half full
}

// sample is a domain as it is stored after its first looks.
func sample(n int) records.Domain {
	now := lifecycle.Instant(1_790_000_000)
	d := records.NewDomain(fmt.Sprintf("example-%07d.com", n), now)
	d.Listed, d.Hosts, d.Addresses, d.Oldest, d.Newest = true, 1, 2, now-90_000_000, now-10_000_000
	d.Action, d.Confidence, d.Reason = lifecycle.None, lifecycle.High, lifecycle.ReasonDelegated
	ns := source.Fingerprint([]string{"ns1.example.net", "ns2.example.net"})
	d.State = lifecycle.State{
		Schema: lifecycle.StateSchema, Phase: lifecycle.Active, Since: now, First: now,
		Deleg: lifecycle.DelegationHome, DelegAt: now, DelegSince: now, NS: ns, Home: ns,
		Reg: lifecycle.WordRegistered, RegAt: now, RegSince: now, RegServer: "rdap.verisign.com", RegAuth: true,
		Registered: now - 200_000_000, Expires: now + 20_000_000, Registrar: "292", NextRDAP: now + 3_000_000, MailSet: ns,
	}
	return d
}

// zones are shares of domains by zone: com, a few large ones, and a long tail (as registries' public counts go).
func zones() []float64 {
	shares := []float64{0.46, 0.05, 0.045, 0.04, 0.035, 0.02, 0.02, 0.018, 0.017, 0.015, 0.015, 0.013, 0.012, 0.01, 0.01, 0.009, 0.009, 0.008, 0.008, 0.008}
	rest, sum := 1.0, 0.0
	for _, s := range shares {
		rest -= s
	}
	const tail = 300
	for i := range tail {
		sum += 1 / float64(i+1)
	}
	for i := range tail {
		shares = append(shares, rest/sum/float64(i+1))
	}
	return shares
}

// dispatch counts the messages of a run as fanout packs them: full ones at once, the rest when so many domains are
// held back that it sends all of them. The draw has a fixed seed, so that the bill is the same each time.
func dispatch(domains, perMessage int) (messages int) {
	shares, r := zones(), rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- a sample, not a secret
	for i := 1; i < len(shares); i++ {
		shares[i] += shares[i-1]
	}
	held, sum := map[int]int{}, 0
	for range domains {
		zone, _ := slices.BinarySearch(shares, r.Float64())
		held[zone]++
		if sum++; held[zone] == perMessage {
			messages++
			sum -= perMessage
			delete(held, zone)
		}
		if sum >= maxBuffered {
			messages += len(held)
			held, sum = map[int]int{}, 0
		}
	}
	return messages + len(held)
}

// maxBuffered is fanout's (functions/handler/fanout/dispatch.go): how many domains a segment holds back.
const maxBuffered = 30_000

func (m model) volumes(domains int) (volumes, error) {
	entries := make([]queue.Entry, queue.MaxDelegation)
	for i := range entries {
		entries[i] = queue.Entry{Name: sample(i).Name, Version: 3, Item: json.RawMessage(sample(i).Data())}
	}
	packed := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Run: "20260302T030000Z", Share: 1, Sent: time.Unix(1_790_000_000, 0)}, entries)
	body, err := queue.Encode(packed[0])
	if err != nil {
		return volumes{}, fmt.Errorf("encode a message: %w", err)
	}
	full := len(packed[0].Domains)
	d := sample(0)
	v := volumes{domains: float64(domains), item: itemBytes(len(d.Name), 0, len(d.Data()))}
	v.messages = float64(dispatch(domains, full))
	v.chunks = math.Max(v.messages, v.domains/float64(full)*math.Ceil(float64(len(body))/(64<<10)))
	day := 24 * time.Hour
	weekly := m["near"].value*m["blind"].value + m["undescr"].value
	rarely := 1 - weekly
	v.rdap = v.domains * (weekly*float64(day)/float64(lifecycle.Weekly) + rarely*float64(day)/float64(lifecycle.Rarely) + m["trouble"].value)
	v.mx = v.domains / 7
	// Each answered message raises one message to a registry, one to the resolver and one to own servers, if any of its domains is due.
	each := v.domains / v.messages
	some := func(share float64) float64 { return v.messages * (1 - math.Pow(1-share, each)) }
	v.own = math.Max(some(1.0/7), v.mx/queue.MaxDelegation)
	v.raised = math.Max(some(v.rdap/v.domains), v.rdap/queue.MaxSlow) + math.Max(some(1.0/7), v.mx/queue.MaxSlow) + v.own
	v.scanBytes = v.domains * v.item
	v.looks = v.domains * m["doubt"].value * m["looks"].value
	v.calls = (v.messages+v.raised+v.looks)/queue.BatchSize*2 + 2*96 + 1
	return v, nil
}

// itemBytes is the size of an item in DynamoDB: names and values of pk, sk, data, v and ttl.
func itemBytes(pk, sk, data int) float64 {
	n := 2 + pk + 4 + data + 1 + 3
	if sk > 0 {
		n += 2 + sk + 3 + 6
	}
	return float64(n)
}

// perItem is what DynamoDB adds to an item's size for storage.
const perItem = 100

// bill is every position of a month.
func (m model) bill(t *template.Template, domains int) ([]line, error) {
	v, err := m.volumes(domains)
	if err != nil {
		return nil, err
	}
	lines := slices.Concat(m.lambda(t, v), m.queue(v), m.table(v), m.watch(t, v))
	return append(lines,
		line{"KMS for tokens and tables", "kms/call", m["kms"].value},
		line{"SSM reads: the mode before anything is done, tokens", "ssm/read", 96 * days * 2},
		line{"alarms and digests by e-mail", "sns/mail", m["mails"].value},
		line{"questions on their way to the internet", "transfer/out", ((v.domains+v.mx*(1+m["servers"].value))*m["dns"].value + v.rdap*m["rdapout"].value) * days / gb},
	), nil
}

func (m model) lambda(t *template.Template, v volumes) []line {
	memory := func(folder string) float64 {
		n, _ := t.Property(template.FunctionID(folder), "MemorySize").(int)
		return float64(n) / 1024
	}
	rdap := v.rdap * (m["fast"].value*m["rate"].value + (1-m["fast"].value)*m["slow"].value) / m["overlap"].value
	asking := v.domains/queue.MaxDelegation*m["delegation"].value + (v.messages-v.domains/queue.MaxDelegation)*m["delegation"].value/2
	check := (asking + rdap + v.mx/m["mail"].value + v.own*m["own"].value/m["overlap"].value) * days * memory("checker")
	ticks := 4 * 24 * days
	apply := ticks * m["tick"].value * memory("applier")
	fan := (m["fanout"].value*v.domains/million*days + ticks*m["resume"].value) * memory("fanout")
	calls := v.calls * days
	return []line{
		{"checker: waiting for zones, registries, the resolver and own servers", "lambda/gbs", check},
		{"applier: a tick every 15 minutes", "lambda/gbs", apply},
		{"fanout: list and dispatch, and nothing to resume", "lambda/gbs", fan},
		{"invocations (batches half full)", "lambda/request", calls},
		{"schedules", "scheduler/call", 2*ticks + days},
	}
}

func (m model) queue(v volumes) []line {
	// A full message is a request of its own to send and to receive, for its size; raised ones are small: sent two
	// at a time, received and deleted ten at a time.
	requests := v.chunks*2 + v.messages/queue.BatchSize + v.raised/2 + v.raised/queue.BatchSize*2 + v.looks*(1+2.0/queue.BatchSize)
	return []line{
		{"questions sent, received, deleted", "sqs/fifo", requests * days},
		{"Lambda polls the queue", "sqs/fifo", m["poll"].value * 60 * 24 * days},
	}
}

func (m model) table(v volumes) []line {
	units := func(bytes float64) float64 { return math.Ceil(bytes / 1024) }
	markers, marker := v.messages+v.raised, itemBytes(24, 66, 150)
	changed := v.domains * m["changed"].value * 2 // in one transaction of host and domain, which costs twice
	acted := v.domains * m["acted"].value * 10
	reads := v.scanBytes/(8<<10) + // eventually consistent: 8 KB a unit
		changed + acted + 96*4 // the list's changes, and ticks: the index, up to four times
	kept := v.domains*200/(4<<10)/7 + // the whole list, once a week, against the stored hosts
		96*5 + m["balance"].value*markers*marker/(4<<10) + 2*changed + acted // ticks: what waits and the run, balance
	hosts := itemBytes(5, 20, 79) + perItem + itemBytes(25, 5, 8) + perItem // a host, and the sum of a domain's
	deps := m["deps"].value * (2*perItem + itemBytes(25, 2, 30) + itemBytes(30, 20, 30))
	history := m["kept"].value * (itemBytes(25, 26, 430) + perItem)
	run := markers * float64(records.RunTTL/(24*time.Hour)) * (marker + perItem) / v.domains
	items, stored := v.domains*(v.item+perItem)/gb, v.domains*(hosts+deps+history+run)/gb
	return []line{
		{"domains written after a quiet look by RDAP", "dynamodb/write", v.rdap * units(v.item) * days},
		{"domains whose recovery is closed: each look is noted when sent and when answered, and moves in the index", "dynamodb/write", v.looks * 2 * 3 * units(v.item) * days},
		{"domains in trouble, written at each look, and in the index", "dynamodb/write", v.domains * m["trouble"].value * 2 * units(v.item) * days},
		{"domains changed by the list, decisions", "dynamodb/write", (changed + acted) * days},
		{"markers: which message was answered", "dynamodb-ia/write", markers * days},
		{"hosts and sums changed by the list, holds, history", "dynamodb-ia/write", (2*changed + acted) * days},
		{"the daily scan of domains, ticks", "dynamodb/read", reads * days},
		{"the list against stored hosts, ticks", "dynamodb-ia/read", kept * days},
		{"domains kept", "dynamodb/storage", items},
		{"hosts, dependencies, history, runs kept", "dynamodb-ia/storage", stored},
		{"recovery of both to any second of 35 days", "dynamodb/pitr", items + stored},
	}
}

func (m model) watch(t *template.Template, v volumes) []line {
	hours := 0.0
	for _, metric := range telemetry.All() {
		n := map[string]int{
			"": 1, telemetry.DimPhase: len(lifecycle.Phases()), telemetry.DimReason: len(registry.Reasons()), telemetry.DimUpstream: len(checker.Upstreams()),
		}[metric.Dimension]
		hours += float64(metric.Hours * n)
	}
	logs := ((v.messages+v.raised)*m["logline"].value + v.calls*m["logcall"].value) * days / gb
	return []line{
		{fmt.Sprintf("metrics: %d names, %.0f metric-hours a day", len(telemetry.All()), hours), "cloudwatch/metric", hours / 24},
		{"alarms", "cloudwatch/alarm", float64(len(t.Resources("AWS::CloudWatch::Alarm")))},
		{"dashboard", "cloudwatch/dashboard", m["dashboard"].value},
		{"logs", "logs/ingest", logs},
		{"logs kept", "logs/storage", logs * m["months"].value},
	}
}

// first is what the first month costs on top: everything is written, and every registry is asked about every domain.
func (m model) first(t *template.Template, v volumes) []line {
	memory, _ := t.Property(template.FunctionID("checker"), "MemorySize").(int)
	seconds := v.domains * (m["fast"].value*m["rate"].value + (1-m["fast"].value)*m["slow"].value) / m["overlap"].value
	// Transactions cost twice: host, domain and its sum from the list; then domain, history and what it depends on.
	return []line{
		{"first look by RDAP at every domain", "lambda/gbs", seconds * float64(memory) / 1024},
		{"domains written: from the list, and after three first looks", "dynamodb/write", v.domains * 4 * 2},
		{"hosts, history, dependencies written", "dynamodb-ia/write", v.domains * (2 + 2 + 2*m["deps"].value) * 2},
	}
}

// names are the assumptions in order.
func (m model) names() []string { return slices.Sorted(maps.Keys(m)) }
