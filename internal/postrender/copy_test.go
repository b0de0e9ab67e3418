package postrender

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Copy does what Inject does, whether the stream is held back or not.
func TestCopy(t *testing.T) {
	const hooked = "metadata: {labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n"
	for _, file := range []string{"controller.yaml", "scale-set.yaml", "scale-set-experimental.yaml", "not-arc.yaml"} {
		stream := testdata(t, file)
		var apart [][]byte
		for d := range manifest.Documents(stream) {
			apart = append(apart, filler(heldBelow), []byte("\n---\n"), d.Bytes(), []byte("\n---\n"))
		}
		reversed := slices.Clone(apart)
		slices.Reverse(reversed)
		noLineBreak := bytes.TrimRight(stream, "\n")
		for name, in := range map[string][]byte{
			"small":           stream,
			"held":            append(filler(heldBelow/2), stream...),
			"last":            append(filler(heldBelow), stream...),
			"apart":           slices.Concat(apart...),
			"apart, reversed": slices.Concat(reversed...),
			"no line break":   append(filler(heldBelow), noLineBreak...),
			"first":           slices.Concat(stream, []byte("---\n"), filler(heldBelow)),
			"hooked":          append(slices.Concat(stream, []byte("---\n"), filler(heldBelow)), hooked...),
		} {
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

// An error leaves nothing behind or, of a stream that is not held back, all of
// it and no hook.
func TestCopyErrors(t *testing.T) {
	broken := "---\nkind: Deployment # --auto-scaling-runner-set-only\na: b: c\n"
	for name, test := range map[string]struct {
		in   string
		want string
	}{
		"broken YAML": {broken + string(testdata(t, "controller.yaml")), "not valid YAML"},
		"Helm 3":      {strings.ReplaceAll(string(testdata(t, "controller.yaml")), "---\n", "---\n# Source: a/b.yaml\n"), "Helm 3"},
	} {
		for _, size := range []int{0, heldBelow / 2, heldBelow} {
			in := test.in + "---\n" + string(filler(size))
			want := in
			if size < heldBelow {
				want = ""
			}
			var out bytes.Buffer
			explanation, err := copyTo(&out, strings.NewReader(in), Options{Helm: Helm4})
			if err == nil || !strings.Contains(err.Error(), test.want) || explanation != "" {
				t.Errorf("%s, %d: got %q, %v", name, size, explanation, err)
			}
			if out.String() != want {
				t.Errorf("%s, %d: %d of %d bytes went out", name, size, out.Len(), len(in))
			}
		}
	}
}

func TestCopyFailsWithItsEnds(t *testing.T) {
	gone := errors.New("gone")
	for _, size := range []int{0, heldBelow} {
		in := filler(size)
		_, err := copyTo(io.Discard, io.MultiReader(bytes.NewReader(in), iotest.ErrReader(gone)), Options{})
		if !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "reading stdin: ") {
			t.Errorf("%d bytes: reading: got %v", size, err)
		}
		out, w := io.Pipe()
		out.CloseWithError(gone)
		_, err = copyTo(w, bytes.NewReader(in), Options{})
		if !errors.Is(err, gone) || !strings.HasPrefix(err.Error(), "writing stdout: ") {
			t.Errorf("%d bytes: writing: got %v", size, err)
		}
	}
}
