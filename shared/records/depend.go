package records

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/lapseguard/lapseguard/shared/lifecycle"
	"github.com/lapseguard/lapseguard/shared/store"
)

// ForgetHost is how long the item of a mail host is kept that nobody depends on.
const ForgetHost = 30 * 24 * time.Hour

// DependentsPK is the PK of the list of domains whose mail depends on host; SK is the domain, a slash, and DependsOn.
func DependentsPK(host string) string { return "dependents/" + host }

// DependsOn is what ties a domain's mail to another domain.
type DependsOn string

// What a domain depends on.
const (
	DependsMail    DependsOn = "mx"
	DependsServers DependsOn = "ns"
)

// DependenciesPK is the PK of the domains that name's mail depends on; SK is DependsOn.
func DependenciesPK(name string) string { return "depends/" + name }

// Dependencies reads on which registrable domains name's mail depends.
func (b Book) Dependencies(ctx context.Context, name string) (map[DependsOn][]string, error) {
	deps := map[DependsOn][]string{}
	for r, err := range all[dependencies](ctx, b, store.Query{PK: DependenciesPK(name)}) {
		if err != nil {
			return nil, err
		}
		deps[DependsOn(r.SK())] = r.V.Hosts
	}
	return deps, nil
}

// Dependents walks the domains whose mail depends on a host, by name; one that depends on it in two ways comes twice.
func (b Book) Dependents(ctx context.Context, host string) iter.Seq2[Dependent, error] {
	return func(yield func(Dependent, error) bool) {
		for it, err := range b.Items(ctx, store.Query{PK: DependentsPK(host)}) {
			name, on, _ := strings.Cut(it.SK, "/")
			if !yield(Dependent{name, DependsOn(on)}, err) || err != nil {
				return
			}
		}
	}
}

// Dependent is a domain whose mail depends on another, and by what.
type Dependent struct {
	Name string
	On   DependsOn
}

// Arrivals counts the hosts that a domain newly came to depend on.
type Arrivals struct {
	N     int               `json:"n"`
	Since lifecycle.Instant `json:"since"`
}

// Arrivals reads how many hosts a domain newly came to depend on.
func (b Book) Arrivals(ctx context.Context, name string, on DependsOn) (Arrivals, error) {
	r, err := get[Arrivals](ctx, b, DependenciesPK(name), arrivalsSK(on))
	return r.V, err
}

// PutArrivals is the write that notes it, for as long as it counts.
func PutArrivals(name string, on DependsOn, a Arrivals, expires time.Time) store.Write {
	return Record(DependenciesPK(name), arrivalsSK(on), a, expires)
}

func arrivalsSK(on DependsOn) string { return "new/" + string(on) }

type dependencies struct {
	Hosts []string `json:"hosts"` // registrable domains
}

// PutDependencies is the write that notes on which registrable domains name's mail depends.
func PutDependencies(name string, on DependsOn, hosts []string, expires time.Time) store.Write {
	return Record(DependenciesPK(name), string(on), dependencies{Hosts: hosts}, expires)
}
