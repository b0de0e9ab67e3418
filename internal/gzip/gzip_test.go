package gzip

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
)

func TestPackAndUnpack(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", strings.Repeat("runner ", 1000)} {
		packed := Pack([]byte(text))
		if !Is(packed) || !bytes.Equal(packed, Pack([]byte(text))) {
			t.Errorf("%d bytes are not packed twice in the same way: % x", len(text), packed)
		}
		if got, err := Unpack(packed, len(text)); err != nil || string(got) != text {
			t.Errorf("%d bytes: %q, %v", len(text), got, err)
		}
	}
	if text := strings.Repeat("runner ", 1000); len(Pack([]byte(text))) > len(text)/10 {
		t.Errorf("%d bytes are %d packed", len(text), len(Pack([]byte(text))))
	}
	if Is([]byte("{}")) || Is(nil) {
		t.Error("what is not packed counts as packed")
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	packed := Pack([]byte("five!"))
	tests := map[string]struct {
		data  []byte
		limit int
		want  string
	}{
		"more than the limit": {packed, 4, "unpacked it has more than 4 bytes"},
		"a bomb":              {Pack(make([]byte, 10<<20)), 2 << 20, "unpacked it has more than 2 MiB"},
		"not packed":          {[]byte("plain text that is long enough"), 100, "gzip: invalid header"},
		"nothing":             {nil, 100, "EOF"},
		"cut off":             {packed[:len(packed)-5], 100, "unexpected EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := Unpack(test.data, test.limit); err == nil || !strings.Contains(err.Error(), test.want) || got != nil {
				t.Errorf("%q, %v; want the error %q", got, err, test.want)
			}
		})
	}
}

// Anybody who may write a Secret can put a bomb into it: it takes next to no memory, and what is
// within the limit no more than its size.
func TestUnpackTakesNoMoreMemoryThanItsResult(t *testing.T) {
	const size = 16 << 20
	bomb := Pack(make([]byte, size))
	for limit, most := range map[int]uint64{size - 1: 1 << 20, size: size + 1<<20} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Unpack(bomb, limit)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("with a limit of %d bytes it took %d bytes, want %d at most", limit, took, most)
		}
	}
}
