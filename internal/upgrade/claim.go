package upgrade

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// runKey names, in the Secret beside the controller, the run that goes on with a swap.
const runKey = "run"

var (
	errTaken = errors.New("another arc-cleanup goes on with this upgrade, or takes it back: let it end, and see what it says")
	// errChanged and errNone say that the saved state is not what this run has read or written.
	errChanged = errors.New("it was changed after it was read; does another upgrade run?")
	errNone    = errors.New("does another upgrade run?")
)

// taken reports whether an upgrade is, or may be, another run's now.
func taken(err error) bool {
	return errors.Is(err, errTaken) || errors.Is(err, errChanged) || errors.Is(err, errNone)
}

// claim makes a swap this run's. It fails if the state was changed after it was read: while the plan waited
// for an answer, another run may have started the new controller. Another run that still goes on stops
// before its next step.
func (u *Upgrade) claim(ctx context.Context, p *Plan) error {
	if p.State.Way != BySwap {
		return nil
	}
	p.State.run = rand.Text()
	if p.Has(Save) {
		return nil // it creates the Secret, and so fails if there is one
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	data, err := get(ctx, u.Client, p.State.namespace(), map[string]secret{})
	if err != nil {
		return err
	}
	if data == nil {
		return errGone(p.State)
	}
	data[runKey] = []byte(p.State.run)
	return put(ctx, u.Client, p.State.namespace(), data, p.State.secrets)
}

// claimed fails if another run has taken over the swap.
func (u *Upgrade) claimed(ctx context.Context, state State, kind Kind) error {
	if state.Way != BySwap || kind == Save {
		return nil
	}
	data, err := get(ctx, u.Client, state.namespace(), map[string]secret{})
	switch {
	case err != nil:
		return err
	case data == nil:
		return errGone(state)
	case string(data[runKey]) != state.run:
		return errTaken
	}
	return nil
}

func errGone(state State) error {
	return fmt.Errorf("the %s is gone: %w", secretOf(state), errNone)
}
