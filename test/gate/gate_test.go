package main

import "testing"

func TestAllows(t *testing.T) {
	for _, test := range []struct {
		set, controller string
		want            bool
	}{
		{"0.14.1", "0.14.2", true},
		{"0.13.1", "0.14.2", false},
		{"0.14.2", "1.14.2", false},
		{"0.14.2-rc", "0.14.2", false},
		{"x", "x", true},
		{"", "0.14.2", false},
	} {
		if got := allows(test.set, test.controller); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}
