package arc

import "testing"

func TestTolerates(t *testing.T) {
	t.Parallel()
	tests := []struct {
		controller, scaleSet string
		want                 bool
	}{
		{"0.6.1", "0.6.1", true},
		{"0.6.1", "0.6.0", false},
		{"0.11.0", "0.11.1", false},
		{"0.12.0", "0.12.1", true},
		{"0.14.2", "0.14.0", true},
		{"0.14.2", "0.13.1", false},
		{"1.0.0", "1.0.3", true},
		{"1.14.0", "0.14.0", false},
		{"0.14.2", "0.14.2-rc.1", false},
		{"", "", true},
		{"canary", "0.14.2", false},
	}
	for _, tt := range tests {
		if got := Tolerates(tt.controller, tt.scaleSet); got != tt.want {
			t.Errorf("Tolerates(%q, %q) = %v", tt.controller, tt.scaleSet, got)
		}
	}
}
