package postrender

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// Copy writes what Inject returns, and with Check nothing.
func TestCopy(t *testing.T) {
	for _, file := range []string{"controller.yaml", "scale-set.yaml", "scale-set-experimental.yaml", "not-arc.yaml"} {
		for name, in := range map[string][]byte{"small": testdata(t, file), "large": large(testdata(t, file))} {
			t.Run(file+" "+name, func(t *testing.T) {
				o := Options{Helm: Helm4}
				want, err := inject(in, o)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				explanation, err := copyTo(&out, iotest.HalfReader(bytes.NewReader(in)), o)
				if err != nil {
					t.Fatal(err)
				}
				if explanation != want.Explanation {
					t.Error(cmp.Diff(want.Explanation, explanation))
				}
				if got := out.String(); got != output(t, want) {
					t.Errorf("%d bytes in; the output differs from Inject's", len(in))
				}

				out.Reset()
				o.Check = true
				if checked, err := copyTo(&out, bytes.NewReader(in), o); err != nil || checked != explanation || out.Len() > 0 {
					t.Errorf("checked: %d bytes, %v, %s", out.Len(), err, checked)
				}
			})
		}
	}
}

// With an error nothing goes out.
func TestCopyErrors(t *testing.T) {
	broken := "---\nkind: Deployment # --auto-scaling-runner-set-only\na: b: c\n"
	for name, test := range map[string]struct {
		in   string
		want string
	}{
		"broken YAML": {broken + string(testdata(t, "controller.yaml")), "not valid YAML"},
		"Helm 3":      {strings.ReplaceAll(string(testdata(t, "controller.yaml")), "---\n", "---\n# Source: a/b.yaml\n"), "Helm 3"},
	} {
		for _, in := range []string{test.in, string(large([]byte(test.in)))} {
			var out bytes.Buffer
			explanation, err := copyTo(&out, strings.NewReader(in), Options{Helm: Helm4})
			if err == nil || !strings.Contains(err.Error(), test.want) || explanation != "" {
				t.Errorf("%s, %d bytes: got %q, %v", name, len(in), explanation, err)
			}
			if out.Len() > 0 {
				t.Errorf("%s: %d of %d bytes went out", name, out.Len(), len(in))
			}
		}
	}
}

// endless is a YAML comment without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	for i := range p {
		p[i] = '#'
	}
	return len(p), nil
}

func TestCopyLimitsTheInput(t *testing.T) {
	var in endless
	var out bytes.Buffer
	_, err := copyTo(&out, &in, Options{})
	var known *Error
	if !errors.As(err, &known) || known.Class != BadInput || !strings.Contains(err.Error(), "the input is larger than 32 MiB") {
		t.Errorf("got %v", err)
	}
	if out.Len() > 0 || in.read > 2*MaxInput {
		t.Errorf("%d bytes were read, %d written", in.read, out.Len())
	}
	largest := io.LimitReader(new(endless), MaxInput)
	if _, err := copyTo(&out, largest, Options{}); err != nil || out.Len() != MaxInput {
		t.Errorf("the largest input: %v, %d bytes went out", err, out.Len())
	}
}

func TestCopyFailsWithItsEnds(t *testing.T) {
	gone := errors.New("gone")
	in := filler(largeSize)
	_, err := copyTo(io.Discard, io.MultiReader(bytes.NewReader(in), iotest.ErrReader(gone)), Options{})
	if !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "reading stdin: ") {
		t.Errorf("reading: got %v", err)
	}
	out, w := io.Pipe()
	out.CloseWithError(gone)
	_, err = copyTo(w, bytes.NewReader(in), Options{})
	if !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "writing stdout: ") {
		t.Errorf("writing: got %v", err)
	}
}
