package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/lapseguard/lapseguard/shared/cloud"
	"github.com/lapseguard/lapseguard/shared/registry"
)

// Mode is what the applier may do. It is read by each tick that has work, so that it changes without a deployment, and
// obeyed in tick.go (seam, probe). What an operator says is done in every mode.
type Mode string

// The modes.
const (
	Observe Mode = "observe" // writes "would …", changes nothing
	Enforce Mode = "enforce"
	Stop    Mode = "stop" // the kill switch: no tick calls the registry
)

func (m Mode) valid() bool { return m == Observe || m == Enforce || m == Stop }

// Switch reads the mode whenever there is work: the parameter can only make the configured mode more careful, never less.
// One that was never made says observe.
func Switch(configured Mode, value func(ctx context.Context, fresh bool) (string, error)) func(context.Context) (Mode, error) {
	return func(ctx context.Context) (Mode, error) {
		text, err := turned(ctx, value)
		if err != nil {
			return Stop, fmt.Errorf("kill switch: %w", err)
		}
		m := Mode(text)
		switch {
		case text == "":
			return configured, nil
		case !m.valid():
			return Stop, fmt.Errorf("kill switch says %q: set observe, enforce or stop", text)
		case m == Enforce:
			return configured, nil
		case m == Observe && configured == Enforce, m == Stop:
			return m, nil
		default:
			return configured, nil
		}
	}
}

// Differ tells whether the parameter says something else than the configuration: only the more careful of the two counts,
// and whoever turned one of them may believe that it does.
func Differ(configured Mode, value func(ctx context.Context, fresh bool) (string, error)) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		text, err := turned(ctx, value)
		return err == nil && text != "" && Mode(text) != configured, err
	}
}

// turned is what the kill switch says.
func turned(ctx context.Context, value func(ctx context.Context, fresh bool) (string, error)) (string, error) {
	text, err := value(ctx, true)
	if errors.Is(err, cloud.ErrNoParameter) {
		return string(Observe), nil
	}
	return text, err
}

// unverifier is the registry's call, as the client and the dry run both have it.
type unverifier interface {
	Unverify(ctx context.Context, r registry.Request) (registry.Answer, error)
}
