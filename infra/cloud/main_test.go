package cloud

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lapseguard/lapseguard/infra/emulator"
)

func TestMain(m *testing.M) { os.Exit(emulator.Main(m, emulator.DynamoDB, emulator.MinistackAuth)) }

// pollEvery is how often a condition is looked at that something else brings about.
const pollEvery = 250 * time.Millisecond

// eventually waits until look tells that it is so, at most for limit. What look says last is in the failure.
func eventually(t *testing.T, what string, limit time.Duration, look func() (ok bool, now string)) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, now := look()
		if ok {
			t.Logf("%s, after %.1f s", what, time.Since(began).Seconds())
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s. Last: %s", limit, what, now)
		case <-tick.C:
		}
	}
}

// pauseFor waits until something else may have happened.
func pauseFor(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// word makes an error a part of a condition's last word.
func word(v any, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%+v", v)
}
