// Package bill is what the stack costs a month: volumes from the product's own constants, list prices, every assumption.
package bill

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

// Model is the assumptions by name.
type Model map[string]assume

// Assumptions is the model that the product's bill is made with.
func Assumptions() Model {
	return Model{
		"near":       {"share of domains within 50 days of expiry or its anniversary: asked weekly where the zone is blind", float64(2*lifecycle.NearExpiry) / float64(365*24*time.Hour)},
		"blind":      {"share of domains in described TLDs whose zone need not show a lapse", 0.05},
		"undescr":    {"share of domains in TLDs whose rules are not described: asked weekly", 0.05},
		"trouble":    {"share of domains out of service or lapsing: asked daily, and written at each look", 0.005},
		"looks":      {"looks a year at a domain while recovery through it is closed (make simulate: looks between the daily runs, without those after an answer that failed; mean of three seeds, 7.5 with the status API on)", 6.2},
		"again":      {"share of the zone's answers that fail for a moment, and are asked for again six hours later (make simulate has 0.005, to be hard)", 0.001},
		"after":      {"share of domains within 46 days after an expiry or its anniversary, whose MX is asked daily", float64(lifecycle.Expiring+24*time.Hour) / float64(365*24*time.Hour)},
		"mxasked":    {"questions to the resolver for a domain whose MX is asked, those for its own mail hosts' addresses among them (make simulate: MX questions per domain-year, 144)", 1.6},
		"segments":   {"segments in which fanout goes through the table (Segments): each has small zones of its own", 4},
		"raised":     {"messages raised by a message of such looks: to the resolver or a registry, once a day for each domain", 1},
		"moved":      {"writes to the index of what is due when that changes: the old entry goes, a new one comes", 2},
		"told":       {"share of looks at closed domains whose answer is stored: the time of one that says the same, twice a day", 0.35},
		"tickreads":  {"reads of a quiet tick, and of fanout that finds nothing to resume", 11},
		"silence":    {"seconds for a question that nobody answers, three at once", 10.0 / 3},
		"changed":    {"share of hosts that the list reports as changed each day", 0.002},
		"acted":      {"share of domains closed, opened or decided about each day: a case, an answer, history (make simulate: closings and unverified domains per 1,000 domain-years; each closing is opened again)", (2*82 + 18) / 1000.0 / 365},
		"news":       {"history entries of a domain and year, each a transaction with the domain (make simulate; two of four are first looks)", 2},
		"rate":       {"seconds for a question by RDAP where the server is Verisign's (half of all domains)", 1 / 10.0},
		"slow":       {"seconds for a question by RDAP elsewhere (RdapRate of 2 a second)", 1 / 2.0},
		"fast":       {"share of RDAP questions that go to Verisign", 0.5},
		"overlap":    {"messages answered at once by one invocation: its batch of ten holds messages of several upstreams, each waits for its own", 2},
		"delegation": {"seconds for a full message of questions to a zone, 32 at once: five rounds of 30 ms, and 10 ms of a whole core's work", 0.3},
		"mail":       {"MX questions a second", 200},
		"own":        {"seconds for 64 questions to domains' own name servers, asked at once", 0.3},
		"mute":       {"share of domains with a name server that is silent: the message waits 2 seconds more", 1.0 / 90},
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
		"kept":       {"history entries kept of a domain after a year (make simulate: 4 a year, two of them first looks, which expire after 90 days; the others after two years)", 2},
		"deps":       {"domains that a domain's mail depends on (its MX and its name servers')", 2},
		"dns":        {"bytes out of AWS for a question to DNS: 47 of the message, 28 of UDP and IP", 75},
		"rdapout":    {"bytes out of AWS for a question by RDAP, connections being kept: request, acknowledgements, a part of the handshake", 800},
	}
}

// Line is one position of the bill.
type Line struct {
	What     string
	Price    string // key in prices
	Quantity float64
}

// Day is what happens in a day, or in a part of one.
type Day struct {
	Domains  float64
	Messages float64 // of delegation questions of a run
	Chunks   float64 // of 64 KB in them
	RDAP     float64 // domains asked by RDAP in a run
	MX       float64
	Own      float64 // messages of questions to domains' own name servers, each once a week
	Raised   float64 // messages raised by answers
	Slow     float64 // of these, to registries
	Calls    float64 // invocations of checker; batches are half full
	Ticks    float64 // of applier, and as often fanout looks for something to resume
	Trouble  float64 // domains written at the run's look
	Looks    float64 // looks between the runs at domains whose recovery is closed
	Again    float64 // and at others, whose answer failed
	Changed  float64 // domains that the list reports as changed
	Acted    float64 // domains closed, opened, decided about
	News     float64 // looks that found news: history
	Balances float64 // ticks that weigh what a run sent against what was answered
	Whole    float64 // whole lists: one a week
	Parked   float64 // messages parked for a dead upstream, and sent again
	Silent   float64 // questions that nobody answered
	Mails    float64 // alarms by mail
	Item     float64 // bytes of a domain's item
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
const maxBuffered = 60_000

// Day is a day of so many domains.
func (m Model) Day(domains int) (Day, error) {
	entries := make([]queue.Entry, queue.MaxDelegation)
	for i := range entries {
		entries[i] = queue.Entry{Name: sample(i).Name, Version: 3, Item: json.RawMessage(sample(i).Data())}
	}
	packed := queue.Pack(queue.Message{Kind: queue.KindDelegation, Upstream: "com", Run: "20260302T030000Z", Share: 1, Sent: time.Unix(1_790_000_000, 0)}, entries)
	body, err := queue.Encode(packed[0])
	if err != nil {
		return Day{}, fmt.Errorf("encode a message: %w", err)
	}
	full := len(packed[0].Domains)
	d := sample(0)
	v := Day{Domains: float64(domains), Item: itemBytes(len(d.Name), 0, len(d.Data()))}
	day := 24 * time.Hour
	weekly := m["near"].value*m["blind"].value + m["undescr"].value
	rarely := 1 - weekly
	v.RDAP = v.Domains * (weekly*float64(day)/float64(lifecycle.Weekly) + rarely*float64(day)/float64(lifecycle.Rarely) + m["trouble"].value)
	v.Own = v.Domains / 7
	v.MX = v.Own + v.Domains*6/7*m["after"].value
	// Fanout packs those that raise further questions apart; nearly all others raise none. Each segment has what is left over.
	raises := 1 - (1-v.MX/v.Domains)*(1-v.RDAP/v.Domains)
	segment := v.Domains / m["segments"].value
	quiet, loud := dispatch(int(segment*(1-raises)), full), dispatch(int(segment*raises), full)
	v.Messages = float64(quiet+loud) * m["segments"].value
	v.Chunks = math.Max(v.Messages, v.Domains/float64(full)*math.Ceil(float64(len(body))/(64<<10)))
	// Each of the others raises one message to a registry, one to the resolver and one to own servers, if any of its domains is due.
	piles := float64(loud) * m["segments"].value
	some := func(domains float64, most int) float64 {
		share := domains / v.Domains / raises
		return math.Max(piles*(1-math.Pow(1-share, v.Domains*raises/piles)), domains/float64(min(most, full)))
	}
	v.Slow, v.Own = some(v.RDAP, queue.MaxDomains(queue.KindRDAP)), some(v.Own, queue.MaxDomains(queue.KindServers))
	v.Raised = v.Slow + some(v.MX, queue.MaxDomains(queue.KindMail)) + v.Own
	v.Ticks, v.Balances, v.Whole, v.Mails = 96, m["balance"].value, 1.0/7, m["mails"].value/days
	v.Trouble, v.Looks, v.Again = v.Domains*m["trouble"].value, v.Domains*m["looks"].value/365, v.Domains*m["again"].value
	v.Changed, v.Acted = v.Domains*m["changed"].value, v.Domains*m["acted"].value
	v.News = v.Domains * m["news"].value / 365
	v.Calls = (v.Messages + v.Raised + v.together()*(1+m["raised"].value)) / queue.BatchSize * 2
	return v, nil
}

// together is how many messages looks go in: those of a tick at one zone are sent together.
func (v Day) together() (messages float64) {
	n := (v.Looks + v.Again) / v.Ticks
	for _, share := range zones() {
		messages += math.Max(1-math.Pow(1-share, n), n*share/queue.MaxDelegation)
	}
	return messages * v.Ticks
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

// Bill is every position of a month that is all of one kind of days.
func (m Model) Bill(t *template.Template, domains int, kind Kind) ([]Line, error) {
	v, err := m.Day(domains)
	if err != nil {
		return nil, err
	}
	lines := m.Lines(t, kind(v))
	for i := range lines {
		lines[i].Quantity *= days
	}
	return slices.Concat(lines, m.kept(kind(v)), m.watch(t)), nil
}

// Lines is what a day costs that is charged by what is done.
func (m Model) Lines(t *template.Template, v Day) []Line {
	return slices.Concat(m.lambda(t, v), m.queue(v), m.table(v), []Line{
		{"KMS for tokens and tables", "kms/call", m["kms"].value / days},
		{"SSM reads: the mode before anything is done, tokens", "ssm/read", v.Ticks * 2},
		{"alarms and digests by e-mail", "sns/mail", v.Mails},
		{"logs", "logs/ingest", m.logs(v)},
		{"questions on their way to the internet", "transfer/out", ((v.Domains+v.MX*m["mxasked"].value+v.Domains/7*m["servers"].value)*m["dns"].value + (v.RDAP+v.Silent)*m["rdapout"].value) / gb},
	})
}

func (m Model) lambda(t *template.Template, v Day) []Line {
	memory := func(folder string) float64 {
		n, _ := t.Property(template.FunctionID(folder), "MemorySize").(int)
		return float64(n) / 1024
	}
	rdap := v.RDAP * (m["fast"].value*m["rate"].value + (1-m["fast"].value)*m["slow"].value) / m["overlap"].value
	asking := v.Domains/queue.MaxDelegation*m["delegation"].value + (v.Messages-v.Domains/queue.MaxDelegation+v.together())*m["delegation"].value/2
	check := (asking + rdap + v.MX*m["mxasked"].value/m["mail"].value + m.own(v)/m["overlap"].value + v.Silent*m["silence"].value) * memory("checker")
	apply := v.Ticks * m["tick"].value * memory("applier")
	fan := (m["fanout"].value*v.Domains/million + v.Ticks*m["resume"].value) * memory("fanout")
	return []Line{
		{"checker: waiting for zones, registries, the resolver and own servers", "lambda/gbs", check},
		{"applier: a tick every 15 minutes", "lambda/gbs", apply},
		{"fanout: list and dispatch, and nothing to resume", "lambda/gbs", fan},
		{"invocations (batches half full)", "lambda/request", v.Calls + 2*v.Ticks + 1},
		{"schedules", "scheduler/call", 2*v.Ticks + 1},
	}
}

// own is how many seconds messages of questions to domains' own name servers take.
func (m Model) own(v Day) float64 {
	if v.Own == 0 {
		return 0
	}
	each := v.Domains / 7 / v.Own
	return v.Own * (math.Ceil(each/64)*m["own"].value + 2*(1-math.Pow(1-m["mute"].value, each)))
}

// Polls is the price's key of what Lambda itself asks the queue: nobody but AWS counts it.
const Polls = "Lambda polls the queue"

func (m Model) queue(v Day) []Line {
	// A full message is a request of its own to send and to receive, for its size; raised ones are small: sent two
	// at a time, received and deleted ten at a time.
	small := v.together()*(1+m["raised"].value) + v.Parked
	return []Line{
		{"questions sent", "sqs/fifo", v.Chunks + (v.Raised+small)/2},
		{Polls + ": questions received, deleted", "sqs/fifo", v.Chunks + v.Messages/queue.BatchSize + (v.Raised+small)/queue.BatchSize*2},
		{Polls, "sqs/fifo", m["poll"].value * 60 * 24 * v.Ticks / 96},
	}
}

// Index is in the name of what the index of due domains costs.
const Index = "the index of what is due"

func (m Model) table(v Day) []Line {
	units := func(bytes float64) float64 { return math.Ceil(bytes / 1024) }
	markers, marker := v.Messages+v.Raised, itemBytes(24, 66, 150)
	changed := v.Changed * 2 // in one transaction of host and domain, which costs twice
	acted := v.Acted * 10
	reads := v.Domains*v.Item/(8<<10) + // eventually consistent: 8 KB a unit
		changed + acted + v.Looks + v.Again + v.Ticks // the list's changes, and ticks: the index
	kept := v.Domains*200/(4<<10)*v.Whole + // the whole list against the stored hosts
		v.Ticks*m["tickreads"].value + v.Looks + v.Again + v.Calls + v.Slow + 2*v.Parked + v.Balances*markers*marker/(4<<10) + 2*changed + acted
	return []Line{
		{"domains written after a quiet look by RDAP", "dynamodb/write", v.RDAP * units(v.Item)},
		{"domains in trouble, written at each look of a run", "dynamodb/write", v.Trouble * units(v.Item)},
		{"domains whose control is in doubt: when a look is sent, and after some", "dynamodb/write", v.Looks * (1 + m["told"].value) * units(v.Item)},
		{"domains whose answer failed: then, when another look is sent, and after it", "dynamodb/write", v.Again * 3 * units(v.Item)},
		{Index + " of these", "dynamodb/write", v.Trouble + (v.Looks+2*v.Again)*m["moved"].value},
		{"domains changed by the list, decisions, news", "dynamodb/write", changed + acted + v.News}, // a transaction costs twice
		{"markers: which message was answered", "dynamodb-ia/write", markers},
		{"budgets of registries, leases of ticks", "dynamodb-ia/write", v.Slow + 2*v.Ticks},
		{"messages parked, and when they are due", "dynamodb-ia/write", 3 * v.Parked},
		{"hosts and sums changed by the list, holds, history", "dynamodb-ia/write", 2*changed + acted + 2*v.News},
		{"the daily scan of domains, ticks", "dynamodb/read", reads},
		{"the list against stored hosts, ticks, budgets", "dynamodb-ia/read", kept},
	}
}

// kept is what is charged for lying there, a month.
func (m Model) kept(v Day) []Line {
	markers, marker := v.Messages+v.Raised, itemBytes(24, 66, 150)
	hosts := itemBytes(5, 20, 79) + perItem + itemBytes(25, 5, 8) + perItem // a host, and the sum of a domain's
	deps := m["deps"].value * (2*perItem + itemBytes(25, 2, 30) + itemBytes(30, 20, 30))
	history := m["kept"].value * (itemBytes(25, 26, 430) + perItem)
	run := markers * float64(records.RunTTL/(24*time.Hour)) * (marker + perItem) / v.Domains
	items, stored := v.Domains*(v.Item+perItem)/gb, v.Domains*(hosts+deps+history+run)/gb
	return []Line{
		{"domains kept", "dynamodb/storage", items},
		{"hosts, dependencies, history, runs kept", "dynamodb-ia/storage", stored},
		{"recovery of both to any second of 35 days", "dynamodb/pitr", items + stored},
		{"logs kept", "logs/storage", m.logs(v) * days * m["months"].value},
	}
}

// logs are gigabytes of a day.
func (m Model) logs(v Day) float64 {
	calls := v.Calls + 2*v.Ticks + 1
	return ((v.Messages+v.Raised+v.together()*(1+m["raised"].value)+v.Parked)*m["logline"].value + calls*m["logcall"].value) / gb
}

func (m Model) watch(t *template.Template) []Line {
	hours := MetricHours()
	return []Line{
		{fmt.Sprintf("metrics: %d names, %.0f metric-hours a day", len(telemetry.All()), hours), "cloudwatch/metric", hours / 24},
		{"alarms", "cloudwatch/alarm", float64(len(t.Resources("AWS::CloudWatch::Alarm")))},
		{"dashboard", "cloudwatch/dashboard", m["dashboard"].value},
	}
}

// MetricHours is for how many hours of a day a metric gets a value, summed up over all: what metrics are charged by.
func MetricHours() (hours float64) {
	for _, metric := range telemetry.All() {
		n := map[string]int{
			"": 1, telemetry.DimPhase: len(lifecycle.Phases()), telemetry.DimReason: len(registry.Reasons()), telemetry.DimUpstream: len(checker.Upstreams()),
		}[metric.Dimension]
		hours += float64(metric.Hours * n)
	}
	return hours
}

// Kind makes a day of a bad month of a usual one.
type Kind func(Day) Day

// Usual is a day as most are.
func Usual(v Day) Day { return v }

// WithoutLooks is a day of a guard that, once recovery through a domain is closed, waits for the next run.
func WithoutLooks(v Day) Day {
	v.Looks, v.Again = 0, 0
	return v
}

// bads are what a month may bring. https://docs.aws.amazon.com/ has no price for any of it: it is more of the same.
var bads = []struct {
	what string
	kind Kind
}{
	{"2,000 domains more in doubt all month, held until a person decides (of fewer: 1 %)", func(v Day) Day {
		n := math.Min(2000, v.Domains/100)
		v.Trouble, v.RDAP, v.Looks = v.Trouble+n, v.RDAP+n, v.Looks+4*n
		return v
	}},
	{"the registry of a tenth of all domains dead all month: each message to it parked three times, ten questions a day and domain to it in vain", func(v Day) Day {
		messages := v.Slow / 10
		v.Parked, v.Silent = v.Parked+3*messages, v.Silent+4*messages*vain
		v.Mails += 4
		return v
	}},
	{"five noisy days: the list reports ten times as many changes, one domain in a hundred looks lapsed for the day", func(v Day) Day {
		const share = 5 / days
		v.Changed, v.Trouble, v.RDAP = v.Changed*(1+9*share), v.Trouble+v.Domains*0.01*share, v.RDAP+v.Domains*0.01*share
		v.Looks, v.Mails = v.Looks+v.Domains*0.01*share*4, v.Mails+20*share
		return v
	}},
}

// vain is how many questions of a message go to a server that answers nobody before the rest is parked.
const vain = 3

// first is what the first month costs on top: everything is written, and every registry is asked about every domain.
func (m Model) first(t *template.Template, v Day) []Line {
	memory, _ := t.Property(template.FunctionID("checker"), "MemorySize").(int)
	seconds := v.Domains * (m["fast"].value*m["rate"].value + (1-m["fast"].value)*m["slow"].value) / m["overlap"].value
	// Transactions cost twice: host, domain and its sum from the list; then domain, history and what it depends on.
	return []Line{
		{"first look by RDAP at every domain", "lambda/gbs", seconds * float64(memory) / 1024},
		{"domains written: from the list, and after three first looks", "dynamodb/write", v.Domains * 4 * 2},
		{"hosts, history, dependencies written", "dynamodb-ia/write", v.Domains * (2 + 2 + 2*m["deps"].value) * 2},
	}
}

// names are the assumptions in order.
func (m Model) names() []string { return slices.Sorted(maps.Keys(m)) }
