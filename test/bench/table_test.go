package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := table([]result{
		{runners: 500, ours: 2 * time.Second, bare: time.Second, cheapest: time.Second, kubectl: time.Minute, memory: 50 << 20},
		{
			runners: 20_000, ours: 40 * time.Second, bare: 20 * time.Second, cheapest: 10 * time.Second, kubectl: 1000 * time.Second, memory: 60 << 20,
			phases: map[string]time.Duration{"free": 30 * time.Second, "crds": 2 * time.Second},
		},
	}, "Kubernetes 1")
	if want := []string{"time", "500 runners", "20,000 runners"}; !slices.Equal(table.Header, want) {
		t.Errorf("header %q", table.Header)
	}
	var last []string
	for _, row := range table.Rows {
		if len(row) != len(table.Header) {
			t.Errorf("a row with %d cells: %q", len(row), row)
			continue
		}
		last = append(last, row[len(row)-1])
	}
	if want := []string{"1", "0.75", "0.05", "0.20", "0.50", "0.25", "25.0", "100", "60 MiB"}; !slices.Equal(last, want) {
		t.Errorf("with 20,000 runners %q, want %q", last, want)
	}
	if !strings.Contains(table.After, "With 20,000 runners, the whole run takes 2.00 times") || !strings.Contains(table.After, "kubectl take 25 times") {
		t.Error(table.After)
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{50: "50", 500: "500", 5000: "5,000", 20_000: "20,000", 1_000_000: "1,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
