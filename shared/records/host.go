package records

import (
	"context"
	"fmt"
	"hash/fnv"
	"iter"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// Host is one e-mail host of the registry's list, as last synced. PK "hosts/SHARD", SK the host; an earlier version
// kept them all under "hosts", where those it stored stay until they leave.
type Host struct {
	Addresses int               `json:"n"`
	Oldest    lifecycle.Instant `json:"o,omitempty"`
	Newest    lifecycle.Instant `json:"w,omitempty"`
	Domain    string            `json:"d,omitempty"` // registrable domain; empty: see Why
	Why       string            `json:"y,omitempty"` // reason why the host cannot be watched
	Counted   bool              `json:"c,omitempty"` // its addresses are in its domain's Count
	// Closed is since when recovery through addresses at it is closed, as the list says; 0: through none.
	Closed   lifecycle.Instant `json:"cl,omitempty"`
	Reported int               `json:"rp,omitempty"` // accounts that the registry reports as perhaps taken
}

// hostShards is the number of partitions that hosts are spread over: one takes 1,000 units a second, and a first list
// is written in ascending order, at which DynamoDB cannot split it.
const hostShards = 16

// hostPK is the partition of a host that is stored anew.
func hostPK(host string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(host))
	return hostShard(int(h.Sum32() % hostShards))
}

func hostShard(n int) string { return fmt.Sprintf("%s/%02d", PKHosts, n) }

func hostKey(host string) store.Key {
	return store.Key{Table: store.Records, PK: hostPK(host), SK: host}
}

// NewHost is a host that was not stored yet.
func NewHost(host string) Of[Host] { return Of[Host]{item: store.Item{Key: hostKey(host)}} }

// Host reads one host of the list.
func (b Book) Host(ctx context.Context, host string) (Of[Host], error) {
	r, err := get[Host](ctx, b, hostPK(host), host)
	if err != nil || r.Found() {
		return r, err
	}
	if old, err := get[Host](ctx, b, PKHosts, host); err != nil || old.Found() {
		return old, err
	}
	return r, nil
}

// Hosts walks the stored hosts with after < host <= end, ascending; an empty end is open.
func (b Book) Hosts(ctx context.Context, after, end string) iter.Seq2[Of[Host], error] {
	if end != "" {
		end += "\x00" // the bound is exclusive; nothing sorts between a host and itself with a zero byte
	}
	walks := []iter.Seq2[Of[Host], error]{all[Host](ctx, b, store.Query{PK: PKHosts, After: after, Before: end})}
	for n := range hostShards {
		walks = append(walks, all[Host](ctx, b, store.Query{PK: hostShard(n), After: after, Before: end}))
	}
	return merged(walks)
}

// head is the first of a walk that was not given yet.
type head[T any] struct {
	r    Of[T]
	err  error
	ok   bool
	next func() (Of[T], error, bool)
}

// merged is one ascending walk through several; each holds a page. An error ends it.
func merged[T any](walks []iter.Seq2[Of[T], error]) iter.Seq2[Of[T], error] {
	return func(yield func(Of[T], error) bool) {
		heads := make([]head[T], len(walks))
		for i, w := range walks {
			next, stop := iter.Pull2(w)
			defer stop()
			heads[i].next = next
			heads[i].r, heads[i].err, heads[i].ok = next()
		}
		for {
			least := -1
			for i, h := range heads {
				if h.err != nil {
					yield(h.r, h.err)
					return
				}
				if h.ok && (least < 0 || h.r.SK() < heads[least].r.SK()) {
					least = i
				}
			}
			if least < 0 || !yield(heads[least].r, nil) {
				return
			}
			h := &heads[least]
			h.r, h.err, h.ok = h.next()
		}
	}
}

// HostsNamed reads those of the hosts that are stored, in no order.
func (b Book) HostsNamed(ctx context.Context, names []string) ([]Of[Host], error) {
	keys := make([]store.Key, 0, 2*len(names))
	for _, name := range names {
		keys = append(keys, hostKey(name), store.Key{Table: store.Records, PK: PKHosts, SK: name})
	}
	return many[Host](ctx, b, keys)
}

func leftPK(run string) string { return "left/" + run }

// PutLeft notes that the run's list lacks a host.
func PutLeft(run, host string, now time.Time) store.Write {
	return Record(leftPK(run), host, struct{}{}, now.Add(RunTTL))
}

// Left walks the hosts that the run's list lacks.
func (b Book) Left(ctx context.Context, run string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for it, err := range b.Items(ctx, store.Query{PK: leftPK(run)}) {
			if !yield(it.SK, err) || err != nil {
				return
			}
		}
	}
}

// Listed is how many addresses the registry's list names at a domain and below it, as fanout took it from there:
// checker, which writes the domain's item too, cannot write this one.
func (b Book) Listed(ctx context.Context, name string) (Count, error) {
	r, err := get[Count](ctx, b, listedPK(name), "count")
	return r.V, err
}

func listedPK(name string) string { return "listed/" + name }

// Count sums up a domain's hosts.
type Count struct {
	Addresses int `json:"n"`
	Reported  int `json:"rp,omitempty"` // accounts that may have been taken
}

// Counts reads the sums of domains, by name; those that are absent are zero, and their Put creates them.
func (b Book) Counts(ctx context.Context, names []string) (map[string]Of[Count], error) {
	counts := make(map[string]Of[Count], len(names))
	keys := make([]store.Key, len(names))
	for i, name := range names {
		keys[i] = store.Key{Table: store.Records, PK: listedPK(name), SK: "count"}
		counts[name] = Of[Count]{item: store.Item{Key: keys[i]}}
	}
	found, err := many[Count](ctx, b, keys)
	if err != nil {
		return nil, err
	}
	for _, r := range found {
		counts[strings.TrimPrefix(r.item.PK, listedPK(""))] = r
	}
	return counts, nil
}
