package handler_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/lapseguard/lapseguard/functions/handler/applier"
	"github.com/lapseguard/lapseguard/functions/handler/checker"
	"github.com/lapseguard/lapseguard/functions/handler/fanout"
	"github.com/lapseguard/lapseguard/shared/queue"
	"github.com/lapseguard/lapseguard/shared/registry"
	"github.com/lapseguard/lapseguard/shared/store/bolt"
)

type nobody struct{}

func (nobody) Send(context.Context, []queue.Message) ([]queue.Message, error) { return nil, nil }

func (nobody) Bury(context.Context, events.SQSMessage) error { return nil }

func (nobody) Server(string) (string, bool, bool) { return "", false, false }

func (nobody) List(context.Context, string, int, time.Time) (registry.Page, error) {
	return registry.Page{}, nil
}

// TestAForgottenFieldIsNamed: no handler is built that would meet a nil pointer later.
func TestAForgottenFieldIsNamed(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "guard.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	log := slog.New(slog.DiscardHandler)
	forget(t, func(c fanout.Config) error { _, err := fanout.New(c); return err }, []string{"Metrics", "Rate"},
		fanout.Config{Store: s, Queue: nobody{}, List: nobody{}, Log: log, Now: time.Now})
	forget(t, func(c applier.Config) error { _, err := applier.New(c); return err }, []string{"Restorer", "Registry", "DryRun", "Differ", "Metrics", "Mail"},
		applier.Config{Parts: applier.Parts{Store: s, Queue: nobody{}, Log: log, Now: time.Now}, Mode: func(context.Context) (applier.Mode, error) { return applier.Stop, nil }})
	forget(t, func(c checker.Config) error { _, err := checker.New(c); return err }, []string{"Known", "Published", "Metrics"},
		checker.Config{Store: s, Queue: nobody{}, DeadLetters: nobody{}, Ask: map[queue.Kind]checker.Asker{}, Servers: nobody{}, Log: log, Now: time.Now})
}

// forget builds with each field left out in turn.
func forget[C any](t *testing.T, build func(C) error, optional []string, whole C) {
	t.Helper()
	if err := build(whole); err != nil {
		t.Fatalf("nothing is left out: %v", err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[C]()) {
		without := whole
		field := reflect.ValueOf(&without).Elem().FieldByIndex(f.Index)
		switch field.Kind() {
		case reflect.Interface, reflect.Func, reflect.Map, reflect.Pointer:
		default:
			continue
		}
		field.SetZero()
		err := build(without)
		if named := err != nil && strings.Contains(err.Error(), f.Name); named == slices.Contains(optional, f.Name) {
			t.Errorf("%T without %s: %v", whole, f.Name, err)
		}
	}
}
