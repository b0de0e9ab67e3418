package harness

import (
	"testing"
	"time"
)

func TestShares(t *testing.T) {
	t.Parallel()
	for average, want := range map[string]float64{
		"0.10 5.00 9.00 1/100 1": 1, // idle
		"4.00 0.10 0.10 1/100 1": 2,
		"99.0 0.10 0.10 1/100 1": 49.5,
		"":                       1,
	} {
		if got := shares(average, 2); got != want {
			t.Errorf("%q: %g, want %g", average, got, want)
		}
	}
	if p := Patience(time.Second); p < time.Second || p > 4*time.Second {
		t.Errorf("patience: %s", p)
	}
}
