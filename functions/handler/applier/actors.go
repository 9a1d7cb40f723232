package applier

import (
	"context"

	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store"
)

const (
	wordUnverified = "unverified"
	wordWould      = "would unverify"
)

// unverifier is the registry's call, as the client and the dry run both have it.
type unverifier interface {
	Unverify(ctx context.Context, r registry.Request) (registry.Answer, error)
}

// Enforcer acts on the registry.
type Enforcer struct{ unverifier }

// NewEnforcer acts through the registry's client.
func NewEnforcer(u unverifier) Enforcer { return Enforcer{u} }

// Open: not enforced yet.
func (Enforcer) Open(d store.Domain) bool { return d.Done != d.Key() }

// Note marks the decision as enforced: it is pending no more.
func (Enforcer) Note(d *store.Domain) { d.Done, d.NextLook = d.Key(), 0 }

// Spends the breaker's budget.
func (Enforcer) Spends() bool { return true }

// Word in history.
func (Enforcer) Word() string { return wordUnverified }

// Watcher reports what an Enforcer would do; the decision stays pending.
type Watcher struct{ unverifier }

// NewWatcher reports through a dry run.
func NewWatcher(u unverifier) Watcher { return Watcher{u} }

// Open: not reported yet.
func (Watcher) Open(d store.Domain) bool { return d.Would != d.Key() }

// Note marks the decision as reported.
func (Watcher) Note(d *store.Domain) { d.Would = d.Key() }

// Spends nothing.
func (Watcher) Spends() bool { return false }

// Word in history.
func (Watcher) Word() string { return wordWould }

// New builds a handler whose actors speak to the registry through its client: in enforce mode directly, in
// observe mode as a dry run, in stop mode not at all.
func New(reg *registry.Client) *Handler {
	return &Handler{
		Restorer: reg,
		Actors:   map[Mode]actor{Enforce: NewEnforcer(reg), Observe: NewWatcher(registry.NewObserver(reg))},
	}
}
