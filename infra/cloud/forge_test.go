package cloud

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/lapseguard/lapseguard/infra/emulator"
	"github.com/lapseguard/lapseguard/infra/template"
	"github.com/lapseguard/lapseguard/shared/decision"
	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/records"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/safety"
	"github.com/lapseguard/lapseguard/shared/store"
	"github.com/lapseguard/lapseguard/shared/store/dynamo"
)

// forged is what a checker in a stranger's hands would write or read to have something decided. None of it is allowed.
func forged(ctx context.Context, s store.Store) map[string]error {
	const name, run = "victim.com", "20260302T030000Z"
	now, b := time.Now(), records.In(s)
	d := records.NewDomain(name, 1)
	d.State.Phase, d.State.LapseAt, d.Listed, d.Action, d.Reason = lifecycle.Redemption, 1, true, lifecycle.Unverify, lifecycle.ReasonDeleted
	approved, _ := decision.Case{}.Judge(d.Verdict()).Approve(d.Verdict())
	approval, _ := safety.Ledger{}.Approve(d.Class(), safety.Approval{By: "nobody", At: now, Until: now.Add(time.Hour), PerDay: 5000, Left: 300})
	write := func(writes ...store.Write) error { return s.Write(ctx, writes...) }
	read := func(_ any, err error) error { return err }
	forged := map[string]error{
		"an approval":                       write(records.PutCase(name, approved)),
		"an approval, beside what it may":   write(d.Put(), records.PutCase(name, approved)),
		"the approval of a class":           write(records.Record(records.PKGuard, records.SKBreaker, approval, time.Time{})),
		"an empty ledger":                   write(records.Forget(records.PKGuard, records.SKBreaker)),
		"the count of watched domains":      write(records.Record(records.PKGuard, records.SKRun, records.Run{ID: run, Watched: 1e9}, time.Time{})),
		"the count of a segment":            write(records.Record(records.RunPK(run), "c/0", records.Segment{Watched: 1e9, Done: true}, time.Time{})),
		"what a run sent":                   write(records.PutSent(run, 0, 1, records.Sent{}, now)),
		"the current run":                   write(records.PutCurrent(run)),
		"a frozen request":                  write(records.Record(records.PKRequest, name+":lapse:1", records.Request{Domain: name, Request: registry.Request{MaxAddresses: 1e6}}, time.Time{})),
		"the end of a hold":                 write(records.EndHold(name)),
		"an approved hold":                  write(records.PutHold(safety.Hold{Domain: name, ApprovedBy: "nobody", ApprovedAt: now})),
		"the lease":                         write(records.Record(records.PKGuard, records.LeaseSK("applier"), records.Lease{Until: 1 << 40}, time.Time{})),
		"how far applier walked":            write(records.Record(records.PKGuard, records.SKWalk, records.Walk{Whole: true}, time.Time{})),
		"an operator's word for a list":     write(records.Record(records.PKGuard, records.SKSynced, records.Synced{Accepted: 1}, time.Time{})),
		"a host of the list":                write(records.NewHost("victim.com").Put()),
		"that a host left the list":         write(records.PutLeft(run, name, now)),
		"the digest":                        write(records.Record(records.PKDigest, "2026-03-01", records.Digest{Text: "all is well"}, time.Time{})),
		"an upstream's last good answer":    write(records.Record(records.PKUpstreams, "rdap/x", records.Upstream{LastGood: 1}, time.Time{})),
		"the synthetic domain":              write(records.Record(records.PKGuard, records.SKCanary, records.Canary{Name: name}, time.Time{})),
		"the end of a domain":               write(store.Write{Item: store.Item{Key: records.DomainKey(name), Version: 1}, Delete: true}),
		"the end of a history":              write(records.Forget(records.HistoryPK(name), "x")),
		"reading the run":                   read(b.Run(ctx)),
		"reading the ledger":                read(b.Ledger(ctx)),
		"reading a case":                    read(b.Matter(ctx, name)),
		"reading a request":                 read(b.Request(ctx, name)),
		"reading the hosts of the registry": read(b.HostsNamed(ctx, []string{name})),
	}
	forged["the bound of a request"] = write(records.Record("listed/"+name, "count", records.Count{Addresses: 1e6}, time.Time{}))
	forged["walking the holds"] = nil
	for _, err := range b.Holds(ctx) {
		forged["walking the holds"] = err
	}
	_, _, err := s.Scan(ctx, 0, 1, "", 10)
	forged["a scan of the domains"] = err
	_, _, err = s.Due(ctx, 0, now, "", 10)
	forged["what is due"] = err
	return forged
}

// lawful is what checker does with the table all day.
func lawful(ctx context.Context, s store.Store) map[string]error {
	const name, run = "witness.com", "20260302T030000Z"
	now, b := time.Now(), records.In(s)
	read := func(_ any, err error) error { return err }
	d, err := b.Domain(ctx, name)
	lawful := map[string]error{"reading a domain": err, "reading the current run's id": read(b.Current(ctx)), "reading what a domain depends on": read(b.Dependencies(ctx, name))}
	d.MailHost = true
	lawful["a domain, its history and whom it depends on"] = s.Write(ctx, d.Put(), records.PutEntry(name, records.Entry{At: now, What: "look"}, 0),
		records.PutDependencies(name, records.DependsMail, []string{"mail.example"}, time.Time{}),
		records.Record(records.DependentsPK("mail.example"), name+"/mx", struct{}{}, time.Time{}), records.Forget(records.DependentsPK("old.example"), name+"/mx"))
	lawful["a parked message"] = s.Write(ctx, records.Record(records.PKParked, records.ParkedSK(now, "x"), struct{}{}, now.Add(time.Hour)))
	lawful["when it is due"] = s.Write(ctx, records.Wake(now, now.Add(time.Hour)))
	lawful["that a message was answered"] = s.Write(ctx, records.Mark(run, fmt.Sprint(now.UnixNano()), records.Marker{}, now))
	lawful["a domain that broke the program"] = s.Write(ctx, records.Record(records.PKBroken, name, struct{}{}, now.Add(time.Hour)))
	return lawful
}

func denied(err error) bool { return err != nil && strings.Contains(err.Error(), "AccessDenied") }

// tryRole tries all of it.
func tryRole(t *testing.T, s store.Store) {
	t.Helper()
	for what, err := range forged(t.Context(), s) {
		if !denied(err) {
			t.Errorf("checker may forge %s (%v)", what, err)
		}
	}
	for what, err := range lawful(t.Context(), s) {
		if err != nil {
			t.Errorf("checker may not write or read %s: %v", what, err)
		}
	}
}

// storeAs is the tables as whoever has an access key reaches them, by the gate.
func storeAs(key, gate, domains, tableOfRecords, index string) *dynamo.Store {
	return dynamo.New(dynamodb.New(dynamodb.Options{
		Region: emulator.Region, BaseEndpoint: aws.String(gate), Credentials: credentials.NewStaticCredentialsProvider(key, "secret", ""),
		Retryer: aws.NopRetryer{},
	}), dynamo.Config{DomainsTable: domains, RecordsTable: tableOfRecords, IndexName: index})
}

// TestCheckersRoleDecidesNothing: the role of template.yaml, by the gate's rules, before a table that takes everything.
func TestCheckersRoleDecidesNothing(t *testing.T) {
	table := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(table.Close)
	tpl, err := template.Open()
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{account: "1", who: aws.Credentials{AccessKeyID: "1", SecretAccessKey: "s"}, targets: map[string]string{"dynamodb": table.URL},
		callers: map[string]string{"ASIACHECKER": "checker"}, seen: map[string]map[string]int{"checker": {}},
		grants: map[string]map[string]grant{"checker": grantsOf([]any{in{"PolicyDocument": policy(tpl, "CheckerRole")}})}}
	door := httptest.NewServer(g)
	t.Cleanup(door.Close)
	tryRole(t, storeAs("ASIACHECKER", door.URL, "DomainsTable", "RecordsTable", "attention"))
}

// policy is a role's statements on the tables, with the names of the template's resources in the place of theirs.
func policy(tpl *template.Template, role string) in {
	var statements []any
	for _, s := range tpl.Statements(role) {
		var actions, resources []any
		for _, a := range s.Actions {
			actions = append(actions, a)
		}
		for _, r := range s.Resources {
			name, _ := strings.CutSuffix(strings.TrimPrefix(r, "GetAtt "), ".Arn")
			resources = append(resources, "arn:aws:dynamodb:"+emulator.Region+":1:table/"+name)
		}
		st := in{"Effect": "Allow", "Action": actions, "Resource": resources}
		if s.Keys != nil {
			keys := []any{}
			for _, k := range s.Keys {
				keys = append(keys, k)
			}
			st["Condition"] = in{"ForAllValues:StringLike": in{"dynamodb:LeadingKeys": keys}}
		}
		statements = append(statements, st)
	}
	return in{"Statement": statements}
}

// checkerDecidesNothing takes the deployed checker's role.
func (c *cloud) checkerDecidesNothing(t *testing.T) {
	key := ""
	c.gate.mu.Lock()
	for k, folder := range c.gate.callers {
		if folder == "checker" {
			key = k
		}
	}
	before := len(c.gate.refused)
	c.gate.mu.Unlock()
	tryRole(t, storeAs(key, c.endpoint, c.outputs["DomainsTableName"], c.outputs["RecordsTableName"], "attention"))
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.refused = c.gate.refused[:before] // what was tried on purpose
}
